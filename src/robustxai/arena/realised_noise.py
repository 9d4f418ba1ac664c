"""The noise control: random changes of the size that an attack really had, which keep the class. Drawn once.

Knows images and changes of them; no explainer and no attack.
"""

import torch
from torch import Tensor

from robustxai.arena.suite import Crafted, Threat
from robustxai.attacks.budget import Budget, draw
from robustxai.attacks.controls import Control
from robustxai.metrics.perturbation import per_sample, unit
from robustxai.shapes import Images, Inputs

NOISE_DRAWS = 5


class RealisedNoise(Control):
    """Noise that keeps the class and is of the size that each change of `changed` has: signs times its largest value,
    or a Gaussian direction of its length. Where nothing changed, of size eps. Clipping to [0, 1] shortens it.

    changed, x: inputs (n, ...) of one shape. eps: above 0. norm: "linf" or "l2".

    >>> x = torch.full((2, 1, 2, 2), 0.5)
    >>> noise = RealisedNoise(x + 0.1, x, 0.2, "linf")
    >>> noise.perturb(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)), x, 0).linf.round(decimals=4)
    tensor([0.1000, 0.1000])
    """

    def __init__(self, changed: Inputs, x: Inputs, eps: float | int, norm: str, *, tries: int = 20):
        change = (changed - x).flatten(1)
        size = change.norm(dim=1) if norm == "l2" else change.abs().amax(1)
        all_of_it = (size - eps).abs() < 1e-5 * eps  # up to the rounding of the change
        self.size = torch.where((size > 0) & ~all_of_it, size, eps)
        self.budget, self.tries = Budget(tuple(self.size.tolist()), norm, (0, 1)), tries

    def candidate(self, x: Inputs, generator: torch.Generator) -> Inputs:
        noise = draw(x, generator)
        direction = unit(noise) if self.budget.norm == "l2" else noise.sign()
        return self.budget.project(x + per_sample(self.size, x) * direction, x)


class NoiseDraws:
    """The images of the noise control at one budget: of each size drawn once, for all rows, always the same."""

    def __init__(self, threat: Threat, seed: int):
        self.threat, self.seed = threat, seed
        self._known: list[tuple[Tensor, list[Crafted]]] = []

    def images(self, changed: Images) -> list[Crafted]:
        """`NOISE_DRAWS` images of each input with noise of the size of these changes; kept: noise that keeps the class
        was found."""
        t = self.threat
        control = RealisedNoise(changed, t.x, t.eps, t.norm)
        for size, known in self._known:
            if torch.equal(size, control.size):
                return known
        g = torch.Generator().manual_seed(self.seed)
        found = [control.perturb(t.model, t.x, t.target, generator=g) for _ in range(NOISE_DRAWS)]
        drawn = [Crafted("noise", one.x, one.followed, one.kept & one.moved) for one in found]
        self._known = [*self._known[-1:], (control.size, drawn)]
        return drawn
