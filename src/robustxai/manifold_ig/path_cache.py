"""A memory of paths that does not grow without end: what was used least recently is forgotten first.

A path of 20 images at 192 pixels takes nine megabytes, and a study asks for thousands. Networks that are explained
in parallel share it: what one is making the others wait for.
"""

from collections.abc import Callable
from threading import Lock, RLock
from typing import Any

from torch import Tensor

LIMIT = 16 * 2**30


def weight(value: Any) -> int:
    """Bytes of a tensor, or of the tensors that an object holds."""
    if isinstance(value, Tensor):
        return value.nbytes
    return sum(part.nbytes for part in vars(value).values() if isinstance(part, Tensor))


class Recall(dict[bytes, Any]):
    """A dictionary of at most `limit` bytes of tensors; the value that was put in last always stays.

    >>> import torch
    >>> memory = Recall(limit=8)
    >>> memory[b"a"] = memory[b"b"] = torch.ones(1)
    >>> memory[b"a"]
    tensor([1.])
    >>> memory[b"c"] = torch.ones(1)
    >>> sorted(memory)
    [b'a', b'c']
    """

    def __init__(self, limit: int = LIMIT) -> None:
        super().__init__()
        self.limit, self.size = limit, 0
        self._own, self._making = RLock(), dict[bytes, Lock]()

    def __setitem__(self, key: bytes, value: Any) -> None:
        with self._own:
            if key in self:
                self.size -= weight(self.pop(key))
            super().__setitem__(key, value)
            self.size += weight(value)
            while self.size > self.limit and len(self) > 1:
                self.size -= weight(self.pop(next(iter(self))))

    def __getitem__(self, key: bytes) -> Any:
        with self._own:
            value = self.pop(key)
            super().__setitem__(key, value)
            return value

    def made(self, key: bytes, make: Callable[[], Any]) -> Any:
        """The value of `key`, made where it is not there; threads that ask for one key at a time make it once."""
        with self._own:
            if key in self:
                return self[key]
            making = self._making.setdefault(key, Lock())
        with making:
            with self._own:
                if key in self:
                    return self[key]
            self[key] = value = make()
            with self._own:
                self._making.pop(key, None)
            return value
