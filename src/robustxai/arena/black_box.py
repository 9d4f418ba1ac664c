"""A search without derivatives, for explainers that have none: squares of full budget, kept where they help.

After Square Attack (Andriushchenko et al. 2020), with the objective, budget and read-out of any attack on maps, and the
prediction kept. Knows neither networks nor explainers by name.
"""

import math
from typing import SupportsIndex

import torch
from torch import Tensor

from robustxai.attacks.descent import Objective
from robustxai.attacks.keep_prediction import Predictions
from robustxai.attacks.map_attack import MapAttack
from robustxai.attacks.result import Attacked, joined
from robustxai.attacks.validation import Also, check_perturb
from robustxai.checks import as_target, check_count, check_images, check_share
from robustxai.metrics.perturbation import per_sample
from robustxai.models import Network
from robustxai.shapes import Explain, Images, Target

SCHEDULE = (0.005, 0.025, 0.1, 0.2, 0.4, 0.6, 0.8)
"""At which shares of the queries the area of the squares halves."""


class SquareSearch:
    """Try squares of random colour at the edge of the budget, and keep each that lowers the loss and not the class.

    The attacker changes the input only and asks the network and the explainer, whose derivatives it needs not.

    Args:
        like: the attack whose objective of the map, budget and read-out are taken; its steps are not.
        queries: squares tried. The first try is stripes, as in the original.
        area: share of the image that the first squares have; it halves seven times on the way.
        batch_size: images at once; all share each square, so that a batch changes nothing.

    >>> from robustxai.attacks.ghorbani import TopKAttack
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> search = SquareSearch(TopKAttack(3, 0.1, clip=(0, 1)), queries=5)
    >>> found = search.perturb(net, torch.full((2, 1, 8, 8), 0.5))
    >>> bool((found.loss <= found.clean_loss).all()), float(found.linf.max()) <= 0.1001
    (True, True)
    """

    def __init__(
        self,
        like: MapAttack,
        *,
        queries: SupportsIndex = 200,
        area: float | int = 0.3,
        batch_size: SupportsIndex = 64,
    ):
        if not isinstance(like, MapAttack) or not isinstance(like.budget.eps, float):
            raise ValueError(f"like must be an attack on maps with one budget, got {type(like).__name__}")
        self.like, self.budget, self.eps = like, like.budget, like.budget.eps
        self.queries, self.area = check_count("queries", queries), check_share("area", area, open=True)
        self.batch_size = check_count("batch_size", batch_size)

    @torch.no_grad()
    def perturb(
        self,
        model: Network,
        x: Images,
        target: Target = None,
        *,
        explain: Explain | None = None,
        guide: object = None,
        also: Also = (),
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """Search for all images x (n, C, H, W); arguments and errors as of `MapAttack.perturb`. `guide` is not used.

        `followed` is False throughout: no gradient was asked for. Where no square helped, `x` is the clean image.
        """
        check_images("x", x, low=None, high=None)
        networks = check_perturb(model, x, self.budget.clip, guide=None, also=also, generator=generator)
        scores = self.like.reader(self.like.explainer(model) if explain is None else explain)
        x = x.detach().clone()
        t = as_target(target, self.like.logits(model, x))
        objectives = self.like.objectives(scores, networks, x, t)
        seed = 0
        if generator is not None:
            seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        found = []
        for i in range(0, len(x), self.batch_size):
            rows = slice(i, i + self.batch_size)
            part, classes = x[rows], t[rows]
            objective = objectives(rows, scores(part, classes))
            g = torch.Generator().manual_seed(seed)
            found.append(
                self._search(part, classes, Predictions(networks, part, classes), scores, objective, g)
            )
        return joined(found)

    def _search(
        self, x: Tensor, t: Tensor, predictions: Predictions, scores: Explain, objective: Objective,
        g: torch.Generator,
    ) -> Attacked:  # fmt: skip
        clean_loss = objective(scores(x, t))
        best_x, best = x, torch.where(clean_loss.isnan(), torch.inf, clean_loss)
        flips, trace = torch.zeros_like(t), [clean_loss]
        for query in range(self.queries):
            push = self._stripes(x, g) if query == 0 else self._square(x, query, g)
            candidate = self.budget.project(torch.where(push != 0, x + push, best_x), x)
            same = predictions.kept(candidate)
            loss = objective(scores(candidate, t))
            better = same & (loss < best)
            flips += ~same
            best_x = torch.where(per_sample(better, x), candidate, best_x)
            best = torch.where(better, loss, best)
            trace.append(loss)
        return Attacked(
            x=best_x, clean=x, target=t, kept=predictions.kept(best_x),
            followed=torch.zeros_like(t, dtype=torch.bool), flips_rejected=flips,
            steps=torch.full_like(t, self.queries), loss=torch.where(best.isfinite(), best, clean_loss),
            clean_loss=clean_loss, trace=torch.stack(trace, 1), budget=self.budget,
        )  # fmt: skip

    def _size(self, x: Tensor, pixels: int) -> float:
        """The change of one value, if so many pixels change: eps, or what an l2 ball gives each of them."""
        return self.eps if self.budget.norm != "l2" else self.eps / math.sqrt(x.shape[1] * pixels)

    def _stripes(self, x: Tensor, g: torch.Generator) -> Tensor:
        _, c, h, w = x.shape
        return self._size(x, h * w) * self._signs((1, c, 1, w), x, g).expand(1, c, h, w)

    def _square(self, x: Tensor, query: int, g: torch.Generator) -> Tensor:
        """A push (1, C, H, W), zero outside of one square."""
        _, c, h, w = x.shape
        area = self.area / 2 ** sum(query >= share * self.queries for share in SCHEDULE)
        side = min(max(1, round(math.sqrt(area * h * w))), h, w)
        top, left = (
            int(torch.randint(size - side + 1, (1,), generator=g, device=g.device)) for size in (h, w)
        )
        push = x.new_zeros(1, c, h, w)
        push[..., top : top + side, left : left + side] = self._size(x, side**2) * self._signs(
            (1, c, 1, 1), x, g
        )
        return push

    def _signs(self, shape: tuple[int, ...], like: Tensor, g: torch.Generator) -> Tensor:
        return (2 * torch.randint(2, shape, generator=g, device=g.device) - 1).to(like)
