"""The one search of all attacks on maps: all samples step together, each alone decides (spec 4.5).

A descent is a step rule, a budget, a rule that keeps the prediction, an objective of scores, and whose derivatives are
followed; the best iterate with the clean prediction is its result. Knows no attack and no explainer by name.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from robustxai.attacks.budget import Budget
from robustxai.attacks.keep_prediction import Keeper, Predictions
from robustxai.attacks.result import Attacked
from robustxai.attacks.steps import Step
from robustxai.checks import check_count
from robustxai.metrics.perturbation import Derivative, derivative, per_sample
from robustxai.models import Network
from robustxai.shapes import Explain

Objective = Callable[[Tensor], Tensor]
"""From scores (n, ...) to the loss (n,) of the attacker, lower is better."""


class DescentTask(NamedTuple):
    """One batch under attack.

    x: clean inputs (n, ...). first: where the search begins. target: explained classes (n,). networks: whose prediction
    is kept. scores: what is attacked. objective: from clean scores to the loss. guide: stand-ins, asked every `refresh`
    steps; None follows `scores` itself.
    """

    x: Tensor
    first: Tensor
    target: Tensor
    networks: Sequence[Network]
    scores: Explain
    objective: Callable[[Tensor], Objective]
    guide: Callable[[Tensor], Explain] | None
    refresh: int


class DescentTrace:
    """What a batch has come past: the best iterate with the clean prediction, the losses, the counts."""

    def __init__(self, x: Tensor, clean_loss: Tensor):
        self.x, self.clean_loss = x, clean_loss
        self.best_x, self.best = x, torch.where(clean_loss.isnan(), torch.inf, clean_loss)
        self.trace: list[Tensor] = []
        self.flips, self.steps = (torch.zeros(len(x), dtype=torch.long, device=x.device) for _ in range(2))
        self.followed, self.linked = torch.zeros_like(self.flips, dtype=torch.bool), False

    def judge(self, x: Tensor, loss: Tensor, same: Tensor) -> None:
        """Evaluate the iterate x (n, ...) by its loss (n,); those not the `same` prediction are flips."""
        self.trace.append(loss)
        self.flips += ~same
        better = same & (loss < self.best)
        self.best_x = torch.where(per_sample(better, x), x, self.best_x)
        self.best = torch.where(better, loss, self.best)

    def follow(self, found: Derivative) -> None:
        """Record that a gradient was there to follow."""
        self.followed = self.followed | found.followed
        self.linked = self.linked or (found.linked and not bool(found.values.isnan().all()))

    def result(self, t: Tensor, predictions: Predictions, budget: Budget) -> Attacked:
        """The best iterates; the clean input where nothing was followed, since a jittered start is not a step."""
        x = torch.where(per_sample(self.followed, self.x), self.best_x, self.x)
        found = self.followed & self.best.isfinite()
        return Attacked(
            x=x, clean=self.x, target=t, kept=predictions.kept(x), followed=self.followed, flips_rejected=self.flips,
            steps=self.steps, loss=torch.where(found, self.best, self.clean_loss), clean_loss=self.clean_loss,
            trace=torch.stack(self.trace, 1), budget=budget,
        )  # fmt: skip


class Descent:
    """How a batch is searched.

    Args:
        budget: what no iterate leaves.
        rule: from clean inputs to a step rule, see `robustxai.attacks.steps`.
        steps: at most so many.
        keep: how the prediction is kept, one of `keep_prediction.RULES`.
        drift, weights: of the rules that weigh: which drift, see `keep_prediction.DRIFTS`, and the weights of loss and
            drift.
        look: every so many steps the iterates are evaluated; None: every `refresh` steps with a guide, else at each.
        refresh: a guide is asked for derivatives every so many steps.
    """

    def __init__(
        self,
        budget: Budget,
        rule: Callable[[Tensor], Step],
        *,
        steps: int,
        keep: str = "reject",
        drift: str = "length",
        weights: tuple[float, float] = (1.0, 1.0),
        look: int | None = 1,
        refresh: int = 25,
    ):
        self.budget, self.rule, self.steps = budget, rule, check_count("steps", steps)
        self.keep, self.drift, self.weights = keep, drift, weights
        self.look = None if look is None else check_count("look", look)
        self.refresh = check_count("refresh", refresh)

    def descend(self, task: DescentTask) -> tuple[Attacked, bool]:
        """What was found, and whether anything that was followed had numbers and a graph to the inputs."""
        x, t = task.x, task.target
        predictions = Predictions(task.networks, x, t, drift=self.drift, weight=self.weights[1])
        keeper, step = Keeper(self.keep, x), self.rule(x)
        with torch.no_grad():
            clean = task.scores(x, t).detach()
            objective = task.objective(clean)
            current = self._beginning(task, predictions)
            path = DescentTrace(x, objective(clean))
        every = self.look or (1 if task.guide is None else task.refresh)
        same, drift, ahead = torch.ones_like(t, dtype=torch.bool), None, task.scores
        for i in range(self.steps + 1):
            last = i == self.steps
            if task.guide is not None and not last and i % task.refresh == 0:
                ahead = task.guide(current)
            found = None if last else self._derivative(objective, ahead, current, t)
            if keeper.weighs:
                same, drift = (predictions.kept(current), None) if last else predictions.drifted(current)
            if last or i % every == 0:
                known = found.values if found is not None and task.guide is None else None
                if known is None and i == 0 and torch.equal(current, x):
                    known = path.clean_loss
                with torch.no_grad():
                    loss = objective(task.scores(current, t)) if known is None else known
                path.judge(current, loss, same)
            if found is None:
                break
            path.follow(found)
            g = found.gradient
            if task.guide is None and not keeper.weighs and i == 0 and not bool((g != 0).any()):
                looks = sum(1 for j in range(1, self.steps + 1) if j == self.steps or j % every == 0)
                path.trace += (
                    path.trace[-1:] * looks
                )  # nothing to follow anywhere: every further step is this one
                break
            if drift is not None:
                g = keeper.combine(g, drift.gradient)
                keeper.reweigh(path.trace[-1], drift.values)
            with torch.no_grad():
                before, current = current, self.budget.project(step(current, g, keeper.scale), x)
                if keeper.refuses:
                    fine = predictions.kept(current)
                    path.flips += ~fine & keeper.alive
                    current = keeper.accept(before, current, fine)
                path.steps += (current != before).flatten(1).any(1)
        return path.result(t, predictions, self.budget), path.linked

    def _beginning(self, task: DescentTask, predictions: Predictions) -> Tensor:
        """Where the search begins: `first` inside the budget, where it keeps the prediction."""
        first = self.budget.project(task.first, task.x)
        if torch.equal(first, task.x):
            return task.x
        return torch.where(per_sample(predictions.kept(first), first), first, task.x)

    def _derivative(self, objective: Objective, explain: Explain, x: Tensor, t: Tensor) -> Derivative:
        """The loss at x and its gradient, zero where the whole budget would change the loss by less than its rounding.

        So it is for a share of the saliency of a two-class ReLU network: its scale cancels, and nothing else bends.
        """
        weight = self.weights[0]
        found = derivative(lambda v: objective(explain(v, t)), x, weight=weight)
        least = 100 * torch.finfo(x.dtype).eps * weight * found.values.abs()
        rounding = self.budget.reach(found.gradient) <= least
        return found._replace(gradient=torch.where(per_sample(rounding, x), 0, found.gradient))
