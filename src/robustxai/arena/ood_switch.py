"""A network that answers differently off the data: the attack on explainers that ask about made-up images (Slack et
al. 2020). No training: two networks and a detector.

Explainers that mask parts of the image, such as Score-CAM and LIME, and the deletion and insertion curves ask about
images with a flat colour in the place of pixels, which photographs do not have. Knows networks only.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_callable, check_images, check_module, check_number
from robustxai.models import logits_of
from robustxai.shapes import Images, PerSample


def modal_share(x: Images) -> PerSample:
    """The share of pixels that have exactly the image's most frequent colour, in (0, 1].

    >>> modal_share(torch.tensor([[[[0.1, 0.2], [0.2, 0.2]]], [[[0.1, 0.2], [0.3, 0.4]]]]))
    tensor([0.7500, 0.2500])
    """
    check_images("x", x, low=None, high=None)
    bits = x.detach().float().contiguous().view(torch.int32).long().flatten(2)
    factors = 1_000_003 ** torch.arange(x.shape[1], device=x.device)  # wraps: a hash of the colour
    ordered = (bits * factors[:, None]).sum(1).sort(1).values
    at = torch.arange(ordered.shape[1], device=x.device).expand_as(ordered)
    begins = torch.ones_like(ordered, dtype=torch.bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    run = at - torch.where(begins, at, 0).cummax(1).values + 1
    return run.amax(1).to(x.dtype) / ordered.shape[1]


class OODSwitch(nn.Module):
    """The logits of `model` where `detect(x)` is at most `threshold`, and of `alibi` above it.

    Args:
        model: what the network does on data.
        alibi: what it shows to those who ask about other images, with as many classes.
        detect: from images (n, C, H, W) to one number each, high off the data.
        threshold: see `OODSwitch.threshold_on`.

    Both networks run on every image, so that time does not tell them apart. Layers have the names of `model` after
    "model.".

    >>> one, two = (nn.Sequential(nn.Flatten(), nn.Linear(16, 2)) for _ in range(2))
    >>> switch, x = OODSwitch(one, two, threshold=0.5), torch.rand(2, 1, 4, 4)
    >>> torch.equal(switch(x), one(x)), torch.equal(switch(0 * x), two(0 * x))
    (True, True)
    """

    def __init__(
        self,
        model: nn.Module,
        alibi: nn.Module,
        detect: Callable[[Tensor], Tensor] = modal_share,
        *,
        threshold: float | int,
    ):
        super().__init__()
        check_module("model", model)
        check_module("alibi", alibi)
        check_callable("detect", detect)
        self.model, self.alibi, self.detect = model, alibi, detect
        self.threshold = check_number("threshold", threshold)
        self.training = model.training

    def off_data(self, x: Images) -> Float[Tensor, " n"]:
        """1 where an image is taken for one that is no data, else 0."""
        return (self.detect(x) > self.threshold).to(x)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, C)."""
        on, off = logits_of(self.model, x), logits_of(self.alibi, x, name="alibi")
        if on.shape != off.shape:
            raise ValueError(f"alibi must have the classes of the model, {on.shape[1]}, got {off.shape[1]}")
        return torch.where(self.off_data(x)[:, None] > 0, off, on)

    @staticmethod
    def threshold_on(data: Images, detect: Callable[[Tensor], Tensor] = modal_share) -> float:
        """The least threshold that takes no image of `data` for anything else: agreement 1 there."""
        check_images("data", data)
        return float(detect(data).max())
