"""Batches the sequential model queries of a metric: the same numbers in less time.

Max-sensitivity queries an explainer with one changed batch at a time, infidelity a classifier likewise. Small
batches are slow. As their queries do not depend on the answers, they can be collected first. Runs without gradients.
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
    batch_size: int = 64,
    memory: dict[bytes, Tensor] | None = None,
) -> Result:
    """`measure(answer)`, with all queries joined in calls of about `batch_size` samples.

    Args:
        measure: queries `answer(x)` or `answer(x, target)` for batches x (n, ...), target (n,), all of the same n; it
            must issue the same queries whatever the answers are, so a generator is made inside it.
        answer: treats its samples independently.
        like: (n, ...) any answer of the right shape, given while queries are collected.
        known: (n, ...) the answer to the first query, which then is not issued.
        memory: keeps answers by their queries, for measures of which several issue the same to one `answer`.

    Raises ValueError where the second run of the measure issues different queries.

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
    together = max(1, batch_size // size)
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
    """A key of a query: equal for equal ones."""
    name = sha256()
    for part in question:
        name.update(part.detach().cpu().contiguous().numpy().tobytes())
    return name.digest()
