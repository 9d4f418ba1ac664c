"""The double loop: every row at every budget under the suite, each in its own read-outs, as cells."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from robustxai.arena.cells import Cell, Evaluation
from robustxai.arena.registry import ExplainerRow
from robustxai.shapes import Images, Target


def evaluate(
    model: nn.Module,
    x: Images,
    *,
    rows: Sequence[str | ExplainerRow] | None = None,
    eps: Sequence[float] = (2 / 255,),
    norm: str = "linf",
    suite: str = "quick",
    readout: Sequence[str] = ("own", "grid"),
    layer: nn.Module | str | None = None,
    autoencoder: tuple[nn.Module, nn.Module] | None = None,
    masks: Tensor | None = None,
    target: Target = None,
    network: str = "model",
    defence: str = "none",
    seed: int = 0,
    batch_size: int = 32,
    on_cell: Callable[[Cell], object] | None = None,
) -> Evaluation:
    """Cells of all rows on one network. 17 parameters, as each is one line of the threat model or of the protocol."""
    raise NotImplementedError
