"""What every `perturb` checks before it begins; ValueError of one sentence that names the argument."""

from collections.abc import Sequence

from torch import Tensor

from robustxai.attacks.budget import Range
from robustxai.checks import ROUNDING, check_batch, check_callable, check_generator, check_sequence
from robustxai.eval_mode import check_calm
from robustxai.models import Network

Also = Network | Sequence[Network] | None
"""Further networks whose prediction is kept: one, several, or none."""


def check_perturb(
    model: Network, x: Tensor, clip: Range | None, *, guide: object = None, also: Also = (), generator: object = None
) -> tuple[Network, ...]:  # fmt: skip
    """The networks whose prediction is kept, `model` first, when all of the call is in order.

    x: a finite batch (n, ...) inside `clip`. model, also: in eval mode. guide: callable or None.
    """
    others = () if also is None else (also,) if callable(also) else also
    check_sequence("also", others, "networks", least=0)
    check_generator("generator", generator)
    if guide is not None:
        check_callable("guide", guide)
    for name, network in (("model", model), *(("also", other) for other in others)):
        check_calm(name, network)
    check_inside("x", check_batch("x", x), clip)
    return (model, *others)


def check_inside(name: str, x: Tensor, clip: Range | None) -> None:
    """`x` lies in the range of valid inputs, up to what resizing leaves."""
    if clip is not None and not (clip[0] - ROUNDING <= x.min() and x.max() <= clip[1] + ROUNDING):
        raise ValueError(
            f"{name} must lie in clip={clip}, got numbers from {float(x.min()):.3g} to {float(x.max()):.3g}"
        )
