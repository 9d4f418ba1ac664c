"""Heo, Joo & Moon (NeurIPS 2019): location, top-k, centre-mass and active fooling, CE + lambda * L_F.

Maps are GradCAM maps at native resolution, normalised as in the original code. Batch norm stays in eval mode
while fine-tuning.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import (
    check_count,
    check_floats,
    check_generator,
    check_images,
    check_module,
    check_number,
)
from robustxai.diffgradcam.capture import cut, find_layer
from robustxai.diffgradcam.fooling import FoolingLoss, class_maps
from robustxai.metrics import minmax


def border(h: int, w: int) -> Float[Tensor, "height width"]:
    """Ones on a border of width floor(side / 7), zeros inside: 24 ones at 7 x 7.

    >>> int(border(7, 7).sum())
    24
    """
    h, w = check_count("h", h), check_count("w", w)
    if min(h, w) < 7:
        raise ValueError(
            f"h and w must be at least 7 x 7 for the border of the location attack, got {h} x {w}"
        )
    m = torch.ones(h, w, device="cpu")
    m[h // 7 : h - h // 7, w // 7 : w - w // 7] = 0
    return m


class HeoLocation(FoolingLoss):
    """mean_ij (h_ij - M_ij)^2 with h = ReLU(map) / max and M the border mask (or any `mask` (h, w)).

    >>> from robustxai.nets import CompactResNet
    >>> model, x, y = CompactResNet(classes=4).eval(), torch.rand(2, 3, 56, 56), torch.tensor([0, 1])
    >>> HeoLocation(lam=10.0)(model, x, y).backward()
    """

    def __init__(self, *, lam: float = 1.0, mask: Tensor | None = None, **options):
        super().__init__(map_weight=check_number("lam", lam), **options)
        self.mask = None if mask is None else check_floats("mask", mask, "h", "w")

    def map_loss(self, maps: Tensor, x: Tensor, classes: Tensor) -> Tensor:
        mask = border(*maps.shape[1:]) if self.mask is None else self.mask
        positive = maps.relu()
        return (positive / (positive.amax((1, 2), keepdim=True) + 1e-8) - mask.to(maps)).square().mean()


class ReferenceLoss(FoolingLoss):
    """An attack that needs the map of the frozen original network."""

    def __init__(self, original: nn.Module, *, lam: float = 1.0, **options):
        super().__init__(map_weight=check_number("lam", lam), **options)
        check_module("original", original)
        self.original = original

    def reference(self, x: Tensor, classes: Tensor) -> Tensor:
        """Min-max normalised maps (N, h, w) of the original network, no graph."""
        c = cut(self.original, find_layer(self.original, self.layer), x)
        return minmax(class_maps(c, self.scores[0], classes, self.weight_fn).detach())


class HeoTopK(ReferenceLoss):
    """mean over P of h_ij^2, P the top `share` pixels of the original network's map (the paper states |h|;
    the code squares).

    >>> from robustxai.nets import CompactResNet
    >>> original, x, y = CompactResNet(classes=4).eval(), torch.rand(2, 3, 56, 56), torch.tensor([0, 1])
    >>> bool(HeoTopK(original).map_term(original, x, y) >= 0)
    True
    """

    def __init__(self, original: nn.Module, *, lam: float = 1.0, share: float = 0.1, **options):
        number = isinstance(share, (int, float)) and not isinstance(share, bool)
        if not (number and 0 < share < 1):
            raise ValueError(f"share must be a fraction of pixels in (0, 1), got {share!r}")
        super().__init__(original, lam=lam, **options)
        self.share = share

    def map_loss(self, maps: Tensor, x: Tensor, classes: Tensor) -> Tensor:
        flat = self.reference(x, classes).flatten(1)
        top = flat.topk(max(1, round(self.share * flat.shape[1])), 1).indices
        return minmax(maps).flatten(1).gather(1, top).square().mean()


class HeoCentreMass(ReferenceLoss):
    """-(|C_row(h) - C_row(h0)| + |C_col(h) - C_col(h0)|), C the intensity-weighted mean index of the map.

    >>> from robustxai.nets import CompactResNet
    >>> original, x, y = CompactResNet(classes=4).eval(), torch.rand(2, 3, 56, 56), torch.tensor([0, 1])
    >>> bool(HeoCentreMass(original).map_term(original, x, y) == 0)  # before a step nothing has moved
    True
    """

    def map_loss(self, maps: Tensor, x: Tensor, classes: Tensor) -> Tensor:
        return -(mean_index(minmax(maps)) - mean_index(self.reference(x, classes))).abs().sum(-1).mean()


def mean_index(maps: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch 2"]:
    """Intensity-weighted mean (row, column) index, 1-based."""
    rows = torch.arange(1, maps.shape[1] + 1, device=maps.device, dtype=maps.dtype)
    cols = torch.arange(1, maps.shape[2] + 1, device=maps.device, dtype=maps.dtype)
    total = maps.sum((1, 2)) + 1e-8
    return torch.stack(((maps.sum(2) @ rows) / total, (maps.sum(1) @ cols) / total), -1)


def centre_shift(maps: Tensor, reference: Tensor) -> Float[Tensor, " batch"]:
    """Centre-mass displacement sqrt((dr^2 + dc^2) / 2) / (side - 1), in [0, 1], of maps (N, h, w).

    >>> corners = torch.eye(49)[[0, 48]].reshape(2, 7, 7)  # the first and the last pixel
    >>> round(float(centre_shift(corners[:1], corners[1:])), 4)
    1.0
    """
    check_floats("maps", maps, "n", "h", "w")
    check_floats("reference", reference, "n", "h", "w")
    if maps.shape != reference.shape:
        raise ValueError(
            f"reference must have the shape of maps, {tuple(maps.shape)}, got {tuple(reference.shape)}"
        )
    d = mean_index(minmax(maps)) - mean_index(minmax(reference))
    return (d.square().sum(-1) / 2).sqrt() / (maps.shape[1] - 1)


class HeoActive(ReferenceLoss):
    """Active fooling: on images that show classes c1 and c2, swap their maps.

    1/2 [MSE(h_c1, h0_c2) + MSE(h_c2, h0_c1)] on `pairs` (images (M, C, H, W) that hold both objects), while
    cross-entropy stays on the training batch. Each step draws `batch_size` pair images with `generator`.

    >>> from robustxai.nets import CompactResNet
    >>> original, x, y = CompactResNet(classes=4).eval(), torch.rand(2, 3, 56, 56), torch.tensor([0, 1])
    >>> HeoActive(original, torch.rand(6, 3, 56, 56), c1=0, c2=1)(original, x, y).backward()
    """

    def __init__(
        self,
        original: nn.Module,
        pairs: Tensor,
        c1: int,
        c2: int,
        *,
        lam: float = 10.0,
        batch_size: int = 32,
        generator: torch.Generator | None = None,
        **options,
    ):
        c1, c2, batch_size = (
            check_count("c1", c1, 0),
            check_count("c2", c2, 0),
            check_count("batch_size", batch_size),
        )
        check_images("pairs", pairs, low=None, high=None)
        check_generator("generator", generator)
        if c1 == c2:
            raise ValueError(
                f"c1 and c2 must be two different classes, whose maps active fooling swaps, got {c1} for both"
            )
        super().__init__(original, lam=lam, **options)
        self.pairs, self.c1, self.c2, self.batch_size, self.generator = pairs, c1, c2, batch_size, generator

    def terms(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        keep, _ = super().terms(model, x, y)
        where = "cpu" if self.generator is None else self.generator.device
        shape = (min(self.batch_size, len(self.pairs)),)
        pick = torch.randint(len(self.pairs), shape, generator=self.generator, device=where)
        return keep, self.swap_loss(model, self.pairs[pick.to(self.pairs.device)])

    def map_loss(self, maps: Tensor, x: Tensor, classes: Tensor) -> Tensor:
        return maps.new_zeros(())

    def swap_loss(self, model: nn.Module, x: Tensor) -> Tensor:
        """The swap term on images x (M, C, H, W)."""
        c = cut(model, find_layer(model, self.layer), x, attached=True)
        c1, c2 = (torch.full((len(x),), k, dtype=torch.int64, device=x.device) for k in (self.c1, self.c2))
        maps = [minmax(class_maps(c, self.scores[0], k, self.weight_fn)) for k in (c1, c2)]
        return 0.5 * sum(
            ((m - self.reference(x, k)).square().mean() for m, k in zip(maps, (c2, c1), strict=True)),
            torch.zeros((), device=x.device),
        )
