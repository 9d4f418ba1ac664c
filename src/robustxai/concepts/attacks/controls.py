"""Changes of the same size that are no attack: the four controls of every transfer table (spec section 6).

An effect counts only where the attack exceeds all of them.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from robustxai.attacks.budget import Budget
from robustxai.checks import check_count, check_generator
from robustxai.concepts.attacks.base import Perturbed, check_exemplars, in_bytes, level_of
from robustxai.shapes import Images

CONTROLS = ("sign noise", "permuted", "shuffled", "negated")


def sign_noise(x: Images, eps: float | int, *, generator: torch.Generator) -> Images:
    """Every pixel moved by +eps or -eps at random, in [0, 1] and on the uint8 grid.

    Raises ValueError for pixels off the grid, and an eps that is not one number from 0 to 1.

    >>> x = torch.full((1, 3, 2, 2), 100 / 255)
    >>> moved = sign_noise(x, 8 / 255, generator=torch.Generator().manual_seed(0))
    >>> (255 * (moved - x)).round().abs().unique()
    tensor([8.])
    """
    check_exemplars(x)
    check_generator("generator", generator)
    eps = level_of(eps)
    signs = torch.randint(2, x.shape, generator=generator, device=generator.device).to(x) * 2 - 1
    return in_bytes(eps).project(x + eps * signs, x)


def permuted(attacked: Perturbed, *, generator: torch.Generator) -> Images:
    """Each exemplar gets the perturbation of the next one in a random ring, never its own."""
    delta, budget = _one(attacked)
    order = torch.randperm(len(delta), generator=generator, device=generator.device).to(delta.device)
    giver = torch.empty_like(order)
    giver[order] = order.roll(1)
    return budget.project(attacked.clean + delta[giver], attacked.clean)


def shuffled(attacked: Perturbed, *, generator: torch.Generator) -> Images:
    """Each perturbation with its pixels in random order (colours stay together)."""
    delta, budget = _one(attacked)
    n, channels, height, width = delta.shape
    keys = torch.rand(n, height * width, generator=generator, device=generator.device).to(delta.device)
    order = keys.argsort(1)[:, None].expand(n, channels, -1)
    mixed = delta.flatten(2).gather(2, order).reshape(delta.shape)
    return budget.project(attacked.clean + mixed, attacked.clean)


def negated(attacked: Perturbed) -> Images:
    """Each perturbation with the opposite sign."""
    delta, budget = _one(attacked)
    return budget.project(attacked.clean - delta, attacked.clean)


def controls(attacked: Perturbed, *, seed: int = 0, noise: int = 3) -> Mapping[str, Images]:
    """All controls of an attack with one eps: `noise` sets of sign noise ("sign noise 1", ...) and the other three.

    Raises ValueError for an attack with several eps, and a seed or noise below 0.

    >>> from robustxai.concepts.attacks import pgd
    >>> p = pgd(torch.full((4, 3, 2, 2), 100 / 255), lambda images, rows: images.flatten(1).sum(1), eps=8 / 255)
    >>> list(controls(p, noise=1))
    ['sign noise 1', 'permuted', 'shuffled', 'negated']
    """
    seed, noise = check_count("seed", seed, 0), check_count("noise", noise, 0)
    _one(attacked)

    def stream(i: int) -> torch.Generator:
        return torch.Generator("cpu").manual_seed(1000 * seed + i)

    found = {
        f"sign noise {i + 1}": sign_noise(attacked.clean, attacked.eps, generator=stream(i))  # pyright: ignore[reportArgumentType]
        for i in range(noise)
    }
    return found | {
        "permuted": permuted(attacked, generator=stream(noise)),
        "shuffled": shuffled(attacked, generator=stream(noise + 1)),
        "negated": negated(attacked),
    }


def _one(attacked: Perturbed) -> tuple[Tensor, Budget]:
    if isinstance(attacked.budget, tuple):
        raise ValueError(f"attacked must be an attack with one eps, got a sweep of {len(attacked.budget)}")
    return attacked.delta, attacked.budget
