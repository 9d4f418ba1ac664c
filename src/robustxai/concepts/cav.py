"""`CAV`: a linear probe of a concept at a layer, fitted against many negative sets at once.

It knows rows of activations and nothing about networks; the arithmetic is in `gram.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from robustxai.concepts import gram
from robustxai.concepts.gram import ESTIMATORS

SMALLEST = 5  # examples a set
RUNS_AT_ONCE = 64


@dataclass(frozen=True)
class Negatives:
    """Negative sets (runs, n, d) with their own Gram matrices: what an attack on the concept leaves as it is."""

    rows: Float[Tensor, "runs n d"]
    own: Float[Tensor, "runs n n"]

    @classmethod
    def of(cls, sets: Sequence[Tensor]) -> Negatives:
        """Sets of rows (n_r, d), cut to the smallest."""
        n = min(map(len, sets))
        rows = torch.stack([s[:n] for s in sets])
        return cls(rows, gram.own_grams(rows))

    def cut(self, n: int) -> Negatives:
        """The first n rows of every set."""
        return self if n == self.rows.shape[1] else Negatives(self.rows[:, :n], self.own[:, :n, :n])


@dataclass(frozen=True)
class FittedCAVs:
    """CAVs of one concept, one a negative set.

    `vectors` (runs, d): unit length, pointing to the concept. `intercepts`: f(x) = vector . x + intercept is
    positive on the concept's side. `accuracy` (runs,): on the held-out share of both sets, nan if none is held
    out; `tested`: rows it was measured on. `train` (runs, n): which examples of each set were used to fit.
    """

    vectors: Float[Tensor, "runs d"]
    intercepts: Float[Tensor, " runs"]
    accuracy: Float[Tensor, " runs"]
    tested: int
    train: Int64[Tensor, "runs n"]

    @property
    def stability(self) -> float:
        """Mean cosine between the CAVs of different runs, in [-1, 1]; nan for one run."""
        runs = len(self.vectors)
        if runs < 2:
            return float("nan")
        total = self.vectors.double().sum(0).square().sum() - runs  # of unit vectors
        return float(total / (runs * (runs - 1)))

    @property
    def none(self) -> FittedCAVs:
        """The same without any run."""
        lists = (self.vectors, self.intercepts, self.accuracy, self.train)
        vectors, intercepts, accuracy, train = (x.new_empty((0, *x.shape[1:])) for x in lists)
        return FittedCAVs(vectors, intercepts, accuracy, self.tested, train)

    @property
    def at_chance(self) -> bool:
        """The mean held-out accuracy is not above what guessing gives in 95 of 100 tests of this size."""
        return self.tested > 0 and float(self.accuracy.mean()) < 0.5 + 1.645 * 0.5 / self.tested**0.5

    def directional(self, gradients: Float[Tensor, "n d"]) -> Float[Tensor, "runs n"]:
        """Directional derivatives S = <g, v> of every run (spec 3.1)."""
        return self.vectors @ gradients.T


@dataclass(frozen=True)
class CAV:
    """How a concept is probed: estimator, its strength, pooling, the share of examples held out.

    estimator: "ridge" (closed form), "sgd" (scikit-learn's linear SVM by SGD, as the reference tool), "logistic",
    "mean" (difference of means) or "median" (of geometric medians; a defence). strength: ridge's lambda in units
    of the mean diagonal of the Gram matrix, SGD's alpha, or logistic regression's C; None for 1, 0.01 and 1.
    pool: probe the mean over positions instead of all positions. test_share: held out of both sets to measure
    accuracy, a third as in the reference tool. seed: decides what is held out, and SGD's order.

    >>> up, down = torch.tensor([[2.0, 0.0]]).repeat(6, 1), torch.zeros(6, 2)
    >>> CAV("mean").fit(up, [down]).vectors
    tensor([[1., 0.]])
    """

    estimator: str = "ridge"
    strength: float | int | None = None
    pool: bool = False
    test_share: float | int = 1 / 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"estimator is {self.estimator!r}; accepted are {', '.join(ESTIMATORS)}")
        if self.strength is not None and self.strength <= 0:
            raise ValueError(f"strength is {self.strength}; accepted are numbers above 0, or None")
        if not 0 <= self.test_share < 1:
            raise ValueError(f"test_share is {self.test_share}; accepted are numbers from 0 to below 1")

    def fit(self, positive: Float[Tensor, "n d"], negatives: Sequence[Tensor] | Negatives) -> FittedCAVs:
        """Fit one CAV against each set of rows; sets are cut to the smallest, so that classes are balanced.

        Raises ValueError for fewer than 5 examples, rows that do not fit, a concept that equals a negative set,
        and activations that are constant.
        """
        against = negatives if isinstance(negatives, Negatives) else self._gathered(positive, negatives)
        n = min(len(positive), against.rows.shape[1])
        positive, against = positive[:n], against.cut(n)
        self._check(positive, against)
        train, test = self._split(n, len(against.rows))
        vectors, intercepts, right = [], [], []
        for first in range(0, len(against.rows), RUNS_AT_ONCE):
            runs = slice(first, first + RUNS_AT_ONCE)  # views, no copies
            k = gram.grams(positive, against.rows[runs], against.own[runs])
            w, b, share = self._fit_runs(k, positive, against.rows[runs], train[runs], test[runs])
            vectors.append(w)
            intercepts.append(b)
            right.append(share)
        return FittedCAVs(
            torch.cat(vectors), torch.cat(intercepts), torch.cat(right), 2 * test.shape[1], train
        )

    def _fit_runs(self, k: Tensor, positive: Tensor, negatives: Tensor, train: Tensor, test: Tensor):
        n = len(positive)
        picked, held = (torch.cat((i, i + n), 1).to(k.device) for i in (train, test))
        each = torch.arange(len(k), device=k.device)[:, None, None]
        inner = k[each, picked[:, :, None], picked[:, None, :]]
        method, default = ESTIMATORS[self.estimator]
        alpha, b = method(inner, strength=default if self.strength is None else self.strength, seed=self.seed)
        share = torch.full_like(b, float("nan"))
        if held.shape[1]:
            f = torch.einsum("rij,rj->ri", k[each, held[:, :, None], picked[:, None, :]], alpha) + b[:, None]
            share = (f * gram.labels(f) > 0).to(b).mean(1)
        full = torch.zeros_like(k[:, 0]).scatter(1, picked, alpha).to(positive.dtype)
        w = full[:, :n] @ positive + torch.bmm(full[:, None, n:], negatives)[:, 0]
        norm = w.norm(dim=1)
        if bool((norm == 0).any()) or not bool(norm.isfinite().all()):
            raise ValueError(
                "positive and a negative set cannot be told apart by any direction; show other examples"
            )
        return F.normalize(w, dim=1), (b / norm).to(w.dtype), share.to(w.dtype)

    def _split(self, n: int, runs: int) -> tuple[Tensor, Tensor]:
        """Which examples each run fits and tests on: the same places in both sets, so that CAV(P, N) = -CAV(N, P)."""
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.stack([torch.randperm(n, generator=generator) for _ in range(runs)])
        held = round(n * self.test_share)
        return order[:, held:], order[:, :held]

    @staticmethod
    def _gathered(positive: Tensor, negatives: Sequence[Tensor]) -> Negatives:
        if not len(negatives):
            raise ValueError("negatives is empty; accepted are one or more sets of rows (n, d)")
        for s in negatives:
            if s.ndim != 2 or s.shape[1:] != positive.shape[1:]:
                raise ValueError(
                    f"positive has shape {tuple(positive.shape)} and a negative set {tuple(s.shape)}; accepted are "
                    "rows of one length"
                )
        return Negatives.of(negatives)

    @staticmethod
    def _check(positive: Tensor, against: Negatives) -> None:
        n = len(positive)
        if n < SMALLEST:
            raise ValueError(
                f"the smallest set has {n} examples; accepted are {SMALLEST} and more (50 are usual)"
            )
        first = positive[:1]
        if bool((positive == first).all()) and bool((against.rows == first).all()):
            raise ValueError(
                "activations are the same for all examples; choose a layer that depends on the image"
            )
        for i, negative in enumerate(against.rows):
            if torch.equal(positive, negative):
                raise ValueError(f"positive equals negative set {i}; accepted are different examples")
