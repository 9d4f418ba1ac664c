"""The batched gradient attack: all samples step together, each alone decides (spec 4.5).

A new attack is a subclass with one method, `objective`. Takes any explainer that is differentiable in its input,
or a guide to derivatives for those that are not, and never a method by name.
"""

from collections.abc import Callable
from typing import NamedTuple, SupportsFloat, SupportsIndex

import torch
from torch import Tensor

from robustxai.attacks.budget import NORMS, check_clip, check_inside, per_sample, project, steepest
from robustxai.attacks.following import Guide, surrogate, warn_unfollowed
from robustxai.attacks.keep_prediction import KEEP, Keeper
from robustxai.attacks.result import Attacked, joined
from robustxai.checks import (
    as_target,
    check_batch,
    check_callable,
    check_count,
    check_generator,
    check_name,
    check_positive,
)
from robustxai.eval_mode import check_calm
from robustxai.explainers.gradient import Saliency
from robustxai.explainers.input_gradient import same_class
from robustxai.explainers.reduce import read
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.scores.explained import two_columns
from robustxai.shapes import Explain, Inputs, Target

Objective = Callable[[Tensor], Tensor]


class Slope(NamedTuple):
    """Loss (n,) at some inputs and its gradient; `linked`: whether it has a graph to them at all."""

    loss: Tensor
    gradient: Tensor
    linked: bool


class GradientAttack:
    """Move each input within its budget so that `objective` falls and the prediction stays. White box: the
    attacker changes the input only and knows the network and the explainer.

    Args:
        eps: budget, above 0, in units of the input: l2 length, or half the side of the box.
        norm: 'l2', 'linf-box' (released form) or 'linf'; see `NORMS`.
        steps: gradient steps.
        step: length of one, in the norm of the steps; default 2.5 eps / steps, for 'linf-box' eps / steps.
        keep: how the prediction is kept, see `KEEP`.
        surrogate_beta: take the attack's derivatives from a softplus copy of the explained network (for ReLU
            networks, P1 and P2); the loss that decides is always the real one. Needs an explainer with `.on`, or with
            `.guide`.
        refresh: a guide given to `perturb` is called for derivatives every so many steps.
        clip: the range of valid inputs, such as (0, 1) for images; None does not clip.
        batch_size: inputs attacked at once; changes memory, not results.

    Explanations are read as `robustxai.explainers.reduce.reduced` reads them: |A|, summed over the channels of images.

    >>> class Shrink(GradientAttack):
    ...     def objective(self, clean):
    ...         return lambda scores: scores.flatten(1).sum(1)
    >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> Shrink(0.5, steps=5).perturb(model, torch.zeros(3, 6)).followed
    tensor([True, True, True])
    """

    def __init__(
        self,
        eps: SupportsFloat,
        *,
        norm: str = "l2",
        steps: SupportsIndex = 40,
        step: SupportsFloat | None = None,
        keep: str = "reject",
        surrogate_beta: SupportsFloat | None = None,
        refresh: SupportsIndex = 25,
        clip: tuple[float | int, float | int] | None = None,
        batch_size: SupportsIndex = 1024,
    ):
        check_name("norm", norm, NORMS)
        check_name("keep", keep, KEEP)
        self.eps, self.norm, self.keep = check_positive("eps", eps), norm, keep
        self.steps, self.batch_size = check_count("steps", steps), check_count("batch_size", batch_size)
        default = (1.0 if norm == "linf-box" else 2.5) * self.eps / self.steps
        self.step = default if step is None else check_positive("step", step)
        self.beta = None if surrogate_beta is None else check_positive("surrogate_beta", surrogate_beta)
        self.refresh, self.clip = check_count("refresh", refresh), check_clip(clip)

    def objective(self, clean: Tensor) -> Objective:
        """From the clean explanation, the function scores -> loss (n,) to minimise; each attack writes its own."""
        raise NotImplementedError

    def reader(self, explain: Explain) -> Explain:
        """What of an explainer the objective reads; the reduced map."""
        return read(explain)

    def start(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Where the descent begins: at the clean input. A shared draw for all samples keeps batches harmless."""
        return x

    def perturb(
        self,
        model: Network,
        x: Inputs,
        target: Target = None,
        *,
        explain: Explain | None = None,
        guide: Guide | None = None,
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """Attack the explanations of inputs `x` (n, ...); returns the best iterates and how it went.

        Args:
            model: whose prediction is kept.
            x: inputs (n, ...).
            target: explained class, None for the predicted one; explainers are always given classes (n,).
            explain: any callable explain(x, target) -> attributions (n, ...), differentiable in x unless there is a
                guide; default `Saliency(model)`.
            guide: from the current inputs to an explainer whose derivatives are followed in place of those of
                `explain`, such as `explain.guide`; it takes the place of `surrogate_beta`.
            generator: for attacks with a random start.

        An input for which no gradient was ever non-zero and finite is returned as it came, with `followed` False; one
        UserWarning where nothing that was followed has a graph to x. Raises ValueError for inputs that are not finite,
        a model in training mode where that couples samples, or inputs outside `clip`.
        """
        check_batch("x", x)
        check_calm("model", model)
        check_inside("x", x, self.clip)
        check_generator("generator", generator)
        if guide is not None:
            check_callable("guide", guide)
        explain = Saliency(model) if explain is None else explain  # pyright: ignore[reportArgumentType]
        if guide is None and self.beta is not None:
            guide = surrogate(explain, self.beta)
        with torch.inference_mode(False):
            x = x.detach().clone()
            with torch.no_grad():
                logits = torch.cat([logits_of(model, part) for part in x.split(self.batch_size)])
                first = self.start(x, generator)
            t = as_target(target, logits)
            parts = [
                self._descend(model, self.reader(explain), guide, *part)
                for part in zip(*(v.split(self.batch_size) for v in (x, first, t, logits)), strict=True)
            ]
        if not any(linked for _, linked in parts):
            warn_unfollowed()
        return joined([found for found, _ in parts])

    def _descend(
        self, model: Network, explain: Explain, guide: Guide | None, x: Tensor, first: Tensor, t: Tensor,
        logits: Tensor,
    ) -> tuple[Attacked, bool]:  # fmt: skip
        """What was found, and whether anything that was followed had a graph to the inputs."""
        label, probability = predicted(logits), two_columns(logits).softmax(1)
        with torch.no_grad():
            clean = explain(x, t).detach()
            objective = self.objective(clean)
            clean_loss = objective(clean)
            current = project(first, x, self.eps, norm=self.norm, clip=self.clip)
            same = same_class(logits_of(model, current), label)
            current = torch.where(per_sample(same, x), current, x)
        same = torch.ones_like(same)
        best_x, best = x, clean_loss
        keeper = Keeper(self.keep, x, self.step)
        flips, visited = torch.zeros_like(t), torch.zeros_like(t)
        followed, linked, trace, stand_in = torch.zeros_like(same), False, [], explain
        for i in range(self.steps + 1):
            last = i == self.steps
            slope = self._loss(explain, objective, current, t, follow=guide is None and not last)
            loss = slope.loss
            trace.append(loss)
            better = same & (loss < best)
            best_x = torch.where(per_sample(better, x), current, best_x)
            best = torch.where(better, loss, best)
            if last:
                break
            if guide is not None:
                stand_in = self.reader(guide(current)) if i % self.refresh == 0 else stand_in
                slope = self._loss(stand_in, objective, current, t, follow=True)
            g, linked = slope.gradient, linked or slope.linked
            followed = followed | (g != 0).flatten(1).any(1)
            if keeper.weighs:
                drift, drift_g = _drift(model, current, probability)
                g = keeper.combine(g, drift_g)
                keeper.reweigh(loss, drift)
            with torch.no_grad():
                moved = current - per_sample(keeper.step, x) * steepest(g, self.norm)
                candidate = project(moved, x, self.eps, norm=self.norm, clip=self.clip)
                same_now = same_class(logits_of(model, candidate), label)
                flips += ~same_now & keeper.alive
                before = current
                current = keeper.accept(current, candidate, same_now)
                same = same_now if keeper.weighs else same
                visited += (current != before).flatten(1).any(1)
        best_x = torch.where(per_sample(followed, x), best_x, x)  # a jittered start is not a step
        found = Attacked(
            x=best_x, clean=x, target=t, kept=same_class(logits_of(model, best_x).detach(), label), followed=followed,
            flips_rejected=flips, steps=visited, loss=torch.where(followed, best, clean_loss), clean_loss=clean_loss,
            trace=torch.stack(trace, 1),
        )  # fmt: skip
        return found, linked

    def _loss(
        self, explain: Explain, objective: Objective, current: Tensor, t: Tensor, *, follow: bool
    ) -> Slope:
        """The loss at `current` and, if followed, its gradient; what is no number, or rounding, counts as zero."""
        with torch.set_grad_enabled(follow):
            v = current.detach().requires_grad_(follow)
            loss = objective(explain(v, t))
            g = None
            if follow and loss.requires_grad:
                (g,) = torch.autograd.grad(loss.sum(), v, allow_unused=True)
        linked = g is not None
        g = torch.zeros_like(current) if g is None else g.detach()
        loss, g = loss.detach(), torch.where(torch.isfinite(g), g, 0)
        return Slope(loss, torch.where(per_sample(self._is_rounding(loss, g), g), 0, g), linked)

    def _is_rounding(self, loss: Tensor, g: Tensor) -> Tensor:
        """Whether the whole budget would change the loss, to first order, by less than its own rounding errors.

        So it is for a share of the saliency of a two-class ReLU network: its scale cancels, and nothing else bends.
        """
        top = g.flatten(1).abs().amax(1)  # scaled first: the square of a small gradient is zero
        scaled = g.flatten(1) / torch.where(top > 0, top, 1)[:, None]
        reach = self.eps * top * scaled.norm(p=1 if self.norm == "linf" else 2, dim=1)
        return reach <= 100 * torch.finfo(g.dtype).eps * loss.abs()


def _drift(model: Network, current: Tensor, probability: Tensor) -> tuple[Tensor, Tensor]:
    """How far the class probabilities have moved, ||p - p'||_2 (n,), and its gradient."""
    with torch.enable_grad():
        v = current.detach().requires_grad_()
        drift = (two_columns(logits_of(model, v)).softmax(1) - probability).norm(dim=1)
        (g,) = torch.autograd.grad(drift.sum(), v)
    return drift.detach(), torch.where(torch.isfinite(g), g, 0)
