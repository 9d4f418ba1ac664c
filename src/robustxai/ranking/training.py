"""`fit_regularised`: fine-tune a classifier so that its explanations hold, with any list of regularisers.

Everything runs through the one training loop of `robustxai.nets`. Batch norm and dropout stay in eval mode, so that
a sample's input gradient does not depend on its batch (P7). Knows regularisers only as terms of a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor, nn

from robustxai import nets
from robustxai.checks import as_target, check_batch, check_module
from robustxai.data import Dataset
from robustxai.models import logits_of
from robustxai.nets.training import TrainingOptions
from robustxai.options import merged, says_options
from robustxai.ranking.prepared_table import Part, Table
from robustxai.ranking.regularisers.base import RegularisedLoss, Regulariser

RESERVED = ("loss", "train_mode", "on_epoch", "ema")
FINE_TUNING = nets.Training(
    epochs=10,
    lr=1e-3,
    batch_size=128,
    optimizer="adam",
    schedule="constant",
    weight_decay=0.0,
    progress=False,
)


@dataclass(frozen=True)
class Fitted:
    """How a training run went. `history`: one number an epoch, accuracy on the validation part. `kept`: the epoch
    whose weights the model has now, None if it was left as it came because no epoch passed the gate.

    >>> Fitted(nets.History(accuracy=[0.7, 0.8]), kept=1).history.accuracy[-1]
    0.8
    """

    history: nets.History
    kept: int | None


@says_options(nets.Training, FINE_TUNING, without=RESERVED)
def fit_regularised(
    model: nn.Module,
    data: Table | Dataset | Part,
    regularisers: Sequence[Regulariser] = (),
    how: nets.Training = FINE_TUNING,
    *,
    gate: float | None = None,
    **options: Unpack[TrainingOptions],
) -> Fitted:
    """Train `model` in place with cross-entropy plus `regularisers`, and leave it in eval mode.

    data: a prepared table, whose validation part is used where `validation` is None, or a data set or pair (x, y) of
    whole rows. gate: lowest validation accuracy in [0, 1] that an epoch must have for its weights to be kept; the last
    such epoch wins, and if there is none the model is left as it came (spec 3.8). how, options: as for
    `robustxai.nets.fit`, with the defaults of `FINE_TUNING`: 10 epochs of "adam" at a constant lr of 1e-3, batches of
    128, no weight decay (with "adam" it is the coupled L2 penalty of the WD baseline); `loss`, `train_mode`,
    `on_epoch` and `ema` it sets itself. With no active regulariser this is fine-tuning with cross-entropy, bit for bit.

    Raises ValueError for missing cells, categories that are not encoded, labels of one class, a gate without
    validation data, and terms that do not fit the model or data (k >= d, a Hessian of zero).

    >>> from robustxai.nets import MLP
    >>> from robustxai.ranking import R2ET, adult_like, prepare
    >>> data = prepare(adult_like(200))
    >>> len(fit_regularised(MLP(data.d, 2), data, [R2ET(4, 1.0)], epochs=2).history.accuracy)
    2
    """
    how = merged(nets.Training, how, options)
    wrong = next((name for name in RESERVED if getattr(how, name) != getattr(FINE_TUNING, name)), None)
    if wrong is not None:
        raise ValueError(
            f"options must be arguments of robustxai.nets.fit that fit_regularised does not set itself, got {wrong}"
        )
    x, y, held = _parts(data, how.validation)
    if gate is not None and (held is None or not 0 <= gate <= 1):
        raise ValueError(f"gate must be None or, with validation data, a number in [0, 1], got {gate}")
    if gate is not None and how.checkpoint is not None:
        raise ValueError("checkpoint cannot be combined with gate, whose best weights it does not hold")
    check_module("model", model)
    model.eval()
    _check_data(model, x, y)
    objective = RegularisedLoss(regularisers)
    objective.check(model, x[:64], y[:64])
    kept: list[int] = []
    good = deepcopy(model.state_dict()) if gate is not None else {}

    def judge(epoch: int, history: nets.History) -> None:
        if gate is not None and history.accuracy[-1] >= gate:
            good.update(deepcopy(model.state_dict()))
            kept.append(epoch)

    history = nets.fit(
        model, x, y, how, loss=objective, validation=held, train_mode=nn.Module.eval, on_epoch=judge
    )
    if gate is None:
        return Fitted(history, how.epochs - 1)
    model.load_state_dict(good)
    return Fitted(history, kept[-1] if kept else None)


def _parts(data: Table | Dataset | Part, validation: Part | None) -> tuple[Tensor, Tensor, Part | None]:
    if isinstance(data, Table):
        return *data.train, data.validation if validation is None else validation
    if isinstance(data, Dataset):
        coded = sum(map(bool, data.levels))
        if coded:
            raise ValueError(
                f"data must be what prepare(data) returns, got {coded} categorical columns that are not encoded"
            )
        return data.x, data.y, validation
    return *data, validation


def _check_data(model: nn.Module, x: Tensor, y: Tensor) -> None:
    check_batch("x", x)
    if y.ndim != 1 or y.is_floating_point() or len(y) != len(x):
        raise ValueError(
            f"y must be class numbers ({len(x)},), got shape {tuple(y.shape)} and dtype {y.dtype}"
        )
    if bool((y == y[0]).all()):
        raise ValueError(f"y must be labels of two classes or more, got class {int(y[0])} only")
    with torch.no_grad():
        as_target(y, logits_of(model, x[:1]).expand(len(x), -1), name="y")
