"""The active test of a suite: a network whose map provably can be moved, one where it provably cannot, one without a
slope to follow (after Zimmermann et al. 2022).

The planted network adds one function of a corner to all logits alike, z_j = w_j x + (5 / 10) softplus(10 (u.x - tau)):
no probability ever changes, and past the threshold tau the logit's gradient floods the corner. A suite that leaves it
dry within reach, or floods it out of reach, measures nothing. One objective is not a suite: u also has a bait on three
of the clean map's strongest pixels, so that on the way the share of the clean top k rises, and whoever lowers that
share alone turns back. Knows no attack: the search is an argument.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from robustxai.arena.evaluate import evaluate
from robustxai.arena.registry import ExplainerRow
from robustxai.attacks.budget import Budget
from robustxai.checks import check_count, check_positive
from robustxai.explainers.gradient import Saliency
from robustxai.models import logits_of
from robustxai.shapes import Images

SIDE, CORNER, CHANNELS, CLASSES = 24, 6, 3, 4
_REACH = 1.0
"""By how much the whole budget moves u.x: the gate 10 (u.x - tau) goes from -5 to 5 if tau lies half of it away."""
BAIT = ((20, 20), (20, 16), (16, 20))
BAIT_WEIGHT, BAIT_SIZE = 4.0, 5.0
"""Of the bait in u, in units of the corner's, and of the linear weights there, in units of their spread."""
SPREAD = 0.03
"""Of the linear weights: the flooded corner outweighs them, the dry one does not."""

Search = Callable[[nn.Module, Tensor, Tensor, str], tuple[Tensor, Tensor]]
"""(model, x, target, score) -> the worst inputs found for the Saliency of that score, and which followed a gradient."""


class PlantedMap(nn.Module):
    """`model` plus (5 / 10) softplus(10 (u.x - tau)) on every logit: the same probabilities for every input.

    direction: u, the shape of one image. threshold: tau.

    >>> net, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.rand(2, 3, 2, 2)
    >>> planted = PlantedMap(net, torch.ones(3, 2, 2), 5.0)
    >>> torch.allclose(planted(x).softmax(1), net(x).softmax(1), atol=1e-6)
    True
    """

    direction: Tensor

    def __init__(
        self, model: nn.Module, direction: Float[Tensor, "channel height width"], threshold: float | int
    ):
        super().__init__()
        self.model, self.threshold = model, float(threshold)
        self.register_buffer("direction", direction)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, C)."""
        past = (self.direction * x).flatten(1).sum(1) - self.threshold
        return logits_of(self.model, x) + 0.5 * F.softplus(10 * past)[:, None]


@dataclass(frozen=True)
class Plant:
    """A planted network, images (n, 3, 24, 24) that all have the same u.x, their classes, and the corner (24, 24)."""

    model: PlantedMap
    x: Images
    target: Int[Tensor, " n"]
    corner: Bool[Tensor, "height width"]

    def flooded(self, x: Images) -> Bool[Tensor, " n"]:
        """Whether more than half of the Saliency of the logit lies in the corner."""
        maps = Saliency(self.model, score="logit")(x, self.target)[:, 0]
        return (maps * self.corner).sum((1, 2)) > maps.sum((1, 2)) / 2


def plant(
    n: int = 8, *, eps: float | int = 8 / 255, norm: str = "linf", budgets: float | int = 0.5, seed: int = 0
) -> Plant:
    """A linear network with a map planted `budgets` whole budgets away: .5 is within reach, 1.5 is not.

    The weights w_j are heaviest in the corner opposite to the planted one, and where u is not zero the same for all
    classes, so that the prediction is kept. There every image is grey, so that one threshold serves all of them.

    >>> found = plant(2)
    >>> found.flooded(found.x)
    tensor([False, False])
    """
    g = torch.Generator().manual_seed(check_count("seed", seed, 0))
    x = 0.2 + 0.6 * torch.rand(check_count("n", n), CHANNELS, SIDE, SIDE, generator=g, device="cpu")
    x[..., :CORNER, :CORNER] = 0.5
    corner = torch.zeros(SIDE, SIDE, dtype=torch.bool, device="cpu")
    corner[:CORNER, :CORNER] = True
    direction = corner.float().expand(CHANNELS, -1, -1).clone()
    for row, column in BAIT:
        direction[:, row, column] = BAIT_WEIGHT
        x[..., row, column] = 0.5
    direction = direction * _REACH / float(Budget(check_positive("eps", eps), norm).reach(direction[None])[0])
    ramp = torch.arange(SIDE, device="cpu") / (SIDE - 1)
    linear = nn.Linear(CHANNELS * SIDE**2, CLASSES, bias=False)
    weights = SPREAD * torch.randn(CLASSES, CHANNELS, SIDE, SIDE, generator=g, device="cpu")
    weights *= 0.5 + (ramp[:, None] + ramp) / 2
    weights[..., corner] = weights[:1, :, corner]
    for row, column in BAIT:
        weights[..., row, column] = BAIT_SIZE * SPREAD
    linear.weight.data.copy_(weights.flatten(1))
    base = nn.Sequential(nn.Flatten(), linear).eval()
    threshold = float((direction * x[0]).sum()) + check_positive("budgets", budgets) * _REACH
    model = PlantedMap(base, direction, threshold).eval()
    with torch.no_grad():
        return Plant(model, x, model(x).argmax(1), corner)


@dataclass(frozen=True)
class SelfTest:
    """What a suite did with planted maps of n images: found within reach, found out of reach, and on how many images
    it says that it followed a slope of the mean contrast, from which the planted part cancels."""

    n: int
    found: int
    out_of_reach: int
    followed_contrast: int

    @property
    def passed(self) -> bool:
        """All found within reach, none out of reach, none followed where there is no slope."""
        return (self.found, self.out_of_reach, self.followed_contrast) == (self.n, 0, 0)

    def __str__(self) -> str:
        return (
            f"planted maps: {self.found} of {self.n} found within reach, {self.out_of_reach} of {self.n} out of reach, "
            f"a slope followed on {self.followed_contrast} of {self.n} where there is none"
        )


def by_suite(suite: str = "real", *, eps: float | int = 8 / 255, norm: str = "linf") -> Search:
    """The suite of the arena as a search: the per-image worst of `evaluate`."""

    def search(model: nn.Module, x: Tensor, target: Tensor, score: str) -> tuple[Tensor, Tensor]:
        row = ExplainerRow(
            name=f"planted {score}", family="pixel", make=lambda net: Saliency(net, score=score)
        )
        done = evaluate(
            model, x, rows=[row], eps=(eps,), norm=norm, suite=suite, readout=("own",), target=target
        )
        return done.adversarials[row.name, eps], done.cells[0].followed

    return search


def selftest(
    search: Search | None = None, *, n: int = 8, eps: float | int = 8 / 255, norm: str = "linf", seed: int = 0
) -> SelfTest:
    """Plant three maps and look for them with `search`, by default the whole suite of the arena.

    The quick suite fails: it has no `region`, and its `centre` begins where `topk` turned back.

    >>> found = selftest(lambda model, x, target, score: (x, torch.zeros(len(x), dtype=torch.bool)), n=2)
    >>> print(found)
    planted maps: 0 of 2 found within reach, 0 of 2 out of reach, a slope followed on 0 of 2 where there is none
    >>> found.passed
    False
    """
    search = by_suite(eps=eps, norm=norm) if search is None else search
    near, far = (plant(n, eps=eps, norm=norm, budgets=b, seed=seed) for b in (0.5, 1.5))
    found, _ = search(near.model, near.x, near.target, "logit")
    beyond, _ = search(far.model, far.x, far.target, "logit")
    _, followed = search(near.model, near.x, near.target, "mean")
    return SelfTest(n, int(near.flooded(found).sum()), int(far.flooded(beyond).sum()), int(followed.sum()))
