"""What else changed: attributes that another network reads before and after (spec 4.5 and 4.6).

Works on yes-no attributes (n, a); who reads them is the caller's business, such as `upper_half` of the network that
knows the rendered faces' factors.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from robustxai.ace.checks import check_flags
from robustxai.checks import check_count
from robustxai.metrics.inputs import wide
from robustxai.metrics.similarity import pearson

Attributes = Bool[Tensor, "n attribute"]


def attributes_changed(before: Attributes, after: Attributes) -> Int[Tensor, " n"]:
    """How many attributes of each image changed; the mean over images is MNAC. Low is good.

    Raises ValueError for other than truth values, and for attributes of other images.

    >>> import torch
    >>> attributes_changed(torch.tensor([[True, False, True]]), torch.tensor([[True, True, False]]))
    tensor([2])
    """
    _check_pair(before, after)
    return (before != after).sum(1)


@dataclass(frozen=True)
class CorrelationDifference:
    """CD, and what it sums: for each attribute its correlation with the query among the edits, and in the data.

    >>> import torch
    >>> labels = torch.tensor([[False, False], [True, True]])
    >>> found = correlation_difference(labels, ~labels, labels, query=0)
    >>> found.value, found.edits.round(), found.data.round()
    (0.0, tensor([1., 1.], dtype=torch.float64), tensor([1., 1.], dtype=torch.float64))
    """

    value: float
    edits: Float[Tensor, " attribute"]
    data: Float[Tensor, " attribute"]


def correlation_difference(
    before: Attributes, after: Attributes, labels: Bool[Tensor, "m attribute"], query: int
) -> CorrelationDifference:
    """CD = sum over attributes of |correlation of their edits with the query's - correlation in the data|.

    An edit is after - before, in {-1, 0, 1}; labels are the true attributes of a training set. A correlation that
    does not exist, as nothing varies, counts as 0. Includes the query itself, as the released script does. Raises
    ValueError for another number of attributes, no images, and a query that is no attribute.
    """
    for name, value in (("before", before), ("after", after), ("labels", labels)):
        if not len(check_flags(name, value, 2, "(n, attributes)")):
            raise ValueError(f"{name} must hold one image or more, got none")
    if not before.shape[1] == after.shape[1] == labels.shape[1]:
        raise ValueError(
            "before, after and labels must have one number of attributes for all, "
            f"got {before.shape[1]}, {after.shape[1]} and {labels.shape[1]}"
        )
    _check_pair(before, after)
    query = check_count("query", query, 0)
    if query >= labels.shape[1]:
        raise ValueError(f"query must be an attribute in [0, {labels.shape[1] - 1}], got {query}")
    edits = _with_query(wide(after) - wide(before), query)
    data = _with_query(wide(labels), query)
    return CorrelationDifference(float((edits - data).abs().sum()), edits, data)


def _check_pair(before: Attributes, after: Attributes) -> None:
    for name, value in (("before", before), ("after", after)):
        check_flags(name, value, 2, "(n, attributes)")
    if before.shape != after.shape:
        raise ValueError(
            f"after must have the shape of before, {tuple(before.shape)}, got {tuple(after.shape)}"
        )


def _with_query(columns: Tensor, query: int) -> Tensor:
    return pearson(columns.T.contiguous(), columns[:, query].contiguous()).nan_to_num(0.0)
