"""The batched gradient attack: all samples step together, each alone decides (spec 4.5).

A new attack is a subclass with one method, `objective`. Takes any explainer that is differentiable in its input,
and never a method by name.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustxai.checks import as_target, check_count, check_name, check_positive
from robustxai.metrics.predictions import predicted, two_columns
from robustxai.ranking.attacks.common import NORMS, Attacked, joined, per_sample, project, steepest
from robustxai.ranking.attacks.keeping import KEEP, Keeper
from robustxai.ranking.checks import check_inputs
from robustxai.ranking.explainers import Saliency
from robustxai.nets.softplus import softplus_copy

Inputs = Float[Tensor, "n *sample"]
Explain = Callable[..., Tensor]
Objective = Callable[[Tensor], Tensor]


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
            networks, P1 and P2); the loss that decides is always the real one. Needs an explainer with `.on`.
        clip: the range of valid inputs, such as (0, 1) for images; None does not clip.
        batch_size: inputs attacked at once; changes memory, not results.
    """

    def __init__(
        self,
        eps: float | int,
        *,
        norm: str = "l2",
        steps: int = 40,
        step: float | int | None = None,
        keep: str = "reject",
        surrogate_beta: float | int | None = None,
        clip: tuple[float | int, float | int] | None = None,
        batch_size: int = 1024,
    ):
        check_name("norm", norm, NORMS)
        check_name("keep", keep, KEEP)
        if clip is not None and not clip[0] < clip[1]:
            raise ValueError(f"clip is {clip}; accepted are None and a pair (low, high) with low < high")
        self.eps, self.norm, self.keep = check_positive("eps", eps), norm, keep
        self.steps, self.batch_size = check_count("steps", steps), check_count("batch_size", batch_size)
        default = (1.0 if norm == "linf-box" else 2.5) * self.eps / self.steps
        self.step = default if step is None else check_positive("step", step)
        self.beta = None if surrogate_beta is None else check_positive("surrogate_beta", surrogate_beta)
        self.clip = None if clip is None else (float(clip[0]), float(clip[1]))

    def objective(self, clean: Tensor) -> Objective:
        """From the clean explanation, the function scores -> loss (n,) to minimise; each attack writes its own."""
        raise NotImplementedError

    def reader(self, explain: Explain) -> Explain:
        """What of an explainer the objective reads; the ranked scores."""
        return explain

    def start(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Where the descent begins: at the clean input. A shared draw for all samples keeps batches harmless."""
        return x

    def perturb(
        self,
        model: nn.Module,
        x: Inputs,
        target: Int[Tensor, " n"] | int | None = None,
        *,
        explain: Explain | None = None,
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """Attack the explanations of inputs `x` (n, ...); returns the best iterates and how it went.

        `target`: explained class, None for the predicted one. `explain`: any callable explain(x, target) ->
        scores, differentiable in x; default `Saliency(model)`. `generator`: for attacks with a random start.
        Raises ValueError for inputs that are not finite, a model in training mode where that couples samples, or
        inputs outside `clip`.
        """
        check_inputs(model, x)
        if self.clip is not None and not (self.clip[0] <= x.min() and x.max() <= self.clip[1]):
            raise ValueError(
                f"x holds values from {float(x.min())} to {float(x.max())}, outside clip={self.clip}"
            )
        explain = Saliency(model) if explain is None else explain
        guide = None if self.beta is None else self.reader(self._surrogate(explain, self.beta))
        with torch.inference_mode(False):
            x = x.detach().clone()
            with torch.no_grad():
                logits = torch.cat([model(part) for part in x.split(self.batch_size)])
                first = self.start(x, generator)
            t = as_target(target, logits)
            parts = [
                self._descend(model, self.reader(explain), guide, *part)
                for part in zip(*(v.split(self.batch_size) for v in (x, first, t, logits)), strict=True)
            ]
        return joined(parts)

    def _surrogate(self, explain: Explain, beta: float) -> Explain:
        network, on = getattr(explain, "model", None), getattr(explain, "on", None)
        if network is None or on is None:
            raise ValueError(
                "surrogate_beta needs an explainer with `model` and `.on(model)`, such as Saliency; "
                f"accepted for {type(explain).__name__} is None"
            )
        return on(softplus_copy(network, beta))

    def _descend(
        self, model: nn.Module, explain: Explain, guide: Explain | None, x: Tensor, first: Tensor, t: Tensor,
        logits: Tensor,
    ) -> Attacked:  # fmt: skip
        label, probability = predicted(logits), two_columns(logits).softmax(1)
        with torch.no_grad():
            clean = explain(x, t).detach()
            objective = self.objective(clean)
            clean_loss = objective(clean)
            current = project(first, x, self.eps, norm=self.norm, clip=self.clip)
            same = predicted(model(current)) == label
            current = torch.where(per_sample(same, x), current, x)
        same = torch.ones_like(same)
        best_x, best = x, clean_loss
        keeper = Keeper(self.keep, x, self.step)
        flips, visited = torch.zeros_like(t), torch.zeros_like(t)
        stuck, trace = torch.ones_like(same), []
        for i in range(self.steps + 1):
            last = i == self.steps
            loss, g = self._loss(explain, objective, current, t, follow=guide is None and not last)
            trace.append(loss)
            better = same & (loss < best)
            best_x = torch.where(per_sample(better, x), current, best_x)
            best = torch.where(better, loss, best)
            if last:
                break
            if guide is not None:
                _, g = self._loss(guide, objective, current, t, follow=True)
            stuck = stuck & (g == 0).flatten(1).all(1)
            if keeper.weighs:
                drift, drift_g = _drift(model, current, probability)
                g = keeper.combine(g, drift_g)
                keeper.reweigh(loss, drift)
            with torch.no_grad():
                moved = current - per_sample(keeper.step, x) * steepest(g, self.norm)
                candidate = project(moved, x, self.eps, norm=self.norm, clip=self.clip)
                same_now = predicted(model(candidate)) == label
                flips += ~same_now & keeper.alive
                before = current
                current = keeper.accept(current, candidate, same_now)
                same = same_now if keeper.weighs else same
                visited += (current != before).flatten(1).any(1)
        moved = (best_x != x).flatten(1).any(1)
        return Attacked(
            x=best_x, target=t, moved=moved, kept=predicted(model(best_x).detach()) == label, stuck=stuck & ~moved,
            flips_rejected=flips, steps=visited, loss=best, clean_loss=clean_loss, trace=torch.stack(trace, 1),
        )  # fmt: skip

    def _loss(
        self, explain: Explain, objective: Objective, current: Tensor, t: Tensor, *, follow: bool
    ) -> tuple[Tensor, Tensor]:
        """Loss (n,) at `current` and, if followed, its gradient; what is no number, or rounding, counts as zero."""
        with torch.set_grad_enabled(follow):
            v = current.detach().requires_grad_(follow)
            loss = objective(explain(v, t))
            g = None
            if follow and loss.requires_grad:
                (g,) = torch.autograd.grad(loss.sum(), v, allow_unused=True)
        g = torch.zeros_like(current) if g is None else g.detach()
        loss, g = loss.detach(), torch.where(torch.isfinite(g), g, 0)
        return loss, torch.where(per_sample(self._is_rounding(loss, g), g), 0, g)

    def _is_rounding(self, loss: Tensor, g: Tensor) -> Tensor:
        """Whether the whole budget would change the loss, to first order, by less than its own rounding errors.

        So it is for a share of the saliency of a two-class ReLU network: its scale cancels, and nothing else bends.
        """
        reach = self.eps * g.flatten(1).norm(p=1 if self.norm == "linf" else 2, dim=1)
        return reach <= 100 * torch.finfo(g.dtype).eps * loss.abs()


def _drift(model: nn.Module, current: Tensor, probability: Tensor) -> tuple[Tensor, Tensor]:
    """How far the class probabilities have moved, ||p - p'||_2 (n,), and its gradient."""
    with torch.enable_grad():
        v = current.detach().requires_grad_()
        drift = (two_columns(model(v)).softmax(1) - probability).norm(dim=1)
        (g,) = torch.autograd.grad(drift.sum(), v)
    return drift.detach(), torch.where(torch.isfinite(g), g, 0)
