"""Controls: perturbations of the same norm that search nothing, the baseline that an attack must beat."""

from collections.abc import Sequence
from typing import SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.attacks.budget import NORMS, check_clip, check_inside, draw, per_sample, project, steepest
from robustxai.attacks.keep_prediction import Predictions
from robustxai.attacks.result import Attacked
from robustxai.checks import as_target, check_batch, check_count, check_generator, check_name, check_positive
from robustxai.eval_mode import check_calm
from robustxai.explainers.input_gradient import same_class
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.shapes import Explain, Inputs, Target


class RandomDirections:
    """A random change of length exactly eps that keeps the prediction: the control of every attack (spec 8, 12.2).

    Args:
        eps: length, above 0: l2 length, or with 'linf' and 'linf-box' the size of every coordinate's change.
        norm: as for the attacks.
        tries: a direction that flips the prediction is drawn again, so many times; then the input stays.
        clip: the range of valid inputs; clipping shortens the change.

    >>> RandomDirections(0.5).perturb(torch.nn.Linear(6, 2), torch.ones(3, 6)).followed
    tensor([True, True, True])
    """

    def __init__(
        self,
        eps: SupportsFloat,
        *,
        norm: str = "l2",
        tries: SupportsIndex = 20,
        clip: tuple[float | int, float | int] | None = None,
    ):
        check_name("norm", norm, NORMS)
        self.eps, self.norm, self.tries = check_positive("eps", eps), norm, check_count("tries", tries)
        self.clip = check_clip(clip)

    @torch.no_grad()
    def perturb(
        self,
        model: Network,
        x: Inputs,
        target: Target = None,
        *,
        explain: object = None,
        guide: object = None,
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """One random change of each input; `explain` and `guide` are not used. Without a generator always the same.

        Each sample has its own direction, drawn in the order of the batch. The losses are nan: there is none.
        `followed` is True: a control searches nothing and so misses no gradient. ValueError as for the attacks.
        """
        check_batch("x", x)
        check_calm("model", model)
        check_inside("x", x, self.clip)
        check_generator("generator", generator)
        g = torch.Generator().manual_seed(0) if generator is None else generator
        x = x.detach()
        logits = logits_of(model, x)
        t, label = as_target(target, logits), predicted(logits)
        moved, kept = x.clone(), torch.zeros_like(label, dtype=torch.bool)
        flips = torch.zeros_like(label)
        for _ in range(self.tries):
            direction = steepest(draw(x, g), "l2" if self.norm == "l2" else "linf")
            candidate = project(x + self.eps * direction, x, self.eps, norm=self.norm, clip=self.clip)
            same = same_class(logits_of(model, candidate), label)
            moved = torch.where(per_sample(same & ~kept, x), candidate, moved)
            flips += ~same & ~kept
            kept = kept | same
            if kept.all():
                break
        nothing = x.new_full((len(x),), torch.nan)
        return Attacked(
            x=moved, clean=x, target=t, kept=torch.ones_like(kept), followed=torch.ones_like(kept),
            flips_rejected=flips, steps=kept.long(), loss=nothing, clean_loss=nothing, trace=nothing[:, None],
        )  # fmt: skip


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
        self, changed: Inputs, *, tries: int = 20, clip: tuple[float | int, float | int] | None = (0, 1)
    ):
        check_batch("changed", changed)
        self.changed, self.tries, self.clip = changed, check_count("tries", tries), check_clip(clip)

    @torch.no_grad()
    def perturb(
        self,
        model: Network,
        x: Inputs,
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
                f"changed must have the shape of x, {tuple(x.shape)}, got shape {tuple(self.changed.shape)}"
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
            x=result, clean=x, target=t, kept=kept(result)[0], followed=torch.zeros_like(done), flips_rejected=flips,
            steps=done.long(),
            loss=nothing, clean_loss=nothing, trace=nothing[:, None],
        )  # fmt: skip

    def _added(self, x: Tensor, delta: Tensor) -> Tensor:
        if self.clip is None:
            return x + delta
        low, high = self.clip
        y = x + delta
        return torch.where((y < low) | (y > high), x - delta, y).clamp(low, high)
