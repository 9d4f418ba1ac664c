"""Controls: perturbations of the same norm that search nothing, the baseline that an attack must beat."""

from typing import SupportsFloat, SupportsIndex

import torch
from torch import Tensor

from robustxai.attacks.budget import NORMS, Budget, draw
from robustxai.attacks.keep_prediction import Predictions
from robustxai.attacks.result import Attacked
from robustxai.attacks.validation import Also, check_perturb
from robustxai.checks import as_target, check_batch, check_count, check_name, check_positive
from robustxai.metrics.perturbation import per_sample, unit
from robustxai.models import Network, logits_of
from robustxai.shapes import Inputs, Target


class Control:
    """What all controls share: changes are drawn until one keeps the prediction; each writes `candidate`."""

    budget: Budget
    tries: int

    def candidate(self, x: Inputs, generator: torch.Generator) -> Inputs:
        """One random change of all inputs."""
        raise NotImplementedError

    @torch.no_grad()
    def perturb(
        self,
        model: Network,
        x: Inputs,
        target: Target = None,
        *,
        explain: object = None,
        guide: object = None,
        also: Also = (),
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """One random change of each input; `explain` and `guide` are not used. Without a generator always the same.

        The losses are nan: there is none. `followed` is True: a control searches nothing and so misses no gradient.
        Other arguments and errors as for the attacks.
        """
        networks = check_perturb(model, x, self.budget.clip, guide=guide, also=also, generator=generator)
        g = torch.Generator().manual_seed(0) if generator is None else generator
        x = x.detach()
        t = as_target(target, logits_of(model, x))
        predictions = Predictions(networks, x, t)
        changed, kept = x.clone(), torch.zeros_like(t, dtype=torch.bool)
        flips = torch.zeros_like(t)
        for _ in range(self.tries):
            candidate = self.candidate(x, g)
            same = predictions.kept(candidate)
            changed = torch.where(per_sample(same & ~kept, x), candidate, changed)
            flips += ~same & ~kept
            kept = kept | same
            if kept.all():
                break
        nothing = x.new_full((len(x),), torch.nan)
        return Attacked(
            x=changed, clean=x, target=t, kept=predictions.kept(changed), followed=torch.ones_like(kept),
            flips_rejected=flips, steps=kept.long(), loss=nothing, clean_loss=nothing, trace=nothing[:, None],
            budget=self.budget,
        )  # fmt: skip


class RandomDirections(Control):
    """A random change of length exactly eps that keeps the prediction: the control of every attack (spec 8, 12.2).

    Each sample has its own direction, drawn in the order of the batch.

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
        self.eps = check_positive("eps", eps)
        self.budget, self.tries = Budget(self.eps, norm, clip), check_count("tries", tries)

    def candidate(self, x: Inputs, generator: torch.Generator) -> Inputs:
        noise = draw(x, generator)
        direction = unit(noise) if self.budget.norm == "l2" else noise.sign()
        return self.budget.project(x + self.eps * direction, x)


class ShuffledChange(Control):
    """An attack's own change with its pixels in other places: of equal l1, l2 and l_inf norm (spec 4.4, item 4).

    Args:
        changed: what an attack made of the inputs, `Attacked.x`; `perturb` takes inputs of the same shape.
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
        self,
        changed: Inputs,
        *,
        tries: SupportsIndex = 20,
        clip: tuple[float | int, float | int] | None = (0, 1),
    ):
        self.changed, self.tries = check_batch("changed", changed), check_count("tries", tries)
        self.budget = Budget(None, clip=clip)

    def candidate(self, x: Inputs, generator: torch.Generator) -> Inputs:
        if self.changed.shape != x.shape:
            raise ValueError(
                f"changed must have the shape of x, {tuple(x.shape)}, got shape {tuple(self.changed.shape)}"
            )
        delta = (self.changed - x).flatten(2) if x.ndim > 2 else self.changed - x
        order = torch.randperm(delta.shape[-1], generator=generator, device=generator.device).to(x.device)
        return self._added(x, delta[..., order].reshape(x.shape))

    def _added(self, x: Tensor, delta: Tensor) -> Tensor:
        if self.budget.clip is None:
            return x + delta
        low, high = self.budget.clip
        y = x + delta
        return torch.where((y < low) | (y > high), x - delta, y).clamp(low, high)
