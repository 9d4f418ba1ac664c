"""How steady are the gradients that an attribution along a path adds up? Measured as they come, none is kept."""

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.metrics import cosine
from robustxai.shapes import Nodes


class Turning:
    """Mean of 1 - cos between neighbouring gradients along a path, in [0, 2]; 0 is steady (spec 5, item 7).

    Gradients (nodes, n, *sample) are seen in parts, in the order of the path, and none but the last is kept. A pair
    with a zero gradient does not count; a path with a gradient that is NaN or infinite has no mean.

    >>> turning = Turning()
    >>> turning.see(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))
    >>> turning.mean()
    tensor([1.])
    """

    def __init__(self, asked: bool = True) -> None:
        self.last: Tensor | None = None
        self.pairs: list[Tensor] = []
        self.blind = not asked

    def see(self, slopes: Nodes) -> None:
        """The next gradients; ignored where it is switched off, or with a graph."""
        self.blind |= slopes.requires_grad
        if self.blind:
            return
        run = slopes if self.last is None else torch.cat((self.last, slopes))
        if len(run) > 1:
            flat = run.flatten(2)
            turns = 1 - cosine(flat[:-1].flatten(0, 1), flat[1:].flatten(0, 1))
            turns = turns.unflatten(0, flat[1:].shape[:2])
            broken = ~flat.isfinite().all(2)
            self.pairs.append(torch.where(broken[1:] | broken[:-1], torch.inf, turns))
        self.last = slopes[-1:].clone()

    def mean(self) -> Float[Tensor, " n"] | None:
        """(n,), nan where no pair counts; None where it was blind, or saw fewer than 2 gradients."""
        if self.blind or not self.pairs:
            return None
        pairs = torch.cat(self.pairs)
        return pairs.nanmean(0).masked_fill(pairs.isinf().any(0), torch.nan)
