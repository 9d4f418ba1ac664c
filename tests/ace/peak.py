"""The most bytes that tensors made inside a block hold at once: every new storage is watched until it dies."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class PeakBytes(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self._watch((args, kwargs), made=False)  # what is there already, such as parameters, is not counted
        out = function(*args, **(kwargs or {}))
        self._watch(out, made=True)
        return out

    def _watch(self, values, *, made):
        for value in tree_iter(values):
            if isinstance(value, torch.Tensor):
                self._watch_storage(value.untyped_storage(), made)

    def _watch_storage(self, storage, made):
        key = storage._cdata
        if key in self._seen:
            return
        self._seen.add(key)
        size = made * storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key, size):
        self._seen.discard(key)
        self.now -= size
