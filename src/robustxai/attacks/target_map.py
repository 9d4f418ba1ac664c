"""Dombrowski et al. (2019): drive the explanation to a given map while the output stays.

Adam on the input; derivatives from a softplus copy whose beta grows on the way, decisions by the network itself.
"""

from typing import SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.attacks.budget import NORMS, check_clip, check_inside, per_sample, project
from robustxai.attacks.following import Guide, warn_unfollowed
from robustxai.attacks.result import Attacked
from robustxai.checks import (
    as_target,
    check_batch,
    check_callable,
    check_count,
    check_generator,
    check_name,
    check_positive,
    shown,
)
from robustxai.eval_mode import check_calm
from robustxai.explainers.gradient import Saliency
from robustxai.explainers.input_gradient import same_class
from robustxai.explainers.reduce import read, shares
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.nets.softplus import set_beta, softplus_copy
from robustxai.scores.explained import two_columns
from robustxai.shapes import Explain, Inputs, Target


class TargetMapAttack:
    """Minimise map_weight * MSE(explanation, goal) + output_weight * MSE(probabilities) by Adam (spec 4.6).

    Wants the explanation, as shares of its sum, to look like `goal`. White box; changes the input only.

    Args:
        goal: the wanted scores, non-negative: one map for all inputs, or one for each (n, ...).
        eps: None leaves the size of the change to the loss, as the original does; a number is a budget in `norm`.
        steps, lr: of Adam; `lr` in units of the input.
        betas: softplus beta of the first and of the last step, growing geometrically; None attacks the network as
            it is (needed where it holds no ReLU). An explainer without `.on` gives its own `.guide` instead.
        refresh: a guide is called for derivatives every so many steps.
        map_weight, output_weight: the original's, for 224 x 224 maps. Only their ratio matters to Adam.
        clip: the range of valid inputs.

    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> attack = TargetMapAttack(torch.tensor([0.0, 0.0, 0.0, 1.0]), eps=0.3, steps=5, lr=0.05)
    >>> found = attack.perturb(model, torch.ones(3, 4))
    >>> bool((found.loss <= found.clean_loss).all())
    True
    """

    def __init__(
        self,
        goal: Float[Tensor, "..."],
        *,
        eps: SupportsFloat | None = None,
        norm: str = "l2",
        steps: SupportsIndex = 1500,
        lr: SupportsFloat = 2e-4,
        betas: tuple[float | int, float | int] | None = (10, 100),
        refresh: SupportsIndex = 25,
        map_weight: SupportsFloat = 1e11,
        output_weight: SupportsFloat = 1e6,
        clip: tuple[float | int, float | int] | None = None,
    ):
        check_name("norm", norm, NORMS)
        if (
            not isinstance(goal, Tensor)
            or goal.is_complex()
            or not torch.isfinite(goal).all()
            or (goal < 0).any()
            or goal.sum() == 0
        ):
            raise ValueError(f"goal must be a map, finite, non-negative and not all zero, got {shown(goal)}")
        self.goal, self.norm = goal, norm
        self.eps = None if eps is None else check_positive("eps", eps)
        self.steps, self.lr = check_count("steps", steps), check_positive("lr", lr)
        if betas is not None and len(betas) != 2:
            raise ValueError(f"betas must be None or a pair (first, last), got {betas}")
        self.betas = None if betas is None else tuple(check_positive("betas", b) for b in betas)
        self.weights = (
            check_positive("map_weight", map_weight),
            check_positive("output_weight", output_weight),
        )
        self.refresh, self.clip = check_count("refresh", refresh), check_clip(clip)

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
        """The iterates nearest to the goal that keep the prediction; `loss` is their MSE to the goal.

        `explain` needs `.on(model)` and `.model`, or `.guide(x)`, unless `betas` is None or there is a `guide`, whose
        derivatives are then followed as in `GradientAttack.perturb`. `generator` is taken and not used.
        """
        check_batch("x", x)
        check_calm("model", model)
        check_inside("x", x, self.clip)
        check_generator("generator", generator)
        if guide is not None:
            check_callable("guide", guide)
        explain = Saliency(model) if explain is None else explain  # pyright: ignore[reportArgumentType]
        smooth = None
        if guide is None:
            guide, smooth = self._guide(explain)
        explain = read(explain)
        with torch.inference_mode(False), torch.enable_grad():
            x = x.detach().clone()
            with torch.no_grad():
                logits = logits_of(model, x)
            t, label, probability = (
                as_target(target, logits),
                predicted(logits),
                two_columns(logits).softmax(1),
            )
            clean = explain(x, t).detach()
            goal = self._goal(x, clean)
            far = lambda scores: (shares(scores) - goal).square().mean(1)  # noqa: E731
            v = x.clone().requires_grad_()
            adam = torch.optim.Adam([v], lr=self.lr)
            best_x, trace, visited = x, [far(clean)], torch.zeros_like(t)
            best, flips, followed = trace[0], torch.zeros_like(t), torch.zeros_like(t, dtype=torch.bool)
            linked, stand_in = False, explain
            for i in range(self.steps):
                self._anneal(smooth, i)
                if guide is not None and i % self.refresh == 0:
                    stand_in = read(guide(v.detach()))
                drift = (two_columns(logits_of(model, v)).softmax(1) - probability).square().mean(1)
                near = far(stand_in(v, t))
                own = _gradient(near, v)
                linked = linked or own is not None
                if own is not None:
                    followed = followed | (torch.isfinite(own) & (own != 0)).flatten(1).any(1)
                g = _gradient(self.weights[0] * near + self.weights[1] * drift, v)
                v.grad = torch.zeros_like(v) if g is None else torch.where(torch.isfinite(g), g, 0)
                before = v.detach().clone()
                adam.step()
                with torch.no_grad():
                    if self.eps is not None:
                        v.copy_(project(v, x, self.eps, norm=self.norm))
                    if self.clip is not None:
                        v.clamp_(*self.clip)
                    here, same = v.detach().clone(), same_class(logits_of(model, v), label)
                    loss = far(explain(here, t))
                flips, visited = flips + (~same).long(), visited + (here != before).flatten(1).any(1).long()
                better = same & (loss < best)
                best_x, best = (
                    torch.where(per_sample(better, x), here, best_x),
                    torch.where(better, loss, best),
                )
                trace.append(loss)
        if not linked:
            warn_unfollowed()
        return Attacked(
            x=torch.where(per_sample(followed, x), best_x, x), clean=x, target=t, kept=torch.ones_like(followed),
            followed=followed, flips_rejected=flips, steps=visited, loss=torch.where(followed, best, trace[0]),
            clean_loss=trace[0], trace=torch.stack(trace, 1),
        )  # fmt: skip

    def _guide(self, explain: Explain) -> tuple[Guide | None, nn.Module | None]:
        """The guide that `betas` stands for, and the smooth network whose beta is to be raised."""
        if self.betas is None:
            return None, None
        network, on = getattr(explain, "model", None), getattr(explain, "on", None)
        if network is not None and on is not None:
            smooth = softplus_copy(network, self.betas[0])
            found = on(smooth)
            return lambda x: found, smooth
        if (own := getattr(explain, "guide", None)) is not None:
            return own, None
        raise ValueError(
            "betas must be None for an explainer without `model` and `.on(model)` and without `.guide(x)`, "
            f"got {self.betas}"
        )

    def _anneal(self, smooth: nn.Module | None, step: int) -> None:
        if smooth is not None and self.betas is not None:
            first, last = self.betas
            set_beta(smooth, first * (last / first) ** (step / max(1, self.steps - 1)))

    def _goal(self, x: Tensor, scores: Tensor) -> Tensor:
        d, goal = scores[0].numel(), self.goal.to(scores)
        if goal.numel() not in (d, d * len(x)):
            raise ValueError(
                f"goal must hold {d} scores, or {d} for each input, got shape {tuple(goal.shape)}"
            )
        return shares(goal.reshape(-1, d)).expand(len(x), -1)


def _gradient(values: Tensor, v: Tensor) -> Tensor | None:
    """Gradient of the sum of `values`; None where there is no path."""
    if not values.requires_grad:
        return None
    (g,) = torch.autograd.grad(values.sum(), v, retain_graph=True, allow_unused=True)
    return g
