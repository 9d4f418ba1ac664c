"""`Attacked`: what an attack on inputs found, and whether it had anything to follow. Knows nothing about how."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robustxai.attacks.budget import Budget
from robustxai.shapes import Inputs, PerSample


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """What an attack found, one row a sample.

    `x` (n, ...): the attacked inputs, the best iterate with the clean prediction. `clean` (n, ...): where it began.
    `target` (n,): explained class. `kept`: the prediction is the clean one. `followed`: some gradient of the attack's
    objective was non-zero and finite while it searched; where none was, `x` is the clean input and says nothing about
    robustness (P1). `flips_rejected`: iterates refused because they changed the prediction. `steps`: iterates visited.
    `loss`, `clean_loss`: attack loss of `x` and of the clean input, lower is better for the attacker. `trace`
    (n, iterates): the loss along the way. A control follows no objective: its losses are NaN. `budget`: what no iterate
    left, None where there is none.

    >>> x, n = torch.zeros(1, 2), torch.zeros(1)
    >>> one = Attacked(x=x + 0.5, clean=x, target=n.long(), kept=n == 0, followed=n == 0, flips_rejected=n.long(),
    ...                steps=n.long(), loss=n, clean_loss=n, trace=n[None])
    >>> one.linf, one.moved, one.stuck
    (tensor([0.5000]), tensor([True]), tensor([False]))
    """

    x: Inputs
    clean: Inputs
    target: Int[Tensor, " n"]
    kept: Bool[Tensor, " n"]
    followed: Bool[Tensor, " n"]
    flips_rejected: Int[Tensor, " n"]
    steps: Int[Tensor, " n"]
    loss: PerSample
    clean_loss: PerSample
    trace: Float[Tensor, "n iterates"]
    budget: Budget | None = None

    @property
    def moved(self) -> Bool[Tensor, " n"]:
        """Whether x differs from the clean input."""
        return (self.x != self.clean).flatten(1).any(1)

    @property
    def flips(self) -> Int[Tensor, " n"]:
        """`flips_rejected`."""
        return self.flips_rejected

    @property
    def stuck(self) -> Bool[Tensor, " n"]:
        """Whether the attack had no gradient wherever it looked."""
        return ~self.followed

    @property
    def delta(self) -> Inputs:
        """The change of each input."""
        return self.x - self.clean

    @property
    def l2(self) -> PerSample:
        """Length of each change."""
        return self.delta.flatten(1).norm(dim=1)

    @property
    def linf(self) -> PerSample:
        """Largest change of a coordinate."""
        return self.delta.flatten(1).abs().amax(1)

    def report(self) -> str:
        """One line: how many inputs moved, kept their prediction, and could not be attacked."""
        n = len(self.x)
        line = f"{int(self.moved.sum())} of {n} inputs moved, {int(self.kept.sum())} keep their prediction"
        if self.budget is not None and self.budget.eps is not None:
            line += f", within {self.budget}"
        if self.stuck.any():
            line += (
                f"; {int(self.stuck.sum())} gave the attack no gradient and say nothing about robustness "
                "(a piecewise linear network? use score 'prob' or 'ce', surrogate_beta or guide)"
            )
        return line


def joined(parts: list[Attacked]) -> Attacked:
    """Several results as one, in order."""
    whole = {
        f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Attacked) if f.name != "budget"
    }
    return Attacked(**whole, budget=parts[0].budget)
