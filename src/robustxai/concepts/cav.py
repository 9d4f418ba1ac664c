"""`CAV`: a linear probe of a concept at a layer, fitted against many negative sets at once.

It knows rows of activations and nothing about networks; the arithmetic is in `gram_probes.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from robustxai.checks import check_count, check_name, check_number, check_positive, check_sequence
from robustxai.concepts import gram_probes
from robustxai.concepts.gram_probes import ESTIMATORS
from robustxai.concepts.rows import check_alike, check_feature_rows, drawn

SMALLEST = 5  # examples a set
RUNS_AT_ONCE = 64
CONSTANT = "activations are the same for all examples{}; choose a layer that depends on the image"


@dataclass(frozen=True)
class Negatives:
    """Negative sets (runs, n, d) with their own Gram matrices: what an attack on the concept leaves as it is.

    >>> sets = Negatives.of([torch.zeros(6, 2), torch.ones(9, 2)])
    >>> sets.rows.shape, sets.own.shape, sets.cut(5).rows.shape
    (torch.Size([2, 6, 2]), torch.Size([2, 6, 6]), torch.Size([2, 5, 2]))
    """

    rows: Float[Tensor, "runs n d"]
    own: Float[Tensor, "runs n n"]

    @classmethod
    def of(cls, sets: Sequence[Tensor], *, seed: int = 0) -> Negatives:
        """Sets of rows (n_r, d); of larger ones as many as the smallest has, `drawn` by seed. Raises ValueError."""
        check_sequence("negatives", sets, "sets of rows (n, d)")
        sets = [check_feature_rows(f"negative set {i}", s) for i, s in enumerate(sets)]
        for i, s in enumerate(sets):
            check_alike("negative set 0", sets[0], f"negative set {i}", s)
        n = min(map(len, sets))
        rows = torch.stack([s[drawn(len(s), n, seed)] for s in sets])
        return cls(rows, gram_probes.own_grams(rows))

    def cut(self, n: int, *, seed: int = 0) -> Negatives:
        """n rows of every set, `drawn` by seed. Raises ValueError for more than there are."""
        have = self.rows.shape[1]
        if check_count("n", n) > have:
            raise ValueError(f"n must be an integer in [1, {have}], at most the rows of a set, got {n}")
        which = drawn(have, n, seed)
        return self if n == have else Negatives(self.rows[:, which], self.own[:, which][:, :, which])


@dataclass(frozen=True)
class FittedCAVs:
    """CAVs of one concept, one a negative set.

    `vectors` (runs, d): unit length, pointing to the concept. `intercepts`: f(x) = vector . x + intercept is
    positive on the concept's side. `accuracy` (runs,): on the held-out share of both sets, nan if none is held
    out; `tested`: rows it was measured on. `train` (runs, n): which of the examples that were used were fitted; all are
    used but where sets have several sizes (see `drawn`).

    >>> fitted = CAV("mean").fit(torch.tensor([[2.0, 0.0]]).repeat(6, 1), [torch.zeros(9, 2)])
    >>> fitted.used, fitted.tested, fitted.at_chance, fitted.directional(torch.tensor([[3.0, 4.0]]))
    (6, 4, False, tensor([[3.]]))
    """

    vectors: Float[Tensor, "runs d"]
    intercepts: Float[Tensor, " runs"]
    accuracy: Float[Tensor, " runs"]
    tested: int
    train: Int64[Tensor, "runs n"]

    @property
    def used(self) -> int:
        """How many examples of each set were used, fitted or held out."""
        return self.train.shape[1] + self.tested // 2

    @property
    def stability(self) -> float:
        """Mean cosine between the CAVs of different runs, in [-1, 1]; nan for one run."""
        runs = len(self.vectors)
        if runs < 2:
            return float("nan")
        total = self.vectors.cpu().double().sum(0).square().sum() - runs  # of unit vectors
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
    accuracy, a third as in the reference tool. seed: decides what is held out, which examples of larger sets are used,
    and SGD's order.

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
        check_name("estimator", self.estimator, tuple(ESTIMATORS))
        if self.strength is not None:
            check_positive("strength", self.strength)
        if not check_number("test_share", self.test_share, low=-math.inf) < 1 or self.test_share < 0:
            raise ValueError(f"test_share must be a number in [0, 1), got {self.test_share}")
        object.__setattr__(self, "seed", check_count("seed", self.seed, 0))

    def fit(self, positive: Float[Tensor, "n d"], negatives: Sequence[Tensor] | Negatives) -> FittedCAVs:
        """Fit one CAV against each set of rows; of larger sets as many rows as the smallest has are `drawn` by `seed`.

        So classes are balanced; the result's `used` says how many. Raises ValueError for fewer than 5 examples, rows
        that do not fit or are not finite, a concept that equals a negative set, and activations that are constant.
        """
        positive = check_feature_rows("positive", positive)
        given = isinstance(negatives, Negatives)
        against = negatives if given else Negatives.of(negatives, seed=self.seed)
        n = min(len(positive), against.rows.shape[1])
        positive, against = positive[drawn(len(positive), n, self.seed)], against.cut(n, seed=self.seed)
        self._check(positive, against)
        train, test = self._split(n, len(against.rows))
        vectors, intercepts, right = [], [], []
        for first in range(0, len(against.rows), RUNS_AT_ONCE):
            runs = slice(first, first + RUNS_AT_ONCE)  # views, no copies
            k = gram_probes.grams(positive, against.rows[runs], against.own[runs])
            self._check_spread(k, positive.dtype)
            w, b, share = self._fit_runs(k, positive, against.rows[runs], train[runs], test[runs])
            vectors.append(w)
            intercepts.append(b)
            right.append(share)
        return FittedCAVs(
            torch.cat(vectors), torch.cat(intercepts), torch.cat(right), 2 * test.shape[1], train
        )

    def _fit_runs(self, k: Tensor, positive: Tensor, negatives: Tensor, train: Tensor, test: Tensor):
        n = len(positive)
        picked, held = (torch.cat((i, i + n), 1) for i in (train, test))
        each = torch.arange(len(k), device="cpu")[:, None, None]
        inner = k[each, picked[:, :, None], picked[:, None, :]]
        method, default = ESTIMATORS[self.estimator]
        strength = default if self.strength is None else float(self.strength)
        try:
            alpha, b = method(inner, strength=strength, seed=self.seed)
        except torch.linalg.LinAlgError as error:  # pyright: ignore[reportPrivateImportUsage]
            raise ValueError(
                f"strength must be larger for these activations, whose inner products are singular up to rounding, "
                f"got {strength:g}; or take a layer that depends more on the image"
            ) from error
        share = torch.full_like(b, float("nan"))
        if held.shape[1]:
            f = torch.einsum("rij,rj->ri", k[each, held[:, :, None], picked[:, None, :]], alpha) + b[:, None]
            share = (f * gram_probes.sign_labels(f) > 0).to(b).mean(1)
        full = torch.zeros_like(k[:, 0]).scatter(1, picked, alpha).to(positive)
        w = full[:, :n] @ positive + torch.bmm(full[:, None, n:], negatives)[:, 0]
        norm = w.norm(dim=1)
        if bool((norm == 0).any()) or not bool(norm.isfinite().all()):
            raise ValueError(
                "positive and a negative set cannot be told apart by any direction; use other exemplars"
            )
        return F.normalize(w, dim=1), (b / norm.cpu()).to(w), share.to(w)

    def _split(self, n: int, runs: int) -> tuple[Tensor, Tensor]:
        """Which examples each run fits and tests on: the same places in both sets, so that CAV(P, N) = -CAV(N, P)."""
        generator = torch.Generator("cpu").manual_seed(self.seed)
        order = torch.stack([torch.randperm(n, generator=generator, device="cpu") for _ in range(runs)])
        held = round(n * self.test_share)
        if held >= n:
            raise ValueError(
                f"test_share must leave one of {n} examples or more to fit, got {self.test_share}"
            )
        return order[:, held:], order[:, :held]

    @staticmethod
    def _check(positive: Tensor, against: Negatives) -> None:
        n = len(positive)
        if n < SMALLEST:
            raise ValueError(
                f"sets must have {SMALLEST} examples or more each (50 are usual), got {n} in the smallest"
            )
        check_alike("positive", positive, "a negative set", against.rows[0])
        first = positive[:1]
        if bool((positive == first).all()) and bool((against.rows == first).all()):
            raise ValueError(CONSTANT.format(""))
        for i, negative in enumerate(against.rows):
            if torch.equal(positive, negative):
                raise ValueError(
                    f"positive and negative sets must be different examples, got positive equal to negative set {i}"
                )

    @staticmethod
    def _check_spread(k: Tensor, dtype: torch.dtype) -> None:
        """What differs between examples is more than the rounding of their inner products."""
        size = k.diagonal(dim1=1, dim2=2).mean(1)
        spread = gram_probes.centred(k).diagonal(dim1=1, dim2=2).mean(1)
        if bool((spread <= 4 * torch.finfo(dtype).eps * size).any()):
            raise ValueError(CONSTANT.format(" up to rounding"))
