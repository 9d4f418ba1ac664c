"""What was computed of an image before: a cache that notices changed tensors and weights, and never grows over a bound.

Safe to share between threads.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, nn

from robustxai.checks import check_count

GIB = 2**30


def version_of(x: Tensor) -> object:
    """How often a tensor was changed in place; never twice the same for one that does not count its changes."""
    return object() if x.is_inference() else x._version


def state_of(model: nn.Module) -> tuple[tuple[int, object], ...]:
    """Which tensors a model holds and how often each was changed in place: a key for caches."""
    return tuple((id(t), version_of(t)) for t in (*model.parameters(), *model.buffers()))


def tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors of a value made of tensors, sequences, mappings and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)
    elif is_dataclass(value):
        for one in fields(value):
            yield from tensors_in(getattr(value, one.name))


class ActivationCache:
    """Values by image tensor and words; forgotten when the tensor or the model's weights were changed.

    limit: bytes of all that is held, images and values; what was not used for the longest goes first, and a value
    larger than the limit is not kept. Raises ValueError for a limit that is no whole number from 0.
    """

    def __init__(self, limit: int = 2 * GIB) -> None:
        self.limit = check_count("limit", limit, 0)
        self._held: OrderedDict[tuple[object, ...], tuple[Tensor, object]] = OrderedDict()
        self._state: object = None
        self._lock = threading.Lock()

    def get(
        self,
        model: nn.Module,
        x: Tensor,
        words: tuple[object, ...],
        make: Callable[[], Any],
        *,
        keep: bool = True,
    ) -> Any:
        """The stored value for this very tensor, or `make()`, stored if `keep`."""
        state, key = state_of(model), (id(x), version_of(x), *words)
        with self._lock:
            if state != self._state:
                self._held.clear()
                self._state = state
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key][1]
        value = make()  # not under the lock: two threads may make the same, and get the same bits
        if keep and not x.is_inference():
            self._put(state, key, (x, value))
        return value

    def __reduce__(self) -> tuple[type["ActivationCache"], tuple[int]]:
        return ActivationCache, (self.limit,)  # a copy is empty: it would know other tensors

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size(self) -> int:
        """Bytes held; a tensor that several values share counts once."""
        return _size(self._held.values())

    def _put(self, state: object, key: tuple[object, ...], entry: tuple[Tensor, object]) -> None:
        with self._lock:
            if state != self._state or _size([entry]) > self.limit:
                return
            self._held[key] = entry  # holding x keeps its id from being used again
            while self.size > self.limit:
                self._held.popitem(last=False)


def _size(entries: Any) -> int:
    found = {id(t): t.numel() * t.element_size() for entry in entries for t in tensors_in(entry)}
    return sum(found.values())


Memory = Callable[[nn.Module], ActivationCache]
"""Where what is known of a network is kept: `fresh` forgets it with the tool that used it."""


def fresh(_model: nn.Module) -> ActivationCache:
    """An empty cache."""
    return ActivationCache()
