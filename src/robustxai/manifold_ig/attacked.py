"""`Attacked`: what an attack on attributions found, and whether it had anything to follow.

Knows nothing about how it was found.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

Sample = Float[Tensor, "n *sample"]


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """What an attack on attributions found, one row a sample.

    x: the attacked inputs, the best that were looked at and have the clean prediction; the clean ones where nothing was
    followed. clean: the inputs before. target (n,): explained class. kept: the clean prediction stands; False where
    logits are NaN. followed: some gradient of the map was finite and not zero while the attack searched; where it never
    was, nothing was attacked, and that says nothing about robustness: `loss` and `trace` are NaN. A control follows
    none. flips: looked-at inputs refused for their prediction. loss, clean_loss: d^2 * MSE of the maps, as shares of
    their sum, to the goal, at x and at the clean input. trace (n, looks): the loss along the way.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2)).eval()
    >>> from robustxai.manifold_ig import AttributionAttack
    >>> found = AttributionAttack(maps=torch.ones(4), steps=3).perturb(net, torch.full((2, 4), 0.5))
    >>> found.followed, found.stuck, bool((found.linf <= 16 / 255 + 1e-6).all())
    (tensor([True, True]), tensor([False, False]), True)
    """

    x: Sample
    clean: Sample
    target: Int[Tensor, " n"]
    kept: Bool[Tensor, " n"]
    followed: Bool[Tensor, " n"]
    flips: Int[Tensor, " n"]
    loss: Float[Tensor, " n"]
    clean_loss: Float[Tensor, " n"]
    trace: Float[Tensor, "n looks"]

    @property
    def delta(self) -> Sample:
        """The change of each input."""
        return self.x - self.clean

    @property
    def moved(self) -> Bool[Tensor, " n"]:
        """Whether the input differs from the clean one."""
        return (self.x != self.clean).flatten(1).any(1)

    @property
    def stuck(self) -> Bool[Tensor, " n"]:
        """Whether there was no gradient to follow."""
        return ~self.followed

    @property
    def linf(self) -> Float[Tensor, " n"]:
        """The largest change of a number of each input."""
        return self.delta.flatten(1).abs().amax(1)

    @property
    def l2(self) -> Float[Tensor, " n"]:
        """The Euclidean length of each change."""
        return self.delta.flatten(1).norm(dim=1)
