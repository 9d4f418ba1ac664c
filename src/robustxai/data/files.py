"""Checksums and addresses of every file that a set may be read from.

Two checksums mean two equally good copies: the prepared one (first) and the one published upstream, whose
compression differs while its content is the same. A set may be published inside an archive or with columns
that nobody should keep: `unpack` makes the file of the download, and the checksum is of what it makes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import tabular


@dataclass(frozen=True)
class File:
    """A file of a set: name, accepted SHA-256 sums, size in bytes; addresses and size of the upstream copy
    if there is one. `unpack`: turns a download into this file; ValueError for a download it cannot read.
    """

    name: str
    sha256: tuple[str, ...]
    size: int
    urls: tuple[str, ...] = ()
    upstream_size: int = 0
    unpack: Callable[[bytes], bytes] | None = None


_MNIST_AT = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FASHION_AT = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


def _at(folders: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The addresses of one file in several folders."""
    return tuple(folder + name for folder in folders)


MNIST = (
    File(
        "train-images-idx3-ubyte.gz",
        (
            "71524e2cd1ad2968737f7f2f2ff69cbfc32df8ccddff51593f7cb2d4e0eb5b64",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        9630610,
        _at(_MNIST_AT, "train-images-idx3-ubyte.gz"),
        9912422,
    ),
    File(
        "train-labels-idx1-ubyte.gz",
        (
            "fe03b8bd7915f70bf5aa08be480aa413fbd85afcaa58b35d230d335f284fd88e",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        28878,
        _at(_MNIST_AT, "train-labels-idx1-ubyte.gz"),
        28881,
    ),
    File(
        "t10k-images-idx3-ubyte.gz",
        (
            "5634745efa576a17e7d4cf5cd9d09123c75e6538e5114267c2d156edaf519341",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        1602050,
        _at(_MNIST_AT, "t10k-images-idx3-ubyte.gz"),
        1648877,
    ),
    File(
        "t10k-labels-idx1-ubyte.gz",
        (
            "ae18e77e031ccde52407f794d123116439864147d33ac992975f85dd4dc42af6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        4517,
        _at(_MNIST_AT, "t10k-labels-idx1-ubyte.gz"),
        4542,
    ),
)

FASHION_MNIST = (
    File(
        "train-images-idx3-ubyte.gz",
        (
            "a26751d72d89606ffbfdd4dd5d16911f01e93a7ff4783c95da7307a073d79fa7",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        26192508,
        _at(_FASHION_AT, "train-images-idx3-ubyte.gz"),
        26421880,
    ),
    File(
        "train-labels-idx1-ubyte.gz",
        ("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",),
        29515,
        _at(_FASHION_AT, "train-labels-idx1-ubyte.gz"),
        29515,
    ),
    File(
        "t10k-images-idx3-ubyte.gz",
        (
            "78cb45a589ec14266eab4ac0cb2e9e10a4c076ae2d337fe86383d761bff83f32",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        4383619,
        _at(_FASHION_AT, "t10k-images-idx3-ubyte.gz"),
        4422102,
    ),
    File(
        "t10k-labels-idx1-ubyte.gz",
        ("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",),
        5148,
        _at(_FASHION_AT, "t10k-labels-idx1-ubyte.gz"),
        5148,
    ),
)

CIFAR10_PACK = File(
    "cifar10_jpeg60k.npz", ("e23e89bef469df7a612ae14bf42c5bf6f4e12b90fbd2f33083b690e4d9e834e9",), 18053428
)
CIFAR10_UPSTREAM = File(
    "cifar-10-binary.tar.gz",
    ("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",),
    170052171,
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    170052171,
)

CIFAR10_LOSSLESS = (
    File(
        "lossless_train_4000_labels.npz",
        ("b7b2f152a20910d76da71e4cc219fe6c6db5e342dba5ddadffa4b6b2905bc0bd",),
        11247,
    ),
    File(
        "lossless_train_batch_0.png",
        ("0614720d69293a033786d5fe2924c4e9a9b48874f19ca4627c4662a864ee9f2d",),
        2318456,
    ),
    File(
        "lossless_train_batch_1.png",
        ("2927e26ea68602e34a7424826b76b7336ce36b8f6bcc2e9fce0c05568ff6b4c1",),
        2326379,
    ),
    File(
        "lossless_train_batch_2.png",
        ("0b2759e307bb405bb1a6531f8a0f557eaec46d7546050612fdb836f0fa60eae0",),
        2312906,
    ),
    File(
        "lossless_train_batch_3.png",
        ("a4530ff15c83886058a97c352f53f38be07d191de8f410e998e91786b5900a26",),
        2328590,
    ),
)

TINY_IMAGENET25 = (
    File("train.npz", ("fc9bf448be3af0452d66a0846a99d21c25742dd01580f59f0b7141fa2168f877",), 20123394),
    File("val.npz", ("0f574a54a2819b33aee90963524607dfffde476da60c2a39dcfc599b9361dbf8",), 2483722),
)

SMILES64 = (
    File("smiles64.npz", ("084939ffa432aa9d8d63f53ad91d1f705ef6b7499f787b5b921b50ca6e1e5330",), 14326220),
)

DTD10 = (
    File("dtd10_192.npz", ("9cf7d8fce597f57d4c035ec24e669c853b0e36277f7389b9851c88ecf2b83482",), 8129853),
)

DTD_STRIPED = (
    File(
        "dtd_striped_256.npz", ("81200558e4bae0f2e63d57b9433af9ddd7784793a6befd5135187919263f4e54",), 2608363
    ),
)

CELEBAHQ128 = (
    File("celebahq128.npz", ("e374808f330c3737938d2b10efa166a71e24205785febdbd44fb4bc17bf084bc",), 38444822),
)

IMAGENET_SAMPLE1000 = (
    File(
        "imagenet_sample1000.npz",
        ("fe9839d78f4ca83aadf56e1dedc3c67b9b15828def1fadefdc1456ad49f47766",),
        20527641,
    ),
)

_UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/"

ADULT = (
    File(
        "adult.data.gz",
        (
            "fb9b6b419c38dd70d75d31f014b7f0905bf76e9625473c593455e31679a93184",
            "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        ),
        409337,
        (_UCI + "adult/adult.data",),
        3974305,
    ),
    File(
        "adult.test.gz",
        (
            "5dd8e51005f6a86e42f058d66a957721196362cf8e8dde3efc8508532af4a083",
            "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
        ),
        205510,
        (_UCI + "adult/adult.test",),
        2003153,
    ),
)

BANK_MARKETING = (
    File(
        "bank-additional-full.csv.gz",
        (
            "19d160205359e3f748931d09c670c755e4e66be9bf59e2f894f4f274ece9ce00",
            "74adfc578bf77a7ff4bb1ba4a9f8709d9e3c6907342959c2c8416847e0afb4d8",
        ),
        353504,
        (_UCI + "00222/bank-additional.zip",),
        5834924,
        partial(tabular.member, name="bank-additional/bank-additional-full.csv"),
    ),
)

IDENTIFIERS = ("name", "first", "last", "dob", "c_case_number", "r_case_number", "vr_case_number")
COMPAS = (
    File(
        "compas-scores-two-years-noid.csv.gz",
        (
            "e6afe34c6f68e873e89b0a6c6981446564d0ebc8eba5f81f282706d92f1757b3",
            "a5e5c34bfd2d1f065bb12a44c0323421baf74b98b97d585915a0c2e1513ecaba",
        ),
        423451,
        ("https://raw.githubusercontent.com/propublica/compas-analysis/master/compas-scores-two-years.csv",),
        2546489,
        partial(tabular.without, names=IDENTIFIERS),
    ),
)
