"""Parameters out of the graph for a while, on networks that other threads may be using at the same moment.

Knows networks and threads; knows nothing about attacks.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from torch import Tensor, nn

_lock = threading.Lock()
_holders: dict[Tensor, int] = {}
"""How many blocks, of all threads, hold a parameter frozen that was trainable before the first of them."""


@contextlib.contextmanager
def frozen_parameters(*nets: object) -> Iterator[None]:
    """Parameters take no part in gradients inside the block; the last block to end leaves them as they were before.

    Of a bound method its module is meant; other callables have no parameters. Raises ValueError for a network that was
    made in inference mode, of which no gradients can be taken.
    """
    modules = [m for m in (getattr(net, "__self__", net) for net in nets) if isinstance(m, nn.Module)]
    parameters = list(dict.fromkeys(p for m in modules for p in m.parameters()))
    if any(p.is_inference() for p in parameters):
        raise ValueError(
            "classifier and unet must have gradients, got a network that was made in inference mode; make it outside"
        )
    mine: list[Tensor] = []
    try:
        with _lock:
            for p in parameters:
                if p.requires_grad or p in _holders:
                    _holders[p] = _holders.get(p, 0) + 1
                    mine.append(p)
                    p.requires_grad_(False)
        yield
    finally:
        with _lock:
            for p in mine:
                _holders[p] -= 1
                if not _holders[p]:
                    del _holders[p]
                    p.requires_grad_(True)
