"""Changes of the size of an attack's that know nothing: what an attack must beat before its number counts.

Knows networks only as callables from inputs to logits, to keep their predictions.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.manifold_ig.attacks import Attacked, Sample
from robustxai.manifold_ig.explained import as_target
from robustxai.manifold_ig.keeping import Network
from robustxai.manifold_ig.maps import Explain
from robustxai.metrics.predictions import predicted


class ShuffledChange:
    """An attack's own change with its pixels in other places: of equal l1, l2 and l_inf norm (spec 4.4, item 4).

    Args:
        changed: what an attack made of the inputs, `Attacked.x`.
        tries: so many permutations are tried until the prediction is kept; then the input stays as it was.
        clip: range of valid inputs. A value that would leave it changes by as much the other way.

    The norms are equal where changes are at most half the range. All inputs share each permutation, so that a
    batch changes nothing.
    """

    def __init__(
        self, changed: Sample, *, tries: int = 20, clip: tuple[float | int, float | int] | None = (0, 1)
    ):
        if tries < 1:
            raise ValueError(f"tries is {tries}; accepted is 1 or more")
        self.changed, self.tries, self.clip = changed, tries, clip

    @torch.no_grad()
    def perturb(
        self,
        model: Network,
        x: Sample,
        target: int | Int[Tensor, " n"] | None = None,
        *,
        explain: Explain | None = None,
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """One shuffled change an input; `explain` is taken and not used, the losses are nan.

        Raises ValueError when `changed` is not of the shape of `x`.
        """
        if self.changed.shape != x.shape:
            raise ValueError(
                f"changed has shape {tuple(self.changed.shape)}; accepted is that of x, {tuple(x.shape)}"
            )
        g = torch.Generator().manual_seed(0) if generator is None else generator
        logits = model(x)
        t, label = as_target(target, logits), predicted(logits)
        delta = (self.changed - x).flatten(2) if x.ndim > 2 else self.changed - x
        result, done = x.clone(), torch.zeros_like(label, dtype=torch.bool)
        flips, rows = torch.zeros_like(label), (-1, *[1] * (x.ndim - 1))
        for _ in range(self.tries):
            order = torch.randperm(delta.shape[-1], generator=g, device=g.device).to(x.device)
            candidate = self._added(x, delta[..., order].reshape(x.shape))
            same = predicted(model(candidate)) == label
            result = torch.where((same & ~done).view(rows), candidate, result)
            flips += ~same & ~done
            done = done | same
            if done.all():
                break
        nothing: Float[Tensor, " n"] = x.new_full((len(x),), torch.nan)
        moved = (result != x).flatten(1).any(1)
        kept, free = torch.ones_like(done), torch.zeros_like(done)
        return Attacked(result, t, moved, kept, free, flips, nothing, nothing, nothing[:, None])

    def _added(self, x: Tensor, delta: Tensor) -> Tensor:
        if self.clip is None:
            return x + delta
        low, high = self.clip
        y = x + delta
        return torch.where((y < low) | (y > high), x - delta, y).clamp(low, high)
