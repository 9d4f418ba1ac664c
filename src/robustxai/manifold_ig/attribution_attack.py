"""The targeted attack on attributions: make the map of one image similar to that of another (spec 4).

The attacker changes the input only, knows network and explainer, and must keep the prediction. Takes any
explainer `explain(x, target)` that is differentiable in x, or a `guide` to derivatives for those that are not
(see `guides`), and never a method by name; what it gives is reduced to a map by `explainers.reduce`. Controls of the
same size are in `robustxai.attacks.controls`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai import checks
from robustxai.attacks.budget import Budget
from robustxai.attacks.descent import DescentTask, Objective
from robustxai.attacks.map_attack import MapAttack
from robustxai.attacks.result import Attacked
from robustxai.attacks.steps import Adam
from robustxai.checks import check_count, check_positive
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.explainers.reduce import shares
from robustxai.models import Network
from robustxai.shapes import Explain, Inputs

KEEP_RULES = ("weigh", "stop")
RELEASED_WEIGHT = 192**4 * 1e6 / 1e17
"""1 / 73.6: the released weight of the output term beside d^2 * MSE of the maps, d = 192^2 (spec 4.2)."""


class AttributionAttack(MapAttack):
    """Minimise d^2 MSE(map, goal) + `output_weight` (p_c - p_c of the clean input)^2 by Adam (spec 4.2).

    Maps are |A| summed over channels as shares of their sum, d their size. The form does not depend on the
    size of the image. Attacked by default are Integrated Gradients of the model as released (20 left steps). 11
    parameters, as the released attack has them, and a budget.

    Args:
        images: whose maps are the goal, one for all or one for each input; explained by the explainer under attack
            for the class that the first network of `also` predicts on them; without one, `model`.
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
            checks.check_finite("maps", torch.as_tensor(maps, device="cpu"), "maps")
        checks.check_name("keep", keep, KEEP_RULES)
        super().__init__(
            Budget(None if eps is None else check_positive("eps", eps), "linf", clip),
            partial(Adam, lr=check_positive("lr", lr)),
            steps=steps, keep=keep, drift="class", weights=(1.0, checks.check_number("output_weight", output_weight)),
            look=look, refresh=refresh,
        )  # fmt: skip
        self.images, self.maps, self.batch_size = images, maps, check_count("batch_size", batch_size)

    @classmethod
    def released(cls, images: Inputs, *, steps: int = 3000, lr: float | int = 4.5e-5) -> "AttributionAttack":
        """As the released code runs it: no ball, small steps, a weak output term, an end at the first flip.

        lr: 2e-4 on images normalised by standard deviations near 0.225.
        """
        return cls(images, eps=None, steps=steps, lr=lr, output_weight=RELEASED_WEIGHT, keep="stop")

    def explainer(self, model: Network) -> Explain:
        if not isinstance(model, nn.Module):
            raise ValueError("explain must be given where model is not a module, got None")
        return IntegratedGradients(model, n_steps=20, rule="left", score="prob")

    def objectives(
        self, scores: Explain, networks: Sequence[Network], x: Tensor, t: Tensor
    ) -> Callable[[slice, Tensor], Objective]:
        goal = self._goal(scores, networks[1 if len(networks) > 1 else 0], x, t)

        def objective(rows: slice, clean: Tensor) -> Objective:
            return lambda found: goal.shape[1] * (shares(found) - goal[rows]).square().sum(1)

        return objective

    def descend(self, task: DescentTask) -> tuple[Attacked, bool]:
        """As of every descent; the losses of what was not attacked are NaN."""
        found, linked = super().descend(task)
        lost = found.stuck
        trace = found.trace.masked_fill(lost[:, None], torch.nan)
        return replace(found, loss=found.loss.masked_fill(lost, torch.nan), trace=trace), linked

    def _goal(self, scores: Explain, classify: Network, x: Tensor, t: Tensor) -> Tensor:
        if self.images is not None:
            images = self.images.to(x)
            if images.shape[1:] != x.shape[1:] or len(images) not in (1, len(x)):
                shapes = tuple(images.shape), tuple(x.shape)
                raise ValueError(
                    "images must be one image or one for each of {1}, got shape {0}".format(*shapes)
                )
            classes = checks.as_target(None, self.logits(classify, images))
            parts = zip(images.split(self.batch_size), classes.split(self.batch_size), strict=True)
            return torch.cat([shares(scores(*part)) for part in parts]).expand(len(x), -1)
        d, goal = (
            shares(scores(x[:1], t[:1])).shape[1],
            torch.as_tensor(self.maps, dtype=x.dtype, device=x.device),
        )
        if goal.numel() not in (d, d * len(x)) or (goal < 0).any():
            raise ValueError(
                f"maps must be {d} numbers >= 0, or as many an input, "
                f"got {goal.numel()}, {int((goal < 0).sum())} of them negative"
            )
        return shares(goal.reshape(-1, d)).expand(len(x), -1)
