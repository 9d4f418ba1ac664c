"""How alike and how real, as a named network sees it: cosines of features and Frechet distances (spec 4.2 to 4.4, 4.8).

The paper's numbers use Inception, VGGFace2 and SimSiam features. These use a network that the caller names, so they
compare methods with each other and never with the paper: print the name beside them.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from robustxai.metrics.similarity import cosine
from robustxai.metrics.statistics import Mean, mean_ignoring_nan

Images = Float[Tensor, "n channel height width"]
Others = Float[Tensor, "m channel height width"]
IDENTITY = 0.5
REPEATS = 10


class Features(nn.Module):
    """What enters the last linear layer of a classifier, (n, d), under the classifier's `name`.

    Images are in [0, 1] and go in parts of `max_batch`, without gradients. Raises ValueError when the network has no
    linear layer or is in training mode.
    """

    def __init__(self, name: str, net: nn.Module, *, max_batch: int = 256) -> None:
        super().__init__()
        last = [module for module in net.modules() if isinstance(module, nn.Linear)]
        if not last:
            raise ValueError("net has no linear layer; accepted are classifiers that end in one")
        if net.training:
            raise ValueError("net is in training mode; accepted is net.eval()")
        self.name, self.net, self.max_batch = name, net, max_batch
        self.num_features = last[-1].in_features

    @torch.no_grad()
    def forward(self, x: Images) -> Float[Tensor, "n feature"]:
        found: list[Tensor] = []
        last = [module for module in self.net.modules() if isinstance(module, nn.Linear)][-1]
        handle = last.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
        try:
            for part in x.split(self.max_batch):
                self.net(part)
        finally:
            handle.remove()
        return torch.cat(found)


def similarity(features: Features, x: Images, image: Images) -> Float[Tensor, " n"]:
    """Cosine of the two images' features, in [-1, 1]: in the manner of FS and S3. High is good."""
    return cosine(features(x), features(image))


def same_identity(
    features: Features, x: Images, image: Images, *, threshold: float = IDENTITY
) -> Bool[Tensor, " n"]:
    """Whether the cosine is above `threshold`: in the manner of FVA, whose threshold is 0.5."""
    return similarity(features, x, image) > threshold


def frechet(features: Features, real: Images, fake: Others) -> float:
    """Frechet distance between the features of two sets of images, each of 2 or more: FID with this network.

    |mean difference|^2 + trace(A + B - 2 (A B)^(1/2)) with covariances A and B. Low is good; it is biased upwards for
    few images. Raises ValueError for fewer than 2 images.
    """
    if min(len(real), len(fake)) < 2:
        raise ValueError(
            f"real and fake hold {len(real)} and {len(fake)} images; accepted are 2 or more each"
        )
    measure = FrechetInceptionDistance(feature=features, normalize=True).to(real.device)
    measure.update(real, real=True)
    measure.update(fake, real=False)
    return max(0.0, float(measure.compute()))


def split_frechet(
    features: Features,
    x: Images,
    image: Others,
    *,
    repeats: int = REPEATS,
    generator: torch.Generator | None = None,
) -> Mean:
    """sFID: images of one half of the set against counterfactuals of the other half, both ways, `repeats` times.

    A counterfactual shares almost all pixels with its own image; here it never meets it. Raises ValueError unless
    there are as many images as counterfactuals, 4 or more.
    """
    if len(x) != len(image) or len(x) < 4:
        raise ValueError(
            f"x and image hold {len(x)} and {len(image)}; accepted are equal numbers of 4 or more"
        )
    values = []
    for _ in range(repeats):
        order = torch.randperm(len(x), generator=generator).to(x.device)
        one, two = order[: len(x) // 2], order[len(x) // 2 :]
        values += [frechet(features, x[one], image[two]), frechet(features, x[two], image[one])]
    return mean_ignoring_nan(torch.tensor(values, dtype=torch.float64))
