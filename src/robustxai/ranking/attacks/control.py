"""Random changes of an attack's size: what every attack must beat before its number means anything."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustxai.checks import as_target, check_count, check_name, check_positive
from robustxai.metrics.predictions import predicted
from robustxai.ranking.attacks.common import NORMS, Attacked, per_sample, project, steepest
from robustxai.ranking.attacks.ranking import draw
from robustxai.ranking.checks import check_inputs

Inputs = Float[Tensor, "n *sample"]


class RandomDirections:
    """A random change of length exactly eps that keeps the prediction: the control of every attack (spec 8, 12.2).

    Args:
        eps: length, above 0: l2 length, or with 'linf' and 'linf-box' the size of every coordinate's change.
        norm: as for the attacks.
        tries: a direction that flips the prediction is drawn again, so many times; then the input stays.
        clip: the range of valid inputs; clipping shortens the change.
    """

    def __init__(
        self,
        eps: float | int,
        *,
        norm: str = "l2",
        tries: int = 20,
        clip: tuple[float | int, float | int] | None = None,
    ):
        check_name("norm", norm, NORMS)
        self.eps, self.norm, self.tries = check_positive("eps", eps), norm, check_count("tries", tries)
        self.clip = None if clip is None else (float(clip[0]), float(clip[1]))

    @torch.no_grad()
    def perturb(
        self,
        model: nn.Module,
        x: Inputs,
        target: Int[Tensor, " n"] | int | None = None,
        *,
        explain: object = None,
        generator: torch.Generator | None = None,
    ) -> Attacked:
        """One random change of each input; `explain` is taken and not used. Without a generator always the same.

        Each sample has its own direction, drawn in the order of the batch. The losses are nan: there is none.
        """
        check_inputs(model, x)
        g = torch.Generator().manual_seed(0) if generator is None else generator
        logits = model(x)
        t, label = as_target(target, logits), predicted(logits)
        moved, kept = x.clone(), torch.zeros_like(label, dtype=torch.bool)
        flips = torch.zeros_like(label)
        for _ in range(self.tries):
            direction = steepest(draw(x, g), "l2" if self.norm == "l2" else "linf")
            candidate = project(x + self.eps * direction, x, self.eps, norm=self.norm, clip=self.clip)
            same = predicted(model(candidate)) == label
            moved = torch.where(per_sample(same & ~kept, x), candidate, moved)
            flips += ~same & ~kept
            kept = kept | same
            if kept.all():
                break
        nothing = x.new_full((len(x),), torch.nan)
        return Attacked(
            x=moved, target=t, moved=kept, kept=torch.ones_like(kept), stuck=torch.zeros_like(kept),
            flips_rejected=flips, steps=kept.long(), loss=nothing, clean_loss=nothing, trace=nothing[:, None],
        )  # fmt: skip
