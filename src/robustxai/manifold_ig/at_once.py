"""Measures that put one question after another, answered in one call: the same numbers in less time.

Max-sensitivity asks an explainer about one changed batch at a time, infidelity asks a classifier likewise. Small
batches are slow. As their questions do not depend on the answers, they can be collected first. Runs without gradients.
Knows nothing about what the measures compute.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
Answer = Callable[..., Tensor]


@torch.no_grad()
def at_once(
    measure: Callable[[Answer], Result],
    answer: Answer,
    *,
    like: Tensor,
    known: Tensor | None = None,
    max_batch: int = 64,
) -> Result:
    """`measure(answer)`, with all questions put in calls of about `max_batch` samples.

    Args:
        measure: asks `answer(x)` or `answer(x, target)` for batches x (n, ...), target (n,), all of the same n; it
            must ask the same whatever the answers are, so a generator is made inside it.
        answer: treats its samples independently.
        like: (n, ...) any answer of the right shape, given while questions are collected.
        known: (n, ...) the answer to the first question, which then is not put.

    Raises ValueError where the measure asks otherwise the second time.

    >>> twice = lambda ask: ask(torch.ones(1, 2)) + ask(torch.zeros(1, 2))
    >>> at_once(twice, lambda x: 3 * x, like=torch.zeros(1, 2))
    tensor([[3., 3.]])
    """
    asked: list[tuple[Tensor, ...]] = []

    def note(*question: Tensor) -> Tensor:
        asked.append(question)
        return like

    measure(note)
    answers, todo = ([] if known is None else [known]), asked[0 if known is None else 1 :]
    size = len(like)
    together = max(1, max_batch // size)
    for first in range(0, len(todo), together):
        columns = zip(*todo[first : first + together], strict=True)
        answers += answer(*(torch.cat(column) for column in columns)).split(size)
    left = iter(zip(asked, answers, strict=True))

    def recall(*question: Tensor) -> Tensor:
        before, found = next(left, ((), like))
        if not before or any(not torch.equal(a, b) for a, b in zip(before, question, strict=True)):
            raise ValueError(
                "measure asks otherwise the second time; accepted is one whose questions are fixed"
            )
        return found

    return measure(recall)
