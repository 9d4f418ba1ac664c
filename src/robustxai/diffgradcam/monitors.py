"""Detection: what an auditor can compute without the honest network (entropy, agreement of scores).

The entropy monitor is the one that SHAM is built to evade; the agreement monitor is ours.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_floats, check_number
from robustxai.diffgradcam.contrastive_cams import ContrastiveCAM
from robustxai.metrics import entropy, pearson


class EntropyMonitor(NamedTuple):
    """Mean and standard deviation of the CAM entropy of honest networks, in nats.

    >>> honest = torch.rand(20, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    >>> monitor = EntropyMonitor.fit(honest)
    >>> monitor.zscore(torch.eye(49)[:4].reshape(4, 1, 7, 7)) < -3  # maps of one pixel
    True
    """

    mean: float
    std: float

    @classmethod
    def fit(cls, maps: Float[Tensor, "batch 1 height width"]) -> "EntropyMonitor":
        """From native-size maps (N, 1, h, w) of an honest network."""
        h = entropy(maps)
        h = h[torch.isfinite(h)]
        return cls(float(h.mean()), float(h.std()))

    def zscore(self, maps: Float[Tensor, "batch 1 height width"]) -> float:
        """How many standard deviations (per image) the mean entropy of `maps` lies from the honest mean."""
        mean = check_number("mean", self.mean)
        std = check_number("std", self.std, strict=True)
        return float((entropy(check_floats("maps", maps, "n", "1", "h", "w")).nanmean() - mean) / std)


def score_agreement(
    model: nn.Module, x: Float[Tensor, "batch channel height width"], layer: nn.Module | str | None = None
) -> dict[str, float]:
    """Mean Pearson between the maps of 'logit', 'mean' and 'lse' on images x: low says one was moved.

    Needs no second network; compare with the values of models that are known to be honest.

    >>> from robustxai.nets import CompactResNet
    >>> list(score_agreement(CompactResNet(classes=4).eval(), torch.rand(2, 3, 56, 56)))
    ['logit/mean', 'logit/lse', 'mean/lse']
    """
    maps = {s: ContrastiveCAM(model, layer, s, size="native").attribute(x) for s in ("logit", "mean", "lse")}
    pairs = (("logit", "mean"), ("logit", "lse"), ("mean", "lse"))
    return {f"{a}/{b}": float(pearson(maps[a], maps[b]).nanmean()) for a, b in pairs}
