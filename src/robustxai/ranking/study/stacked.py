"""The small networks of a table, one a split, trained and attacked side by side: the same steps, in one call.

Split s of S gives network s of a stack its own records: sample i of the data is record i of every split, (n, S, d).
Losses are those of each network alone, added up, so that no network changes what another one learns. Knows nothing
about names, files and tables of results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustxai import nets
from robustxai.checks import check_count
from robustxai.explainers.gradient import Saliency
from robustxai.metrics.predictions import accuracy
from robustxai.models import logits_of
from robustxai.nets.mlp_stack import MLPStack
from robustxai.ranking.er_attack import RankingAttack
from robustxai.ranking.prepared_table import Part, Table
from robustxai.ranking.regularisers.base import CachedBatch, Regulariser
from robustxai.ranking.regularisers.weighting import weigh
from robustxai.ranking.stability import attacked_precision
from robustxai.ranking.study.attacked_samples import attacked
from robustxai.ranking.study.performance import auc
from robustxai.ranking.study.settings import Measured, Setting
from robustxai.ranking.training import FINE_TUNING
from robustxai.ranking.weight_selection import SelectionScore


def together(parts: Sequence[Part]) -> tuple[Float[Tensor, "n split d"], Int[Tensor, "n split"]]:
    """The same part of several splits, such as their test samples, record by record.

    Raises ValueError unless all are of one length.

    >>> one = torch.zeros(5, 3), torch.zeros(5, dtype=torch.int64)
    >>> together([one, one])[0].shape
    torch.Size([5, 2, 3])
    """
    if len({x.shape for x, _ in parts}) != 1:
        raise ValueError("parts must be one or more, all of the same shape")
    x, y = zip(*parts, strict=True)
    return torch.stack(x, 1), torch.stack(y, 1)


def per_network(values: Tensor, count: int) -> Float[Tensor, " count"]:
    """The mean of values (n * count,) for each network of a stack; nan left out, and nan where there is nothing else.

    >>> per_network(torch.tensor([0.0, 1.0, 0.5, float("nan")]), 2)
    tensor([0.2500, 1.0000], dtype=torch.float64)
    """
    return values.cpu().double().unflatten(0, (-1, count)).nanmean(0)


class StackLoss:
    """Cross-entropy plus regularisers of every network of a stack on its own samples, added up.

    Called as loss(model, x, y) with x (n, count, d) and y (n, count); the parts of a term, and its adaptive weight, are
    those of `RegularisedLoss` for each network alone.

    >>> x, y = torch.zeros(4, 2, 3), torch.zeros(4, 2, dtype=torch.int64)
    >>> StackLoss()(MLPStack(2, 3), x, y).shape
    torch.Size([])
    """

    def __init__(self, regularisers: Sequence[Regulariser] = ()):
        self.parts = [part for r in regularisers for part in r.parts if part.active]
        self.keep = 1.0
        for part in self.parts:
            self.keep *= part.keep

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """The loss of a batch."""
        cache = CachedBatch(model, x.flatten(0, 1), y.flatten())
        ce = cache.losses.view_as(y).mean(0)
        loss = self.keep * ce
        for part in self.parts:
            loss = loss + weigh(part.terms(cache).view_as(y).mean(0), ce, part.weight, part.weighting)
        return loss.sum()


def accuracies_of_stack(model: nn.Module, x: Tensor, y: Tensor) -> Float[Tensor, " count"]:
    """Share of right predictions of each network, for x (n, count, d) and classes y (n, count).

    >>> accuracies_of_stack(MLPStack(2, 3), torch.zeros(4, 2, 3), torch.zeros(4, 2, dtype=torch.int64))
    tensor([1., 1.], dtype=torch.float64)
    """
    with torch.no_grad():
        return (logits_of(model, x.flatten(0, 1)).argmax(1).view_as(y) == y).cpu().double().mean(0)


def measure_stack(
    stack: MLPStack, part: Part, setting: Setting, *, points: SupportsIndex = 150, steps: SupportsIndex = 40
) -> list[Measured]:
    """`measure` of every network of a stack, for x (n, count, d) and y (n, count).

    >>> from robustxai.ranking.study.settings import SETTINGS
    >>> part = torch.randn(9, 2, 28), torch.arange(18).view(9, 2) % 2
    >>> len(measure_stack(MLPStack.of([nets.MLP(28), nets.MLP(28)]), part, SETTINGS["synth"], points=3, steps=1))
    2
    """
    x, y = part
    with torch.no_grad():
        logits = logits_of(stack, x.flatten(0, 1)).unflatten(0, y.shape)
    rows = attacked(
        stack, x[: check_count("points", points)].flatten(0, 1), setting.k, setting.eps, steps=steps
    )
    each = torch.stack(rows).unflatten(1, (-1, stack.count))
    return [
        Measured(accuracy(logits[:, i], y[:, i]), auc(logits[:, i], y[:, i]), *each[:, :, i])
        for i in range(stack.count)
    ]


def score_stack(
    stack: MLPStack, part: Part, setting: Setting, *, points: SupportsIndex = 100, steps: SupportsIndex = 10
) -> list[SelectionScore]:
    """Accuracy, and mean P@k under ERAttack on the first `points` samples, of every network of a stack."""
    x, y = part
    some, explain = x[: check_count("points", points)].flatten(0, 1), Saliency(stack)
    attack = RankingAttack(setting.k, setting.eps, steps=steps, batch_size=len(some))
    kept = attacked_precision(explain, some, attack.perturb(stack, some, explain=explain), setting.k)
    both = accuracies_of_stack(stack, x, y), per_network(kept, stack.count)
    return [SelectionScore(*pair) for pair in zip(*(values.tolist() for values in both), strict=True)]


def fit_stack(
    stack: MLPStack,
    splits: Sequence[Table],
    regularisers: Sequence[Regulariser] = (),
    *,
    seed: int = 0,
    **training: Any,
) -> MLPStack:
    """Train a stack in place, network s on split s, and return it in eval mode.

    The steps are those of `fit_regularised` for each network, with one order of the samples from `seed` for all.
    training: options of `robustxai.nets.fit` over the defaults of `FINE_TUNING`. Raises ValueError for terms that do
    not fit the networks or data, and splits of different sizes.

    >>> from robustxai.nets import MLP
    >>> from robustxai.ranking import adult_like, prepare
    >>> splits = [prepare(adult_like(200), seed=s) for s in (0, 1)]
    >>> fit_stack(MLPStack.of([MLP(28), MLP(28)]), splits, epochs=1).training
    False
    """
    x, y = together([split.train for split in splits])
    first = stack.member(0)
    for r in regularisers:
        r.check(first, x[:64, 0], y[:64, 0])
    nets.fit(
        stack, x, y, FINE_TUNING, loss=StackLoss(regularisers), train_mode=nn.Module.eval,
        validation=together([split.validation for split in splits]),
        measure=lambda *given: float(accuracies_of_stack(*given).mean()), seed=seed, **training,
    )  # fmt: skip
    return stack
