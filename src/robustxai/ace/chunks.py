"""Work in chunks that shrink when memory runs out, each time with a notice.

Knows what running out of memory looks like, and nothing about the work but a filter's `checkpoint`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from robustxai.ace.diffusion_filter import DiffusionFilter
from robustxai.checks import check_count


class Chunks:
    """Runs a function over slices of images; the slices halve when memory runs out, and stay smaller.

    size: images in a slice at first; None for all at once. When even one image is too many, a filter whose
    `checkpoint` is None becomes a checkpointed one, with the same gradients.

    >>> Chunks(2).run(lambda rows: (torch.arange(5)[rows] ** 2,), 5)
    (tensor([ 0,  1,  4,  9, 16]),)
    """

    def __init__(self, size: int | None = None):
        self.size = None if size is None else check_count("size", size)
        self.checkpoint = False
        self._may_checkpoint = False

    def filter(self, filter: DiffusionFilter | None) -> DiffusionFilter | None:
        """The filter to use now: the given one, or its checkpointed twin after memory ran out."""
        if filter is None or filter.checkpoint is not None:
            return filter
        self._may_checkpoint = True
        return filter.checkpointed() if self.checkpoint else filter

    def run(self, work: Callable[[slice], tuple[Tensor, ...]], n: int) -> tuple[Tensor, ...]:
        """The tensors that `work` gives for rows 0 to `n`, 1 or more, put together."""
        n = check_count("n", n)
        done, parts = 0, []
        while done < n:
            size = min(self.size or n, n - done)
            try:
                parts.append(work(slice(done, done + size)))
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or not self._give_way(size):
                    raise
                continue
            done += size
        return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))

    def _give_way(self, size: int) -> bool:
        if size > 1:
            self.size = size // 2
            notice = f"memory ran out with {size} images at once; going on with {self.size}"
        elif self._may_checkpoint and not self.checkpoint:
            self.checkpoint = True
            notice = "memory ran out with one image; going on with a checkpointed filter"
        else:
            return False
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(notice, RuntimeWarning, stacklevel=4)
        return True


def out_of_memory(error: BaseException) -> bool:
    """The error says that a device or this machine has no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in text or "out of memory" in text)
