"""Random-perturbation baseline of an attack's norm."""

from typing import SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import (
    as_target,
    check_batch,
    check_calm,
    check_count,
    check_generator,
    check_name,
    check_positive,
)
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.ranking.attacks.common import NORMS, Attacked, per_sample, project, steepest
from robustxai.ranking.attacks.ranking import draw
from robustxai.ranking.checks import check_clip, check_inside
from robustxai.ranking.gradients import Target, same_class

Inputs = Float[Tensor, "n *sample"]


class RandomDirections:
    """A random change of length exactly eps that keeps the prediction: the control of every attack (spec 8, 12.2).

    Args:
        eps: length, above 0: l2 length, or with 'linf' and 'linf-box' the size of every coordinate's change.
        norm: as for the attacks.
        tries: a direction that flips the prediction is drawn again, so many times; then the input stays.
        clip: the range of valid inputs; clipping shortens the change.

    >>> RandomDirections(0.5).perturb(torch.nn.Linear(6, 2), torch.ones(3, 6)).followed
    tensor([True, True, True])
    """

    def __init__(
        self,
        eps: SupportsFloat,
        *,
        norm: str = "l2",
        tries: SupportsIndex = 20,
        clip: tuple[float | int, float | int] | None = None,
    ):
        check_name("norm", norm, NORMS)
        self.eps, self.norm, self.tries = check_positive("eps", eps), norm, check_count("tries", tries)
        self.clip = check_clip(clip)

    @torch.no_grad()
    def perturb(
        self,
        model: Network,
        x: Inputs,
        target: Target = None,
        *,
        explain: object = None,
        guide: object = None,
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """One random change of each input; `explain` and `guide` are not used. Without a generator always the same.

        Each sample has its own direction, drawn in the order of the batch. The losses are nan: there is none.
        `followed` is True: a control searches nothing and so misses no gradient. ValueError as for the attacks.
        """
        check_batch("x", x)
        check_calm("model", model)
        check_inside(x, self.clip)
        check_generator("generator", generator)
        g = torch.Generator().manual_seed(0) if generator is None else generator
        x = x.detach()
        logits = logits_of(model, x)
        t, label = as_target(target, logits), predicted(logits)
        moved, kept = x.clone(), torch.zeros_like(label, dtype=torch.bool)
        flips = torch.zeros_like(label)
        for _ in range(self.tries):
            direction = steepest(draw(x, g), "l2" if self.norm == "l2" else "linf")
            candidate = project(x + self.eps * direction, x, self.eps, norm=self.norm, clip=self.clip)
            same = same_class(logits_of(model, candidate), label)
            moved = torch.where(per_sample(same & ~kept, x), candidate, moved)
            flips += ~same & ~kept
            kept = kept | same
            if kept.all():
                break
        nothing = x.new_full((len(x),), torch.nan)
        return Attacked(
            x=moved, clean=x, target=t, kept=torch.ones_like(kept), followed=torch.ones_like(kept),
            flips_rejected=flips, steps=kept.long(), loss=nothing, clean_loss=nothing, trace=nothing[:, None],
        )  # fmt: skip
