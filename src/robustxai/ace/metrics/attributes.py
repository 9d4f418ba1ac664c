"""What else changed: attributes that another network reads before and after (spec 4.5 and 4.6).

Works on yes-no attributes (n, a); who reads them is the caller's business, such as `upper_half` of the network that
knows the drawn faces' factors.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from robustxai.metrics.similarity import pearson

Attributes = Bool[Tensor, "n attribute"]


def attributes_changed(before: Attributes, after: Attributes) -> Int[Tensor, " n"]:
    """How many attributes of each image changed; the mean over images is MNAC. Low is good.

    >>> import torch
    >>> attributes_changed(torch.tensor([[True, False, True]]), torch.tensor([[True, True, False]]))
    tensor([2])
    """
    return (before != after).sum(1)


@dataclass(frozen=True)
class CorrelationDifference:
    """CD, and what it sums: for each attribute its correlation with the query among the edits, and in the data."""

    value: float
    edits: Float[Tensor, " attribute"]
    data: Float[Tensor, " attribute"]


def correlation_difference(
    before: Attributes, after: Attributes, labels: Bool[Tensor, "m attribute"], query: int
) -> CorrelationDifference:
    """CD = sum over attributes of |correlation of their edits with the query's - correlation in the data|.

    An edit is after - before, in {-1, 0, 1}; labels are the true attributes of a training set. A correlation that
    does not exist, as nothing varies, counts as 0. Includes the query itself, as the released script does. Raises
    ValueError for another number of attributes.
    """
    if not before.shape[1] == after.shape[1] == labels.shape[1]:
        raise ValueError(
            f"before, after and labels have {before.shape[1]}, {after.shape[1]} and {labels.shape[1]} attributes; "
            "accepted is one number for all"
        )
    edits = _with_query(after.double() - before.double(), query)
    data = _with_query(labels.double(), query)
    return CorrelationDifference(float((edits - data).abs().sum()), edits, data)


def _with_query(columns: Tensor, query: int) -> Tensor:
    return pearson(columns.T.contiguous(), columns[:, query].contiguous()).nan_to_num(0.0)
