"""A memory of paths that does not grow without end: what was used least recently is forgotten first.

A path of 20 images at 192 pixels takes nine megabytes, and a study asks for thousands. Knows nothing about paths.
"""

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

    def __setitem__(self, key: bytes, value: Any) -> None:
        if key in self:
            self.size -= weight(self.pop(key))
        super().__setitem__(key, value)
        self.size += weight(value)
        while self.size > self.limit and len(self) > 1:
            self.size -= weight(self.pop(next(iter(self))))

    def __getitem__(self, key: bytes) -> Any:
        value = self.pop(key)
        super().__setitem__(key, value)
        return value
