"""Changes of the size of an attack's that know nothing: what an attack must beat before its number counts.

Knows networks only to keep their predictions.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.checks import as_target, check_batch, check_calm, check_count
from robustxai.manifold_ig.attacked import Attacked, Sample
from robustxai.manifold_ig.geodesic_checks import checked_clip
from robustxai.manifold_ig.keep_prediction import Predictions
from robustxai.manifold_ig.saliency_maps import Explain
from robustxai.models import Network, logits_of


class ShuffledChange:
    """An attack's own change with its pixels in other places: of equal l1, l2 and l_inf norm (spec 4.4, item 4).

    Args:
        changed: what an attack made of the inputs, `Attacked.x`.
        tries: so many permutations are tried until the prediction is kept; then the input stays as it was.
        clip: range of valid inputs. A value that would leave it changes by as much the other way.

    The norms are equal where changes are at most half the range. All inputs share each permutation, so that a
    batch changes nothing.

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    >>> x = torch.full((1, 3, 2, 2), 0.5)
    >>> found = ShuffledChange(x + torch.linspace(-0.01, 0.01, 4).view(2, 2)).perturb(net, x)
    >>> found.x.shape, float(found.linf) <= 0.0101
    (torch.Size([1, 3, 2, 2]), True)
    """

    def __init__(
        self, changed: Sample, *, tries: int = 20, clip: tuple[float | int, float | int] | None = (0, 1)
    ):
        check_batch("changed", changed)
        self.changed, self.tries, self.clip = changed, check_count("tries", tries), checked_clip(clip)

    @torch.no_grad()
    def perturb(
        self,
        model: Network,
        x: Sample,
        target: int | Int[Tensor, " n"] | None = None,
        *,
        explain: Explain | None = None,
        also: Network | Sequence[Network] | None = None,
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """One shuffled change an input; `explain` is taken and not used, the losses are nan, no gradient is followed.

        also: as of `AttributionAttack.perturb`. Raises ValueError when `changed` is not of the shape of `x`, or for
        inputs that are not finite, or a network in training mode.
        """
        others = () if also is None else (also,) if callable(also) else tuple(also)
        for name, network in (("model", model), *(("also", other) for other in others)):
            check_calm(name, network)
        check_batch("x", x)
        if self.changed.shape != x.shape:
            raise ValueError(
                f"changed has shape {tuple(self.changed.shape)}; accepted is that of x, {tuple(x.shape)}"
            )
        g = torch.Generator().manual_seed(0) if generator is None else generator
        t = as_target(target, logits_of(model, x))
        kept = Predictions((model, *others), x, t)
        delta = (self.changed - x).flatten(2) if x.ndim > 2 else self.changed - x
        result, done = x.clone(), torch.zeros_like(t, dtype=torch.bool)
        flips, rows = torch.zeros_like(t), (-1, *[1] * (x.ndim - 1))
        for _ in range(self.tries):
            order = torch.randperm(delta.shape[-1], generator=g, device=g.device).to(x.device)
            candidate = self._added(x, delta[..., order].reshape(x.shape))
            same = kept(candidate)[0]
            result = torch.where((same & ~done).view(rows), candidate, result)
            flips += ~same & ~done
            done = done | same
            if done.all():
                break
        nothing: Float[Tensor, " n"] = x.new_full((len(x),), torch.nan)
        return Attacked(
            x=result, clean=x, target=t, kept=kept(result)[0], followed=torch.zeros_like(done), flips=flips,
            loss=nothing, clean_loss=nothing, trace=nothing[:, None],
        )  # fmt: skip

    def _added(self, x: Tensor, delta: Tensor) -> Tensor:
        if self.clip is None:
            return x + delta
        low, high = self.clip
        y = x + delta
        return torch.where((y < low) | (y > high), x - delta, y).clamp(low, high)
