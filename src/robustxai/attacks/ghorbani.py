"""Ghorbani, Abid & Zou (2019): move the top k, the centre of mass, or the mass onto a region. Objectives only.

Sign steps in an l_inf box, the best iterate with the clean prediction. All three read the explanation as shares of
its sum, so that a map cannot win by shrinking. For a ReLU network with two classes the normalised scores then have zero
gradient, whatever the score, because only the scale of its saliency has curvature: give `surrogate_beta`, else it is
reported.
"""

from typing import Any, SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from robustxai.attacks.budget import draw
from robustxai.attacks.descent import Objective
from robustxai.attacks.map_attack import GradientAttack
from robustxai.checks import check_count, check_k, check_positive
from robustxai.explainers.reduce import shares


class GhorbaniAttack(GradientAttack):
    """`GradientAttack` with the original's 100 sign steps as the default."""

    def __init__(self, eps: SupportsFloat, *, norm: str = "linf", steps: SupportsIndex = 100, **options: Any):
        super().__init__(eps, norm=norm, steps=steps, **options)


class TopKAttack(GhorbaniAttack):
    """Lower the share of the saliency that lies on the clean top k (spec 4.6).

    eps: half the side of the box in units of the input (l2 length with norm='l2'). Other arguments as in
    `GhorbaniAttack`; give `surrogate_beta` for ReLU networks.

    >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> bool((TopKAttack(2, 0.1, steps=5).perturb(model, torch.zeros(3, 6)).linf <= 0.1 + 1e-6).all())
    True
    """

    def __init__(self, k: SupportsIndex, eps: SupportsFloat, **options: Any):
        super().__init__(eps, **options)
        self.k = check_count("k", k)

    def objective(self, clean: Tensor) -> Objective:
        check_k(self.k, clean[0].numel())
        top = clean.flatten(1).topk(self.k).indices
        return lambda scores: shares(scores).gather(1, top).sum(1)


class TargetRegionAttack(GhorbaniAttack):
    """Raise the share of the saliency inside a region of the attacker's choice (spec 4.6).

    region: 0 or 1 for every ranked feature, (d,), (H, W) or (1, H, W), the same for all inputs. Other arguments as
    in `TopKAttack`.

    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> found = TargetRegionAttack(torch.tensor([0.0, 0.0, 0.0, 1.0]), 0.1, steps=5).perturb(model, torch.zeros(3, 4))
    >>> bool((found.loss <= found.clean_loss).all())
    True
    """

    def __init__(self, region: Shaped[Tensor, "..."], eps: SupportsFloat, **options: Any):
        super().__init__(eps, **options)
        if not isinstance(region, Tensor) or region.is_complex():
            raise ValueError(f"region must be a mask of zeros and ones, got {region!r:.40}")
        if not ((region == 0) | (region == 1)).all() or not 0 < region.sum() < region.numel():
            raise ValueError(
                "region must be a mask of zeros and ones, at least one of each, "
                f"got {int((region == 1).sum())} ones and {int((region == 0).sum())} zeros in {region.numel()} values"
            )
        self.region = region.flatten()

    def objective(self, clean: Tensor) -> Objective:
        if self.region.numel() != clean[0].numel():
            raise ValueError(
                f"region must hold one value for each of the {clean[0].numel()} features, got {self.region.numel()}"
            )
        region = self.region.to(clean)
        return lambda scores: -(shares(scores) * region).sum(1)


class MassCentreAttack(GhorbaniAttack):
    """Move the saliency's centre of mass away from where it is, in pixels (spec 4.6). For images only.

    jitter: standard deviation of the Gaussian start, shared by all inputs, because the distance has zero gradient at
    the clean input. Other arguments as in `TopKAttack`.

    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> MassCentreAttack(0.1, steps=5, clip=(0, 1)).perturb(model, torch.full((2, 1, 4, 4), 0.5)).x.shape
    torch.Size([2, 1, 4, 4])
    """

    def __init__(self, eps: SupportsFloat, *, jitter: SupportsFloat = 1e-3, **options: Any):
        super().__init__(eps, **options)
        self.jitter = check_positive("jitter", jitter)

    def start(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return x + self.jitter * draw(x[:1], generator)

    def objective(self, clean: Tensor) -> Objective:
        if clean.ndim != 4:
            raise ValueError(
                f"explain must return maps (n, 1, H, W) for a centre of mass, got shape {tuple(clean.shape)}"
            )
        here = centre_of_mass(clean)
        return lambda scores: -(centre_of_mass(scores) - here).norm(dim=1)


def centre_of_mass(maps: Float[Tensor, "n 1 height width"]) -> Float[Tensor, "n 2"]:
    """Row and column of the centre of mass of non-negative maps, in pixels.

    >>> centre_of_mass(torch.tensor([[[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]]))
    tensor([[0.5000, 2.0000]])
    """
    share = shares(maps).reshape(len(maps), *maps.shape[2:])
    rows, columns = (torch.arange(s, device=maps.device).to(maps) for s in maps.shape[2:])
    return torch.stack(((share.sum(2) * rows).sum(1), (share.sum(1) * columns).sum(1)), 1)
