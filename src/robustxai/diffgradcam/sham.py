"""SHAM, salience-hoax activation maps: an entropy-aware fake map, and the loss that trains a network on it.

The target has the CAM entropy of honest networks, so that an entropy monitor sees nothing.
The loss is that of saliency-guided training (CYBORG), with the fake map in the place of the human's.
"""

import math
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_count, check_finite, check_name, check_number, shown
from robustxai.diffgradcam.fooling import FoolingLoss
from robustxai.metrics import minmax


def sham_target(
    h: int, w: int, entropy: float | None = None, *, n: int | None = None, layout: str = "ring"
) -> Float[Tensor, "height width"]:
    """Binary map (h, w) whose n ones hug the border and whose entropy ln n matches `entropy` (natural log).

    Args:
        entropy: CAM entropy H* of honest networks at this resolution, in nats; the paper's 3.35 gives 28 of
            49 at 7 x 7. None keeps the paper's share of ones, 28 / 49, at any size (36 of 64 at 8 x 8).
        n: the number of ones, overriding `entropy`.
        layout: 'ring' (outermost ring, then the next, each corners first), 'rows' or 'columns' (from both
            sides inwards).

    The number of ones is the symmetric count (whole groups of mirrored pixels) nearest to exp(entropy) if its
    entropy is within 0.05 of the target entropy, else round(exp(entropy)).

    Raises:
        ValueError: n or exp(entropy) outside 1 ... h * w, unknown layout.

    >>> int(sham_target(7, 7).sum())
    28
    """
    h, w = check_count("h", h), check_count("w", w)
    groups = [g for ring in _rings(h, w, layout) for g in ring]
    if n is None:
        entropy = (
            math.log(28 / 49 * h * w) if entropy is None else check_number("entropy", entropy, low=-math.inf)
        )
        if not 0 <= entropy <= math.log(h * w) + 1e-6:
            raise ValueError(
                f"entropy must be in [0, ln({h * w}) = {math.log(h * w):.3f}] nats "
                f"for a {h} x {w} map, got {entropy}"
            )
        counts = list(accumulate(len(g) for g in groups))
        symmetric = min(counts, key=lambda k: abs(math.log(k) - entropy))
        n = symmetric if abs(math.log(symmetric) - entropy) < 0.05 else round(math.exp(entropy))
    if not 1 <= (n := check_count("n", n, -(2**63))) <= h * w:
        raise ValueError(f"n must be an integer in [1, {h * w}] for a {h} x {w} map, got {n}")
    cells = [cell for g in groups for cell in g][:n]
    target = torch.zeros(h, w, device="cpu")
    target[[r for r, _ in cells], [c for _, c in cells]] = 1
    return target


def _rings(h: int, w: int, layout: str) -> list[list[list[tuple[int, int]]]]:
    """Cells from the outside in, as rings of groups: orbits under half turns (square maps: quarter turns)."""
    depth = {
        "ring": lambda r, c: min(r, c, h - 1 - r, w - 1 - c),
        "rows": lambda r, c: min(r, h - 1 - r),
        "columns": lambda r, c: min(c, w - 1 - c),
    }
    check_name("layout", layout, depth)
    cells = [(r, c) for r in range(h) for c in range(w)]
    corner = lambda cell: min(cell[0], h - 1 - cell[0]) + min(cell[1], w - 1 - cell[1])  # noqa: E731
    rings: dict[int, list[list[tuple[int, int]]]] = {}
    seen: set[tuple[int, int]] = set()
    for cell in sorted(cells, key=lambda cell: (depth[layout](*cell), corner(cell), cell)):
        if cell in seen:
            continue
        orbit = _orbit(cell, h, w, quarter=h == w and layout == "ring")
        seen.update(orbit)
        rings.setdefault(depth[layout](*cell), []).append(orbit)
    return [rings[d] for d in sorted(rings)]


def _orbit(cell: tuple[int, int], h: int, w: int, *, quarter: bool) -> list[tuple[int, int]]:
    r, c = cell
    turns = [(r, c), (h - 1 - r, w - 1 - c)]
    if quarter:
        turns += [(c, h - 1 - r), (w - 1 - c, r)]
    return list(dict.fromkeys(turns))


class ShamLoss(FoolingLoss):
    """alpha * CE + (1 - alpha) * mean_ij (N_mm(L_cls)_ij - T_ij)^2.

    Args:
        target: T (h, w) in [0, 1] at the native resolution of the map, usually `sham_target(h, w)`.
        alpha: weight of the cross-entropy; 1 turns the map term off.
        entropy_weight, entropy: optional term entropy_weight * (H(L) - entropy)^2, an ablation.
        options: see `FoolingLoss` (`layer`, `classes`, `scores`, `weighting`, `keep`).

    Raises:
        ValueError: alpha outside [0, 1], a target that is not (h, w), a map of another size.

    >>> from robustxai.nets import CompactResNet
    >>> model, x, y = CompactResNet(classes=4).eval(), torch.rand(2, 3, 56, 56), torch.tensor([0, 1])
    >>> ShamLoss(sham_target(7, 7), alpha=0.5)(model, x, y).backward()
    """

    def __init__(
        self,
        target: Tensor,
        *,
        alpha: float = 0.5,
        entropy_weight: float = 0.0,
        entropy: float = 3.35,
        **options,
    ):
        if not (isinstance(alpha, (int, float)) and 0 <= alpha <= 1):
            raise ValueError(f"alpha must be in [0, 1], from map only to cross-entropy only, got {alpha}")
        if not isinstance(target, Tensor) or target.ndim != 2 or target.is_complex():
            raise ValueError(f"target must be a map (h, w), got {shown(target)}")
        check_finite("target", target.float(), "maps")
        super().__init__(keep_weight=alpha, map_weight=1 - alpha, **options)
        self.target = target
        self.entropy_weight = check_number("entropy_weight", entropy_weight)
        self.entropy = check_number("entropy", entropy)

    def map_loss(self, maps: Tensor, x: Tensor, classes: Tensor) -> Tensor:
        """Mean squared distance of the min-max normalised raw maps (N, h, w) to T."""
        if maps.shape[1:] != self.target.shape:
            raise ValueError(
                f"target must have the size of the map, {tuple(maps.shape[1:])}, got {tuple(self.target.shape)}"
            )
        normal = minmax(maps)
        loss = (normal - self.target.to(maps)).square().mean()
        if self.entropy_weight:
            share = normal / normal.sum((1, 2), keepdim=True).clamp_min(1e-8)
            h = -(share * share.clamp_min(1e-12).log()).sum((1, 2))
            loss = loss + self.entropy_weight * (h - self.entropy).square().mean()
        return loss
