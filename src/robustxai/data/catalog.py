"""The table of data sets: what each is, whose it is, where it comes from, what to be careful about.

Knows names, files and checksums; opens nothing.
"""

import difflib
from dataclasses import dataclass

from . import files
from .errors import UnknownDataset
from .files import File


@dataclass(frozen=True)
class Entry:
    """One data set. `size`: bytes to download or to have in the prepared folder (0: computed or in
    scikit-learn).

    `shape`: of one sample. `files`: every file that may be read; empty if none is needed. `folder`: their
    place below a data folder. `any_of`: one of the files is enough, the first that is found, else the last.
    """

    name: str
    title: str
    licence: str
    url: str
    citation: str
    shape: tuple[int, ...]
    classes: int
    counts: dict[str, int]
    used_in: tuple[str, ...]
    care: str = ""
    files: tuple[File, ...] = ()
    folder: str = ""
    any_of: bool = False

    @property
    def splits(self) -> tuple[str, ...]:
        """The accepted names of splits."""
        return tuple(self.counts)

    @property
    def size(self) -> int:
        """Bytes of the prepared files, or of the upstream ones where only those are listed."""
        return self.files[0].size if self.any_of else sum(f.size for f in self.files)

    @property
    def sha256(self) -> dict[str, tuple[str, ...]]:
        """Accepted SHA-256 sums by file name."""
        return {f.name: f.sha256 for f in self.files}

    @property
    def source(self) -> str:
        """How a reader gets it: "no file needed", "download", or "prepared folder only"."""
        if not self.files:
            return "no file needed"
        return "download" if any(f.urls for f in self.files) else "prepared folder only"


_RESEARCH = "ImageNet terms: non-commercial research and education; copyright of the images with their owners"
_CIFAR = "no explicit licence; research and education"
_KRIZHEVSKY = "A. Krizhevsky. Learning multiple layers of features from tiny images. Technical report, 2009."
_IMAGENET = "J. Deng et al. ImageNet: a large-scale hierarchical image database. CVPR 2009."
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar.html"

ENTRIES = (
    Entry(
        "menagerie",
        "Drawn animals with textures, every factor and mask known",
        "MIT (part of this library)",
        "",
        "",
        (3, 64, 64),
        10,
        {"train": 2000, "test": 500},
        ("diffgradcam",),
        "Drawn when asked for: `limit` may exceed these counts, `size` is free; masks: scenes.menagerie.",
    ),
    Entry(
        "digits",
        "Optical recognition of handwritten digits, 8x8",
        "CC BY 4.0",
        "https://archive.ics.uci.edu/dataset/80",
        "E. Alpaydin and C. Kaynak. Optical recognition of handwritten digits. UCI repository, 1998.",
        (1, 8, 8),
        10,
        {"train": 1437, "test": 360},
        ("ranking",),
        "The UCI test set as scikit-learn carries it; the split is ours (stratified, seed 0).",
    ),
    Entry(
        "breast_cancer",
        "Breast cancer Wisconsin (diagnostic), 30 features",
        "CC BY 4.0",
        "https://archive.ics.uci.edu/dataset/17",
        "W. Wolberg et al. Breast cancer Wisconsin (diagnostic). UCI repository, 1995.",
        (30,),
        2,
        {"train": 455, "test": 114},
        ("ranking",),
        "Features in their own units, not scaled; the split is ours (stratified, seed 0).",
    ),
    Entry(
        "adult",
        "Adult (census income): does a person earn more than 50,000 dollars a year?",
        "CC BY 4.0",
        "https://archive.ics.uci.edu/dataset/2",
        "B. Becker and R. Kohavi. Adult. UCI repository, 1996.",
        (14,),
        2,
        {"train": 32561, "test": 16281},
        ("ranking",),
        "Categories are codes with `levels`; missing cells are nan; fnlwgt is a survey weight, no property.",
        files.ADULT,
        "adult",
    ),
    Entry(
        "bank_marketing",
        "Bank Marketing: does a client subscribe a term deposit?",
        "CC BY 4.0",
        "https://archive.ics.uci.edu/dataset/222",
        "S. Moro, P. Cortez and P. Rita. A data-driven approach to predict the success of bank telemarketing. "
        "Decision Support Systems, 2014.",
        (19,),
        2,
        {"train": 28831, "test": 12357},
        ("ranking",),
        "Without the column duration, which gives the label away; the split is ours (stratified, seed 0).",
        files.BANK_MARKETING,
        "bank_marketing",
    ),
    Entry(
        "compas",
        "COMPAS: is a defendant charged again within two years?",
        "no licence file; public records published for re-analysis",
        "https://github.com/propublica/compas-analysis",
        "J. Angwin, J. Larson, S. Mattu and L. Kirchner. Machine bias. ProPublica, 2016.",
        (8,),
        2,
        {"train": 4320, "test": 1852},
        ("ranking",),
        "Real persons: read without names, birth dates and case numbers. ProPublica's filter (6,172 rows); "
        "the split is ours (stratified, seed 0).",
        files.COMPAS,
        "compas",
    ),
    Entry(
        "mnist",
        "MNIST handwritten digits, 28x28",
        "commonly distributed as CC BY-SA 3.0",
        "http://yann.lecun.com/exdb/mnist/",
        "Y. LeCun et al. Gradient-based learning applied to document recognition. Proc. IEEE, 1998.",
        (1, 28, 28),
        10,
        {"train": 60000, "test": 10000},
        ("ranking", "manifold_ig"),
        files=files.MNIST,
        folder="mnist",
    ),
    Entry(
        "fashion_mnist",
        "Fashion-MNIST articles of clothing, 28x28",
        "MIT",
        "https://github.com/zalandoresearch/fashion-mnist",
        "H. Xiao, K. Rasul and R. Vollgraf. Fashion-MNIST. arXiv 1708.07747, 2017.",
        (1, 28, 28),
        10,
        {"train": 60000, "test": 10000},
        ("ranking", "manifold_ig"),
        files=files.FASHION_MNIST,
        folder="fashion_mnist",
    ),
    Entry(
        "cifar10",
        "CIFAR-10 photographs, 32x32",
        _CIFAR,
        _CIFAR_URL,
        _KRIZHEVSKY,
        (3, 32, 32),
        10,
        {"train": 50000, "test": 10000},
        ("diffgradcam", "ranking", "ace", "concepts"),
        "The prepared pack is recompressed (lossy JPEG): train on it, say so. The download is original.",
        (files.CIFAR10_PACK, files.CIFAR10_UPSTREAM),
        "cifar10",
        any_of=True,
    ),
    Entry(
        "cifar10_lossless4000",
        "The first 4,000 training images of CIFAR-10, lossless",
        _CIFAR,
        _CIFAR_URL,
        _KRIZHEVSKY,
        (3, 32, 32),
        10,
        {"train": 4000},
        ("diffgradcam",),
        "Training images only; labels recovered by matching to the JPEG set.",
        files.CIFAR10_LOSSLESS,
        "cifar10",
    ),
    Entry(
        "tiny_imagenet25",
        "25 classes of Tiny ImageNet with boxes, 64x64",
        _RESEARCH,
        "https://www.image-net.org/",
        _IMAGENET,
        (3, 64, 64),
        25,
        {"train": 10000, "test": 1250},
        ("diffgradcam", "concepts", "manifold_ig"),
        "Boxes cover 54 % on average: print it as chance. Test = validation set. No pictures in the book.",
        files.TINY_IMAGENET25,
        "tiny_imagenet25",
    ),
    Entry(
        "smiles64",
        "SMILEs: grey faces 64x64, smiling or not, with mouth boxes",
        "no licence file; photographs of people: numbers and weights only",
        "https://github.com/hromi/SMILEsmileD",
        "D. Hromada, C. Tijus, S. Poitrenaud and J. Nadel. Zygomatic smile detection. IEEE RIVF 2010.",
        (1, 64, 64),
        2,
        {"train": 5895, "test": 1482},
        ("manifold_ig", "ace"),
        "Split by near-duplicates, which share a side; boxes (nan where there is none) of most smiles. No pictures.",
        files.SMILES64,
        "smiles64",
    ),
    Entry(
        "dtd10",
        "Describable Textures, the first 10 of 47 kinds, 192x192",
        "available for research purposes",
        "https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        "M. Cimpoi et al. Describing textures in the wild. CVPR 2014.",
        (3, 192, 192),
        10,
        {"train": 700},
        ("concepts",),
        "Banded to crystalline: striped, dotted and honeycombed are not among them. 70 of 120 images a kind, cut "
        "square and recompressed. `size` scales them. At most a few credited thumbnails in the book.",
        files.DTD10,
        "dtd10",
    ),
    Entry(
        "imagenet_sample1000",
        "One photograph per ImageNet class",
        _RESEARCH,
        "https://www.image-net.org/",
        _IMAGENET,
        (3, 224, 224),
        1000,
        {"test": 1000},
        ("diffgradcam", "concepts"),
        "Probably training images: accuracies are optimistic. `size` is the crop. No pictures in the book.",
        files.IMAGENET_SAMPLE1000,
        "imagenet_sample1000",
    ),
)


def catalog() -> list[Entry]:
    """Every data set that `load` knows, in the order of effort: drawn, built in, downloadable, prepared
    folder only.
    """
    return list(ENTRIES)


def entry(name: str) -> Entry:
    """The entry of one set; UnknownDataset, with the nearest names, if there is none."""
    known = {e.name: e for e in ENTRIES}
    if name not in known:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}."
        raise UnknownDataset(f"there is no data set named {name!r}: {hint}")
    return known[name]
