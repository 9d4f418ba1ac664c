"""The objectives of the suite as columns: those of the chapters, and two that read a corner or another image's map.

Each is `make(k, eps, **options)` with the options of `GradientAttack`; what is minimised is its `objective`. `topk`
is two papers in one: the sum of gaps between shares on the top k and the rest is d times its loss minus k.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from robustxai.arena.registry import attack
from robustxai.attacks.descent import Objective
from robustxai.attacks.ghorbani import MassCentreAttack, TopKAttack, centre_of_mass
from robustxai.attacks.map_attack import GradientAttack
from robustxai.explainers.reduce import shares
from robustxai.models import Network
from robustxai.ranking import MSEAttack, RankingAttack
from robustxai.shapes import Explain

attack("topk", paper="Ghorbani et al. 2019; Chen et al. 2024, normalised")(TopKAttack)
attack("er", paper="Chen et al. 2024")(RankingAttack)


@attack("mse", paper="Chen et al. 2024")
def mse_column(k: int, eps: float | int, **options: Any) -> GradientAttack:
    """The squared distance of raw maps; k is not used."""
    return MSEAttack(eps, **options)


@attack("centre", paper="Ghorbani et al. 2019")
def centre_column(k: int, eps: float | int, **options: Any) -> GradientAttack:
    """The way of the centre of mass; k is not used."""
    return MassCentreAttack(eps, **options)


class FarCornerAttack(GradientAttack):
    """Raise the share of the map inside the corner, a third of each side, that is farthest from its clean centre of
    mass (after the targeted attack of Ghorbani et al. 2019). For images only; arguments as of `GradientAttack`.

    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> found = FarCornerAttack(0.1, norm="linf", steps=5, clip=(0, 1)).perturb(model, torch.full((2, 1, 6, 6), 0.5))
    >>> bool((found.loss <= found.clean_loss).all())
    True
    """

    def objective(self, clean: Tensor) -> Objective:
        if clean.ndim != 4:
            raise ValueError(
                f"explain must return maps (n, 1, H, W) for a corner, got shape {tuple(clean.shape)}"
            )
        corner = far_corner(clean).flatten(1).to(clean)
        return lambda scores: -(shares(scores) * corner).sum(1)


def far_corner(maps: Tensor) -> Tensor:
    """Where the corner lies that is farthest from each map's centre of mass: booleans like the maps (n, 1, H, W).

    >>> maps = torch.zeros(1, 1, 3, 3)
    >>> maps[..., 2, 2] = 1
    >>> far_corner(maps).int()[0, 0, 0].tolist()
    [1, 0, 0]
    """
    height, width = maps.shape[2:]
    middle = centre_of_mass(maps)
    high, left = max(1, round(height / 3)), max(1, round(width / 3))
    rows, columns = (torch.arange(s, device=maps.device) for s in (height, width))
    low_rows = torch.where(middle[:, :1] < (height - 1) / 2, rows >= height - high, rows < high)
    low_columns = torch.where(middle[:, 1:] < (width - 1) / 2, columns >= width - left, columns < left)
    return (low_rows[:, :, None] & low_columns[:, None, :])[:, None]


@attack("region", paper="Ghorbani et al. 2019", targeted=True)
def region_column(k: int, eps: float | int, **options: Any) -> GradientAttack:
    """The far corner; k is not used."""
    return FarCornerAttack(eps, **options)


class OtherMapAttack(GradientAttack):
    """Make the map that of another image: ||s - g||^2 of shares, g the clean map of the next input of the batch that
    is given to `perturb`, which needs two (the goal of Dombrowski et al. 2019). Arguments as of `GradientAttack`.

    >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> found = OtherMapAttack(0.5, steps=5).perturb(model, torch.eye(3, 6))
    >>> bool((found.loss <= found.clean_loss).all())
    True
    """

    def objectives(
        self, scores: Explain, networks: Sequence[Network], x: Tensor, t: Tensor
    ) -> Callable[[slice, Tensor], Objective]:
        if len(x) < 2:
            raise ValueError("x must hold two inputs or more, whose maps are each other's goals, got 1")
        parts = zip(x.split(self.batch_size), t.split(self.batch_size), strict=True)
        goals = torch.cat([shares(scores(*part)) for part in parts]).roll(-1, 0)

        def objective(rows: slice, clean: Tensor) -> Objective:
            return lambda found: (shares(found) - goals[rows]).square().sum(1)

        return objective


@attack("target", paper="Dombrowski et al. 2019", targeted=True)
def target_column(k: int, eps: float | int, **options: Any) -> GradientAttack:
    """The next image's map; k is not used."""
    return OtherMapAttack(eps, **options)
