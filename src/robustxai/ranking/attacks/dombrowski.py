"""Dombrowski et al. (2019): drive the explanation to a given map while the output stays.

Adam on the input; derivatives from a softplus copy whose beta grows on the way, decisions by the network itself.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustxai.checks import as_target, check_count, check_name, check_positive
from robustxai.metrics.predictions import predicted, two_columns
from robustxai.ranking.attacks.common import NORMS, Attacked, mass, per_sample, project
from robustxai.ranking.attacks.descent import Explain
from robustxai.ranking.checks import check_inputs
from robustxai.ranking.explainers import Saliency
from robustxai.nets.softplus import SmoothReLU, softplus_copy

Inputs = Float[Tensor, "n *sample"]


class TargetMapAttack:
    """Minimise map_weight * MSE(explanation, goal) + output_weight * MSE(probabilities) by Adam (spec 4.6).

    Wants the explanation, as shares of its sum, to look like `goal`. White box; changes the input only.

    Args:
        goal: the wanted scores, non-negative: one map for all inputs, or one for each (n, ...).
        eps: None leaves the size of the change to the loss, as the original does; a number is a budget in `norm`.
        steps, lr: of Adam; `lr` in units of the input.
        betas: softplus beta of the first and of the last step, growing geometrically; None attacks the network as
            it is (needed where it holds no nn.ReLU).
        map_weight, output_weight: the original's, for 224 x 224 maps. Only their ratio matters to Adam.
        clip: the range of valid inputs.
    """

    def __init__(
        self,
        goal: Float[Tensor, "..."],
        *,
        eps: float | int | None = None,
        norm: str = "l2",
        steps: int = 1500,
        lr: float | int = 2e-4,
        betas: tuple[float | int, float | int] | None = (10, 100),
        map_weight: float | int = 1e11,
        output_weight: float | int = 1e6,
        clip: tuple[float | int, float | int] | None = None,
    ):
        check_name("norm", norm, NORMS)
        if not torch.isfinite(goal).all() or (goal < 0).any() or goal.sum() == 0:
            raise ValueError("goal must be finite, non-negative and not all zero; accepted is such a map")
        self.goal, self.norm = goal, norm
        self.eps = None if eps is None else check_positive("eps", eps)
        self.steps, self.lr = check_count("steps", steps), check_positive("lr", lr)
        self.betas = None if betas is None else tuple(check_positive("betas", b) for b in betas)
        self.weights = (
            check_positive("map_weight", map_weight),
            check_positive("output_weight", output_weight),
        )
        self.clip = None if clip is None else (float(clip[0]), float(clip[1]))

    def perturb(
        self,
        model: nn.Module,
        x: Inputs,
        target: Int[Tensor, " n"] | int | None = None,
        *,
        explain: Explain | None = None,
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """The iterates nearest to the goal that keep the prediction; `loss` is their MSE to the goal.

        `explain` needs `.on(model)` and `.model` unless `betas` is None. `generator` is taken and not used.
        """
        check_inputs(model, x)
        explain = Saliency(model) if explain is None else explain
        guide, smooth = self._guide(explain)
        with torch.inference_mode(False), torch.enable_grad():
            x = x.detach().clone()
            with torch.no_grad():
                logits = model(x)
            t, label, probability = (
                as_target(target, logits),
                predicted(logits),
                two_columns(logits).softmax(1),
            )
            goal = self._goal(x, explain(x, t))
            far = lambda scores: (mass(scores) - goal).square().mean(1)  # noqa: E731
            v = x.clone().requires_grad_()
            adam = torch.optim.Adam([v], lr=self.lr)
            best_x, trace, visited = x, [far(explain(x, t)).detach()], torch.zeros_like(t)
            best, flips, stuck = trace[0], torch.zeros_like(t), torch.ones_like(t, dtype=torch.bool)
            for i in range(self.steps):
                self._anneal(smooth, i)
                drift = (two_columns(model(v)).softmax(1) - probability).square().mean(1)
                near = far(guide(v, t))
                stuck = stuck & (_gradient(near, v) == 0).flatten(1).all(1)
                g = _gradient(self.weights[0] * near + self.weights[1] * drift, v)
                v.grad = torch.where(torch.isfinite(g), g, 0)
                before = v.detach().clone()
                adam.step()
                with torch.no_grad():
                    if self.eps is not None:
                        v.copy_(project(v, x, self.eps, norm=self.norm))
                    if self.clip is not None:
                        v.clamp_(*self.clip)
                    here, same = v.detach().clone(), predicted(model(v)) == label
                    loss = far(explain(here, t))
                flips, visited = flips + (~same).long(), visited + (here != before).flatten(1).any(1).long()
                better = same & (loss < best)
                best_x, best = (
                    torch.where(per_sample(better, x), here, best_x),
                    torch.where(better, loss, best),
                )
                trace.append(loss)
        moved = (best_x != x).flatten(1).any(1)
        return Attacked(
            x=best_x, target=t, moved=moved, kept=torch.ones_like(moved), stuck=stuck & ~moved, flips_rejected=flips,
            steps=visited, loss=best, clean_loss=trace[0], trace=torch.stack(trace, 1),
        )  # fmt: skip

    def _guide(self, explain: Explain) -> tuple[Explain, nn.Module | None]:
        """The explainer that gives derivatives, and the smooth network whose beta is to be raised."""
        if self.betas is None:
            return explain, None
        network, on = getattr(explain, "model", None), getattr(explain, "on", None)
        if network is None or on is None:
            raise ValueError(
                "betas needs an explainer with `model` and `.on(model)`; accepted for others is None"
            )
        smooth = softplus_copy(network, self.betas[0])
        return on(smooth), smooth

    def _anneal(self, smooth: nn.Module | None, step: int) -> None:
        if smooth is None or self.betas is None:
            return
        first, last = self.betas
        beta = first * (last / first) ** (step / max(1, self.steps - 1))
        for m in smooth.modules():
            if isinstance(m, SmoothReLU):
                m.beta = beta

    def _goal(self, x: Tensor, scores: Tensor) -> Tensor:
        d, goal = scores[0].numel(), self.goal.to(scores)
        if goal.numel() not in (d, d * len(x)):
            raise ValueError(
                f"goal has shape {tuple(goal.shape)}; accepted are {d} scores, or {d} for each input"
            )
        return mass(goal.reshape(-1, d)).expand(len(x), -1)


def _gradient(values: Tensor, v: Tensor) -> Tensor:
    """Gradient of the sum of `values`; zero where there is no path."""
    if not values.requires_grad:
        return torch.zeros_like(v)
    (g,) = torch.autograd.grad(values.sum(), v, retain_graph=True, allow_unused=True)
    return torch.zeros_like(v) if g is None else g
