"""How alike and how real, as a named network sees it: cosines of features and Frechet distances (spec 4.2 to 4.4, 4.8).

The paper's numbers use Inception, VGGFace2 and SimSiam features. These use a network that the caller names, so they
compare methods with each other and never with the paper: print the name beside them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from robustxai.ace.checks import check_image_pair
from robustxai.capture import observed
from robustxai.checks import check_count, check_images, check_number
from robustxai.eval_mode import check_calm
from robustxai.metrics.similarity import cosine
from robustxai.metrics.statistics import Mean, mean_ignoring_nan
from robustxai.models import find_head, is_logits, logits_of
from robustxai.shapes import Images, OtherImages

IDENTITY = 0.5
REPEATS = 10


class Features(nn.Module):
    """What enters the last linear layer of a classifier, (n, d), under the classifier's `name`.

    Last is the layer whose output is the logits, or, where they are scaled behind it, the one that runs last. Images
    are in [0, 1] and go in parts of `batch_size`, without gradients. Raises ValueError when the network has none, is
    in training mode, or is shown images that are not finite.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    >>> Features("tiny", net)(torch.zeros(5, 1, 2, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(self, name: str, net: nn.Module, *, batch_size: int = 256) -> None:
        super().__init__()
        if not isinstance(net, nn.Module) or not any(isinstance(m, nn.Linear) for m in net.modules()):
            raise ValueError(
                "net must be a classifier that ends in a linear layer, got a network with no linear layer"
            )
        check_calm("net", net)
        self.name, self.net, self.batch_size = name, net, check_count("batch_size", batch_size)

    @property
    def num_features(self) -> int:
        """d; the layer is found with made-up images. Raises ValueError where none of them fits the network."""
        return find_head(self.net).in_features

    @torch.no_grad()
    def forward(self, x: Images) -> Float[Tensor, "n feature"]:
        check_images("x", x, low=None, high=None)
        check_calm("net", self.net)
        linear = [m for m in self.net.modules() if isinstance(m, nn.Linear)]
        return torch.cat([self._of(part, linear) for part in x.split(self.batch_size)])

    def _of(self, x: Tensor, linear: list[nn.Linear]) -> Tensor:
        seen: list[tuple[Tensor, Tensor]] = []

        def see(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.append((inputs[0], output))

        with observed(*((m, see) for m in linear)):
            logits = logits_of(self.net, x, name="net")
        if not seen:
            raise ValueError(
                "net must be a classifier that ends in a linear layer, got a network that runs no linear layer"
            )
        found = next((before for before, after in reversed(seen) if is_logits(after, logits)), seen[-1][0])
        return found.reshape(len(x), -1)


def similarity(features: Features, x: Images, image: Images) -> Float[Tensor, " n"]:
    """Cosine of the two images' features, in [-1, 1]: in the manner of FS and S3. High is good.

    NaN where the network sees nothing, that is, where all features are 0. Raises ValueError for other shapes.
    """
    check_image_pair(x, image)
    return cosine(features(x), features(image))


def same_identity(
    features: Features, x: Images, image: Images, *, threshold: float = IDENTITY
) -> Bool[Tensor, " n"]:
    """Whether the cosine is above `threshold`, in [-1, 1]: in the manner of FVA, whose threshold is 0.5.

    Raises ValueError where a cosine does not exist, as all features of an image are 0.
    """
    threshold = check_number("threshold", threshold, low=-1.0, high=1.0)
    found = similarity(features, x, image)
    if none := int(found.isnan().sum()):
        raise ValueError(
            f"features must not all be 0 in an image, got such images in {none} of {len(x)} pairs"
        )
    return found > threshold


def frechet(features: Features, real: Images, fake: OtherImages) -> float:
    """Frechet distance between the features of two sets of images, each of 2 or more: FID with this network.

    |mean difference|^2 + trace(A + B - 2 (A B)^(1/2)) with covariances A and B. Low is good; it is biased upwards for
    few images. In double precision on the CPU. Raises ValueError for fewer than 2 images.
    """
    for name, images in (("real", real), ("fake", fake)):
        check_images(name, images, low=None, high=None, empty=True)
    if min(len(real), len(fake)) < 2:
        raise ValueError(f"real and fake must hold 2 images or more each, got {len(real)} and {len(fake)}")
    a, b = (features(images).cpu() for images in (real, fake))
    with torch.device("cpu"):  # whatever the default device is
        measure = FrechetInceptionDistance(feature=_Given(a.shape[1]), normalize=True)
        measure.update(a, real=True)
        measure.update(b, real=False)
        distance = float(measure.compute())
    return distance if math.isnan(distance) else max(0.0, distance)


class _Given(nn.Module):
    """Features that are there already, as torchmetrics asks for a network."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def split_frechet(
    features: Features,
    x: Images,
    image: OtherImages,
    *,
    repeats: int = REPEATS,
    generator: torch.Generator | None = None,
) -> Mean:
    """sFID: images of one half of the set against counterfactuals of the other half, both ways, `repeats` times.

    A counterfactual shares almost all pixels with its own image; here it never meets it. Raises ValueError unless
    there are as many images as counterfactuals, 4 or more.
    """
    for name, images in (("x", x), ("image", image)):
        check_images(name, images, low=None, high=None, empty=True)
    repeats = check_count("repeats", repeats)
    if len(x) != len(image) or len(x) < 4:
        raise ValueError(
            f"x and image must hold equal numbers of 4 images or more, got {len(x)} and {len(image)}"
        )
    values = []
    for _ in range(repeats):
        device = "cpu" if generator is None else generator.device
        order = torch.randperm(len(x), generator=generator, device=device).to(x.device)
        one, two = order[: len(x) // 2], order[len(x) // 2 :]
        values += [frechet(features, x[one], image[two]), frechet(features, x[two], image[one])]
    return mean_ignoring_nan(torch.tensor(values, dtype=torch.float64, device="cpu"))
