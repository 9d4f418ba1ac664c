"""Measures that put one question after another, answered in one call: the same numbers in less time.

Max-sensitivity asks an explainer about one changed batch at a time, infidelity asks a classifier likewise. Small
batches are slow. As their questions do not depend on the answers, they can be collected first. Runs without gradients.
Knows nothing about what the measures compute.
"""

from collections.abc import Callable
from hashlib import sha256
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
    memory: dict[bytes, Tensor] | None = None,
) -> Result:
    """`measure(answer)`, with all questions put in calls of about `max_batch` samples.

    Args:
        measure: asks `answer(x)` or `answer(x, target)` for batches x (n, ...), target (n,), all of the same n; it
            must ask the same whatever the answers are, so a generator is made inside it.
        answer: treats its samples independently.
        like: (n, ...) any answer of the right shape, given while questions are collected.
        known: (n, ...) the answer to the first question, which then is not put.
        memory: keeps answers by their questions, for measures of which several put the same to one `answer`.

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
    kept = {} if memory is None else memory
    keys = [
        _key(question) if memory is not None else bytes([0]) + i.to_bytes(4, "big")
        for i, question in enumerate(asked)
    ]
    if known is not None:
        kept[keys[0]] = known
    todo = {key: question for key, question in zip(keys, asked, strict=True) if key not in kept}
    size, names = len(like), list(todo)
    together = max(1, max_batch // size)
    for first in range(0, len(names), together):
        some = names[first : first + together]
        columns = zip(*(todo[key] for key in some), strict=True)
        kept |= zip(some, answer(*(torch.cat(column) for column in columns)).split(size), strict=True)
    answers = [kept[key] for key in keys]
    left = iter(zip(asked, answers, strict=True))

    def recall(*question: Tensor) -> Tensor:
        before, found = next(left, ((), like))
        if not before or any(not torch.equal(a, b) for a, b in zip(before, question, strict=True)):
            raise ValueError("measure must issue the same queries in every run, got others in the second")
        return found

    return measure(recall)


def _key(question: tuple[Tensor, ...]) -> bytes:
    """A name of a question: equal for equal ones."""
    name = sha256()
    for part in question:
        name.update(part.detach().cpu().contiguous().numpy().tobytes())
    return name.digest()
