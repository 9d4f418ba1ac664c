"""The targeted attack on attributions: make the map of one image look like that of another (spec 4).

The attacker changes the input only, knows network and explainer, and must keep the prediction. Takes any
explainer `explain(x, target)` that is differentiable in x, or a `guide` to derivatives for those that are not
(see `adaptive`), and never a method by name. Noise of the same size is in `controls`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from robustxai.manifold_ig.explained import as_target
from robustxai.manifold_ig.explainers import IntegratedGradients
from robustxai.manifold_ig.keeping import Network, Predictions
from robustxai.manifold_ig.maps import Explain, shares
from robustxai.manifold_ig.metric import check_mode

Sample = Float[Tensor, "n *sample"]
Guide = Callable[[Tensor], Explain]
KEEP = ("weigh", "stop")
RELEASED_WEIGHT = 192**4 * 1e6 / 1e17
"""1 / 73.6: the released weight of the output term beside d^2 * MSE of the maps, d = 192^2 (spec 4.2)."""


@dataclass(frozen=True)
class Attacked:
    """What an attack on attributions found, one row a sample.

    x: the attacked inputs, the best that were looked at and have the clean prediction. target (n,): explained
    class. moved: x differs from the clean input. kept: the clean prediction stands. stuck: the attack never
    had a gradient, so it says nothing about robustness. flips: looked-at inputs refused for their prediction.
    loss, clean_loss: d^2 * MSE of the maps, as shares of their sum, to the goal, at x and at the clean input.
    trace (n, looks): the loss along the way.
    """

    x: Sample
    target: Int[Tensor, " n"]
    moved: Bool[Tensor, " n"]
    kept: Bool[Tensor, " n"]
    stuck: Bool[Tensor, " n"]
    flips: Int[Tensor, " n"]
    loss: Float[Tensor, " n"]
    clean_loss: Float[Tensor, " n"]
    trace: Float[Tensor, "n looks"]


class AttributionAttack:
    """Minimise d^2 MSE(map, goal) + `output_weight` (p_c - p_c of the clean input)^2 by Adam (spec 4.2).

    Maps are |A| summed over channels as shares of their sum, d their size. The form does not depend on the
    size of the image.

    Args:
        images: whose maps are wanted, one for all or one for each input; explained for the class predicted on
            them, by the explainer under attack.
        maps: the wanted maps themselves (non-negative), in place of `images`.
        eps: l_inf budget in units of the input; None for no bound, as released.
        steps, lr: of Adam; `lr` in units of the input.
        output_weight: the default rarely flips a prediction; `RELEASED_WEIGHT` is the released one.
        keep: "weigh" goes on after a flip, pulled back by the output term; "stop" ends the sample there, as
            released. Either way no input with another prediction is a result.
        refresh: a guide is asked for derivatives every so many steps.
        look: every so many steps the inputs are judged, and the best judged ones are the result. None: every
            `refresh` steps with a guide, and every step without one, where it costs nothing; a comparison of
            explainers should give all of them the same number.
        clip: range of valid inputs; None for no range.
        batch_size: inputs attacked at once; changes memory, not results.

    Raises ValueError for numbers out of range, both or neither of `images` and `maps`.
    """

    def __init__(
        self,
        images: Sample | None = None,
        *,
        maps: Float[Tensor, "..."] | None = None,
        eps: float | int | None = 16 / 255,
        steps: int = 300,
        lr: float | int = 4e-3,
        output_weight: float | int = 100.0,
        keep: str = "weigh",
        refresh: int = 25,
        look: int | None = None,
        clip: tuple[float | int, float | int] | None = (0, 1),
        batch_size: int = 32,
    ):
        if (images is None) == (maps is None):
            raise ValueError("images and maps are both given or both missing; accepted is one of them")
        if (eps is not None and not eps > 0) or not lr > 0 or not output_weight >= 0:
            raise ValueError(
                f"eps, lr and output_weight are {eps}, {lr} and {output_weight}; accepted are None or above 0, "
                "above 0, and 0 or more"
            )
        if min(steps, refresh, batch_size, 1 if look is None else look) < 1:
            raise ValueError(
                f"steps, refresh, look and batch_size are {steps}, {refresh}, {look} and {batch_size}; accepted are "
                "1 or more, and None for look"
            )
        if keep not in KEEP:
            raise ValueError(f"keep is {keep!r}; accepted are {', '.join(KEEP)}")
        self.images, self.maps, self.eps, self.steps, self.lr = images, maps, eps, steps, lr
        self.output_weight, self.keep, self.refresh, self.look = output_weight, keep, refresh, look
        self.clip, self.batch_size = clip, batch_size

    @classmethod
    def released(cls, images: Sample, *, steps: int = 3000, lr: float | int = 4.5e-5) -> "AttributionAttack":
        """As the released code runs it: no ball, small steps, a weak output term, an end at the first flip.

        lr: 2e-4 on images normalised by standard deviations near 0.225.
        """
        return cls(images, eps=None, steps=steps, lr=lr, output_weight=RELEASED_WEIGHT, keep="stop")

    def perturb(
        self,
        model: Network,
        x: Sample,
        target: int | Int[Tensor, " n"] | None = None,
        *,
        explain: Explain | None = None,
        guide: Guide | None = None,
        also: Network | None = None,
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """Attack the maps of inputs `x` (n, ...), of which each keeps what `model` predicts on it.

        Args:
            model: whose prediction is kept.
            also: a second one whose prediction is kept, such as x -> classifier(decode(encode(x))) where the
                explained image is a reconstruction: else an attack on it may simply change the class there.
            target: explained class, None for the one that `model` predicts on the clean input.
            explain: attacked explainer, default Integrated Gradients of `model` as released (20 left steps).
            guide: from the current inputs to an explainer whose derivatives are followed; None for `explain`
                itself. What counts is `explain`.
            generator: taken and not used; nothing here is random.

        Raises ValueError for inputs that are not finite or outside `clip`, a goal of another size, a network
        in training mode.
        """
        check_mode(model, "model")
        if not x.isfinite().all() or (
            self.clip is not None and not (self.clip[0] <= x.min() and x.max() <= self.clip[1])
        ):
            raise ValueError(
                f"x holds numbers that are not finite or outside {self.clip}; accepted are others"
            )
        if explain is None:
            if not isinstance(model, nn.Module):
                raise ValueError("explain is None; accepted only where model is a module")
            explain = IntegratedGradients(model, n_steps=20, rule="left", score="prob")
        with torch.inference_mode(False):
            x = x.detach().clone()
            with torch.no_grad():
                logits = torch.cat([model(part) for part in x.split(self.batch_size)])
                t = as_target(target, logits)
                goal = self._goal(explain, x, t)
            networks = (model,) if also is None else (model, also)
            parts = zip(*(v.split(self.batch_size) for v in (x, t, goal)), strict=True)
            found = [self._descend(networks, explain, guide, *part) for part in parts]
        return Attacked(**{f.name: torch.cat([getattr(p, f.name) for p in found]) for f in fields(Attacked)})

    def _goal(self, explain: Explain, x: Tensor, t: Tensor) -> Tensor:
        if self.images is not None:
            if self.images.shape[1:] != x.shape[1:] or len(self.images) not in (1, len(x)):
                raise ValueError(
                    f"images has shape {tuple(self.images.shape)}; accepted are one image or one for each of "
                    f"{tuple(x.shape)}"
                )
            goal = torch.cat([shares(explain(part, None)) for part in self.images.split(self.batch_size)])
            return goal.expand(len(x), -1)
        assert self.maps is not None
        d, goal = shares(explain(x[:1], t[:1])).shape[1], self.maps.to(x)
        if goal.numel() not in (d, d * len(x)) or not goal.isfinite().all() or (goal < 0).any():
            raise ValueError(
                f"maps has shape {tuple(goal.shape)} or negative or infinite numbers; accepted are {d} finite "
                "numbers from 0, or as many for each input"
            )
        return shares(goal.reshape(-1, d)).expand(len(x), -1)

    def _descend(
        self,
        networks: Sequence[Network],
        explain: Explain,
        guide: Guide | None,
        x: Tensor,
        t: Tensor,
        goal: Tensor,
    ) -> Attacked:
        kept = Predictions(networks, x, t)
        d, every = goal.shape[1], self.look or (1 if guide is None else self.refresh)
        rows = (-1, *[1] * (x.ndim - 1))
        v, alive = x.clone(), torch.ones_like(t, dtype=torch.bool)
        stuck = alive
        best_x, best, trace, flips = x, goal.new_full((len(x),), torch.inf), [], torch.zeros_like(t)
        followed, point = explain, torch.nn.Parameter(x.clone())
        adam = torch.optim.Adam([point], lr=self.lr)
        for i in range(self.steps + 1):
            last, looked = i == self.steps, i % every == 0 or i == self.steps
            if guide is not None and i % self.refresh == 0 and not last:
                followed = guide(v)
            with torch.enable_grad():
                point.data.copy_(v)
                near = d * (shares(followed(point, t)) - goal).square().sum(1) if not last else None
                same, drift = kept(point)
                loss = self.output_weight * drift
            if looked:
                if guide is None and near is not None:
                    value = near.detach()
                else:
                    with torch.no_grad():
                        value = d * (shares(explain(v, t)) - goal).square().sum(1)
                better = same & (value < best)
                best_x, best = torch.where(better.view(rows), v, best_x), torch.where(better, value, best)
                flips = flips + (~same).long()
                trace.append(value)
            if near is None:
                break
            slope = _gradient(near, point)
            stuck = stuck & (slope == 0).flatten(1).all(1)
            point.grad = (slope + _gradient(loss, point)).nan_to_num(0, 0, 0)
            adam.step()
            with torch.no_grad():
                moved = self._inside(point.detach(), x)
                if self.keep == "stop":
                    ended = alive & ~kept(moved)[0]
                    alive, flips = alive & ~ended, flips + ended.long()
                    moved = torch.where(alive.view(rows), moved, v)
                v = moved.clone()
        moved = (best_x != x).flatten(1).any(1)
        with torch.no_grad():
            same = kept(best_x)[0]
        return Attacked(best_x, t, moved, same, stuck & ~moved, flips, best, trace[0], torch.stack(trace, 1))

    def _inside(self, y: Tensor, x: Tensor) -> Tensor:
        if self.eps is not None:
            y = torch.clamp(y, x - self.eps, x + self.eps)
        return y if self.clip is None else y.clamp(*self.clip)


def _gradient(values: Tensor, point: Tensor) -> Tensor:
    """Gradient of the sum of `values`, zero where there is no way to `point`."""
    if not values.requires_grad:
        return torch.zeros_like(point)
    return torch.autograd.grad(values.sum(), point, materialize_grads=True, allow_unused=True)[0]
