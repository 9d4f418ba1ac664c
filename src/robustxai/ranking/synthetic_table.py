"""A synthetic table like Adult: eight correlated numbers and five categories, and a score that is known.

The label is the sign of `log_odds` plus noise, so the true influence of every feature on every row is a
derivative, and the features that have none are known.
"""

from typing import SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_count, check_generator
from robustxai.data import Dataset

NUMERIC, LEVELS = 8, (4, 5, 3, 4, 4)
FEATURES = (*(f"c{i}" for i in range(NUMERIC)), *(f"cat{i}" for i in range(len(LEVELS))))
CORRELATION, NOISE = 0.5, 0.8

SILENT = LEVELS[-1]
"""The levels of the last category have no influence on the label."""


def coefficients(draw: int = 0) -> Float[Tensor, " 28"]:
    """The linear part: standard normal numbers from a generator of its own, zeros for the last category.

    The specification names no numbers. Draw 0 is the table of the chapter and was not chosen by any result; other draws
    are other tables of the same kind.
    """
    g = torch.Generator().manual_seed(10_000 + draw)
    loud = torch.randn(NUMERIC + sum(LEVELS) - SILENT, generator=g, device=g.device)
    return torch.cat((loud, loud.new_zeros(SILENT)))


def level_names() -> tuple[tuple[str, ...], ...]:
    """The levels of the thirteen columns: none for a number, "0", "1", ... for a category."""
    return ((),) * NUMERIC + tuple(tuple(map(str, range(n))) for n in LEVELS)


def log_odds(x: Float[Tensor, "n 28"], *, draw: int = 0) -> Float[Tensor, " n"]:
    """The score without its noise and its median, of rows whose categories are 0/1 columns (spec 12.1).

    Linear part + 1.2 tanh(c2 c3) + sin(2 c4) + c5 [cat0 = 0] - 0.8 c6^2 [cat1 = 0] (the fifth 0/1 column);
    differentiable in `x`, so that its gradient is the true influence of each feature on a row.
    """
    c, levels = x[:, :NUMERIC], x[:, NUMERIC:]
    linear = x @ coefficients(draw).to(x)
    curved = 1.2 * torch.tanh(c[:, 2] * c[:, 3]) + torch.sin(2 * c[:, 4])
    return linear + curved + c[:, 5] * levels[:, 0] - 0.8 * c[:, 6].square() * levels[:, 4]


def important() -> tuple[bool, ...]:
    """For each of the 28 columns whether it has any influence on the label: 24 have."""
    return tuple(weight != 0 for weight in coefficients().tolist())


def adult_like(
    n: SupportsIndex = 3000, *, draw: int = 0, generator: torch.Generator | None = None
) -> Dataset:
    """`n` rows of 8 numbers and 5 category codes; by default one table for each `draw`.

    >>> adult_like(100)
    Dataset(synth, train: 100 samples of 13, 2 classes)
    """
    n = check_count("n", n, 2)
    check_generator("generator", generator)
    draw = check_count("draw", draw, -(2**63))
    g = torch.Generator().manual_seed(draw) if generator is None else generator
    place = torch.arange(NUMERIC, dtype=torch.float64, device="cpu")
    covariance = CORRELATION ** (place[:, None] - place).abs()
    c = torch.randn(n, NUMERIC, generator=g, device=g.device) @ torch.linalg.cholesky(
        covariance
    ).T.float().to(g.device)
    codes = [torch.randint(levels, (n,), generator=g, device=g.device) for levels in LEVELS]
    columns = [torch.nn.functional.one_hot(z, k).float() for z, k in zip(codes, LEVELS, strict=True)]
    score = log_odds(torch.cat([c, *columns], 1), draw=draw)
    noisy = score - score.median() + NOISE * torch.randn(n, generator=g, device=g.device)
    x = torch.cat([c, torch.stack(codes, 1).float()], 1)
    return Dataset(
        x, (noisy > 0).long(), ("no", "yes"), "synth", "train", features=FEATURES, levels=level_names()
    )
