"""The targeted attack on attributions: make the map of one image similar to that of another (spec 4).

The attacker changes the input only, knows network and explainer, and must keep the prediction. Takes any
explainer `explain(x, target)` that is differentiable in x, or a `guide` to derivatives for those that are not
(see `guides`), and never a method by name; what it gives is reduced to a map by `explainers.reduce`. Controls of the
same size are in `robustxai.attacks.controls`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustxai import checks
from robustxai.attacks.budget import check_clip, check_inside
from robustxai.attacks.following import Guide, warn_unfollowed
from robustxai.attacks.keep_prediction import Predictions
from robustxai.attacks.result import Attacked, joined
from robustxai.checks import check_count, check_positive
from robustxai.eval_mode import check_calm
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.explainers.reduce import read, shares
from robustxai.models import Network, logits_of
from robustxai.shapes import Explain, Inputs

KEEP = ("weigh", "stop")
RELEASED_WEIGHT = 192**4 * 1e6 / 1e17
"""1 / 73.6: the released weight of the output term beside d^2 * MSE of the maps, d = 192^2 (spec 4.2)."""


class AttributionAttack:
    """Minimise d^2 MSE(map, goal) + `output_weight` (p_c - p_c of the clean input)^2 by Adam (spec 4.2).

    Maps are |A| summed over channels as shares of their sum, d their size. The form does not depend on the
    size of the image.

    Args:
        images: whose maps are the goal, one for all or one for each input; explained for the class predicted on
            them, by the explainer under attack.
        maps: the goal maps themselves (non-negative), in place of `images`.
        eps: l_inf budget in units of the input; None for no bound, as released.
        steps, lr: of Adam; `lr` in units of the input.
        output_weight: the default rarely flips a prediction; `RELEASED_WEIGHT` is the released one.
        keep: "weigh" goes on after a flip, pulled back by the output term; "stop" ends the sample there, as
            released. Either way no input with another prediction is a result.
        refresh: a guide is called for derivatives every so many steps.
        look: every so many steps the iterates are evaluated, and the best evaluated ones are the result. None: every
            `refresh` steps with a guide, and every step without one, where it costs nothing; a comparison of
            explainers should give all of them the same number.
        clip: range of valid inputs; None for no range. batch_size: inputs attacked at once, for memory.

    Raises ValueError for numbers out of range, both or neither of `images` and `maps`.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 2)).eval()
    >>> x, wanted = torch.rand(2, 3, 2, 2), torch.rand(1, 3, 2, 2)
    >>> found = AttributionAttack(wanted, steps=5).perturb(net, x, explain=IntegratedGradients(net, n_steps=4))
    >>> found.x.shape, bool((found.loss <= found.clean_loss).all()), found.followed
    (torch.Size([2, 3, 2, 2]), True, tensor([True, True]))
    """

    def __init__(
        self,
        images: Inputs | None = None,
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
            raise ValueError(
                f"images and maps must be given one without the other, got {'neither' if maps is None else 'both'}"
            )
        if images is not None:
            checks.check_batch("images", images)
        if maps is not None:
            checks.check_finite("maps", torch.as_tensor(maps), "maps")
        checks.check_name("keep", keep, KEEP)
        self.images, self.maps, self.keep = images, maps, keep
        self.eps = None if eps is None else check_positive("eps", eps)
        self.lr = check_positive("lr", lr)
        self.output_weight = checks.check_number("output_weight", output_weight)
        self.steps, self.refresh = check_count("steps", steps), check_count("refresh", refresh)
        self.look = None if look is None else check_count("look", look)
        self.clip, self.batch_size = check_clip(clip), check_count("batch_size", batch_size)

    @classmethod
    def released(cls, images: Inputs, *, steps: int = 3000, lr: float | int = 4.5e-5) -> "AttributionAttack":
        """As the released code runs it: no ball, small steps, a weak output term, an end at the first flip.

        lr: 2e-4 on images normalised by standard deviations near 0.225.
        """
        return cls(images, eps=None, steps=steps, lr=lr, output_weight=RELEASED_WEIGHT, keep="stop")

    def perturb(
        self,
        model: Network,
        x: Inputs,
        target: int | Int[Tensor, " n"] | None = None,
        *,
        explain: Explain | None = None,
        guide: Guide | None = None,
        also: Network | Sequence[Network] | None = None,
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """Attack the maps of inputs `x` (n, ...), of which each keeps what `model` predicts on it.

        Args:
            model: whose prediction is kept.
            also: a second one, or more, whose prediction is kept, such as x -> classifier(decode(encode(x))) where
                the explained image is a reconstruction: else an attack on it may simply change the class there. The
                goal images are explained for the class that it predicts on them; without it, that of `model`.
            target: explained class, None for the one that `model` predicts on the clean input.
            explain: attacked explainer, default Integrated Gradients of `model` as released (20 left steps). It is
                always asked for given classes.
            guide: from the current inputs to an explainer whose derivatives are followed, such as `explain.guide`;
                None for `explain` itself. What counts is `explain`.
            generator: taken and not used; nothing here is random.

        Warns once where no input had a gradient to follow: then nothing was attacked. Raises ValueError for inputs
        that are not finite or outside `clip`, a goal of another size, a network in training mode.
        """
        others = () if also is None else (also,) if callable(also) else also
        checks.check_sequence("also", others, "networks", least=0)
        checks.check_generator("generator", generator)
        if guide is not None:
            checks.check_callable("guide", guide)
        for name, network in (("model", model), *(("also", other) for other in others)):
            check_calm(name, network)
        checks.check_batch("x", x)
        check_inside("x", x, self.clip)
        if explain is None:
            if not isinstance(model, nn.Module):
                raise ValueError("explain must be given where model is not a module, got None")
            explain = IntegratedGradients(model, n_steps=20, rule="left", score="prob")
        scores = read(explain)
        with torch.inference_mode(False):
            x = x.detach().clone()
            with torch.no_grad():
                t = checks.as_target(target, self._logits(model, x))
                goal = self._goal(scores, (*others, model)[0], x, t)
            parts = zip(*(v.split(self.batch_size) for v in (x, t, goal)), strict=True)
            found = [self._descend((model, *others), scores, guide, *part) for part in parts]
        whole = joined(found)
        if not whole.followed.any():
            warn_unfollowed()
        return whole

    def _logits(self, model: Network, x: Tensor) -> Tensor:
        return torch.cat([logits_of(model, part) for part in x.split(self.batch_size)])

    def _goal(self, scores: Explain, classify: Network, x: Tensor, t: Tensor) -> Tensor:
        if self.images is not None:
            images = self.images.to(x)
            if images.shape[1:] != x.shape[1:] or len(images) not in (1, len(x)):
                shapes = tuple(images.shape), tuple(x.shape)
                raise ValueError(
                    "images must be one image or one for each of {1}, got shape {0}".format(*shapes)
                )
            classes = checks.as_target(None, self._logits(classify, images))
            parts = zip(images.split(self.batch_size), classes.split(self.batch_size), strict=True)
            goal = torch.cat([shares(scores(*part)) for part in parts])
            return goal.expand(len(x), -1)
        assert self.maps is not None
        d, goal = shares(scores(x[:1], t[:1])).shape[1], torch.as_tensor(self.maps).to(x)
        if goal.numel() not in (d, d * len(x)) or (goal < 0).any():
            raise ValueError(
                f"maps must be {d} numbers >= 0, or as many an input, "
                f"got {goal.numel()}, {int((goal < 0).sum())} of them negative"
            )
        return shares(goal.reshape(-1, d)).expand(len(x), -1)

    def _descend(
        self,
        networks: Sequence[Network],
        scores: Explain,
        guide: Guide | None,
        x: Tensor,
        t: Tensor,
        goal: Tensor,
    ) -> Attacked:
        kept = Predictions(networks, x, t)
        d, every = goal.shape[1], self.look or (1 if guide is None else self.refresh)
        rows, v = (-1, *[1] * (x.ndim - 1)), x.clone()
        followed, alive = (torch.full_like(t, start, dtype=torch.bool) for start in (False, True))
        best_x, best, trace, flips = x, goal.new_full((len(x),), torch.inf), [], torch.zeros_like(t)
        visited = torch.zeros_like(t)
        ahead, point = scores, torch.nn.Parameter(x.clone())
        adam = torch.optim.Adam([point], lr=self.lr)
        for i in range(self.steps + 1):
            last, looked = i == self.steps, i % every == 0 or i == self.steps
            if guide is not None and i % self.refresh == 0 and not last:
                ahead = read(guide(v))
            with torch.enable_grad():
                point.data.copy_(v)
                near = d * (shares(ahead(point, t)) - goal).square().sum(1) if not last else None
                same, drift = kept(point)
                loss = self.output_weight * drift
            if looked:
                if guide is None and near is not None:
                    value = near.detach()
                else:
                    with torch.no_grad():
                        value = d * (shares(scores(v, t)) - goal).square().sum(1)
                better = same & (value < best)
                best_x, best = torch.where(better.view(rows), v, best_x), torch.where(better, value, best)
                flips = flips + (~same).long()
                trace.append(value)
            if near is None:
                break
            slope = _gradient(near, point)
            followed = followed | ((slope != 0) & slope.isfinite()).flatten(1).any(1)
            point.grad = (slope + _gradient(loss, point)).nan_to_num(0, 0, 0)
            adam.step()
            with torch.no_grad():
                moved = self._inside(point.detach(), x)
                if self.keep == "stop":
                    ended = alive & ~kept(moved)[0]
                    alive, flips = alive & ~ended, flips + ended.long()
                    moved = torch.where(alive.view(rows), moved, v)
                visited = visited + (moved != v).flatten(1).any(1)
                v = moved.clone()
        found = torch.where(followed.view(rows), best_x, x)
        best = torch.where(best.isfinite(), best, torch.nan)
        with torch.no_grad():
            same = kept(found)[0]
        return Attacked(
            x=found, clean=x, target=t, kept=same, followed=followed, flips_rejected=flips, steps=visited,
            clean_loss=trace[0], loss=best.masked_fill(~followed, torch.nan),
            trace=torch.stack(trace, 1).masked_fill(~followed[:, None], torch.nan),
        )  # fmt: skip

    def _inside(self, y: Tensor, x: Tensor) -> Tensor:
        if self.eps is not None:
            y = torch.clamp(y, x - self.eps, x + self.eps)
        return y if self.clip is None else y.clamp(*self.clip)


def _gradient(values: Tensor, point: Tensor) -> Tensor:
    """Gradient of the sum of `values`, zero where there is no way to `point`."""
    if not values.requires_grad:
        return torch.zeros_like(point)
    return torch.autograd.grad(values.sum(), point, materialize_grads=True, allow_unused=True)[0]
