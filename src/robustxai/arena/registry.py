"""What enters the arena, by name: explainers (rows), attacks (columns) and defences, with what each needs.

One decorator a kind registers; `rows_*`, `trivial`, `columns` and `defences` use them, and so does a contributor. Knows
nothing about any method, and runs nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from robustxai.attacks.map_attack import GradientAttack
from robustxai.checks import check_callable, check_name, check_number, check_sequence
from robustxai.explainers.base import Explainer

FAMILIES = ("trivial", "cam", "pixel", "path", "forward-only", "manifold")
NEEDS = ("layer", "autoencoder", "gap", "mask")
"""What a row may need beside the network: a layer to explain, a pair (encoder, decoder), a head of global average
pooling and one linear layer, masks of the object."""

Make = Callable[..., Explainer]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What an evaluation has beside the network, None where there is none.

    layer: the explained layer, a module or a name. autoencoder: (encoder, decoder). masks: of the objects (n, 1, H, W).
    gap: whether logits are a linear layer of the layer's global average.
    """

    layer: nn.Module | str | None = None
    autoencoder: tuple[nn.Module, nn.Module] | None = None
    masks: Tensor | None = None
    gap: bool = False

    def lacks(self, needs: Iterable[str]) -> list[str]:
        """The needs that are not here.

        >>> Parts(layer="features").lacks(("layer", "mask"))
        ['mask']
        """
        here = {
            "layer": self.layer is not None,
            "autoencoder": self.autoencoder is not None,
            "gap": self.gap,
            "mask": self.masks is not None,
        }
        return [need for need in needs if not here[need]]


@dataclass(frozen=True, kw_only=True)
class ExplainerRow:
    """An explainer of the arena.

    name: unique. family: one of `FAMILIES`. make: from a network, and as keywords `layer` and `autoencoder` where they
    are needed, to an `Explainer`. needs: some of `NEEDS`. paper: where it is from. cost: forward passes of one map;
    cheap rows run first. proof: from an explainer to a sentence why no change of the input can move its map, or None.
    """

    name: str
    family: str
    make: Make
    needs: tuple[str, ...] = ()
    paper: str = ""
    cost: float | int = 1.0
    proof: Callable[[Explainer], str | None] | None = None

    def __post_init__(self) -> None:
        check_name("family", self.family, FAMILIES)
        check_callable("make", self.make)
        check_number("cost", self.cost)
        for need in self.needs:
            check_name("needs", need, NEEDS)

    def explainer(self, model: nn.Module, parts: Parts | None = None) -> Explainer:
        """The explainer of a network. ValueError that names what is lacking."""
        parts = parts or Parts()
        if lacking := parts.lacks(self.needs):
            raise ValueError(f"{self.name} needs {', '.join(lacking)}, got none")
        given = {"layer": parts.layer, "autoencoder": parts.autoencoder, "mask": parts.masks}
        return self.make(model, **{need: given[need] for need in self.needs if need in given})


@dataclass(frozen=True, kw_only=True)
class AttackColumn:
    """An attack of the arena: `make(k, eps, **options)` gives a `GradientAttack`, whose objective it is.

    k: how many values of a map are its top. targeted: the attacker wants a certain map, not just another one.
    """

    name: str
    make: Callable[..., GradientAttack]
    paper: str = ""
    targeted: bool = False


@dataclass(frozen=True, kw_only=True)
class Defence:
    """A defence of the arena: `defend(explain, parts)` is the defended explainer, again an `Explainer`.

    adaptive: how the attacker who knows it goes about it, in words. An evaluation attacks the defended explainer itself
    and reads on it what was crafted on the undefended one.
    """

    name: str
    defend: Callable[[Explainer, Parts], Explainer]
    adaptive: str
    needs: tuple[str, ...] = ()
    families: tuple[str, ...] = FAMILIES
    paper: str = ""


EXPLAINERS: dict[str, ExplainerRow] = {}
ATTACK_COLUMNS: dict[str, AttackColumn] = {}
DEFENCES: dict[str, Defence] = {}


def explainer(
    name: str,
    *,
    family: str,
    needs: Sequence[str] = (),
    paper: str = "",
    cost: float | int = 1.0,
    proof: Callable[[Explainer], str | None] | None = None,
) -> Callable[[F], F]:
    """Register the decorated class or function (model, **needs) -> Explainer as a row.

    >>> from robustxai.explainers.gradient import Saliency
    >>> @explainer("Saliency of the probability", family="pixel")
    ... def probability(model):
    ...     return Saliency(model, score="prob")
    >>> EXPLAINERS.pop("Saliency of the probability").cost
    1.0
    """
    check_sequence("needs", needs, "names of needs", least=0)

    def register(make: F) -> F:
        row = ExplainerRow(
            name=name,
            family=family,
            make=make,
            needs=tuple(needs),
            paper=paper,
            cost=float(cost),
            proof=proof,
        )
        _enter(EXPLAINERS, row.name, row)
        return make

    return register


def attack(name: str, *, paper: str = "", targeted: bool = False) -> Callable[[F], F]:
    """Register the decorated class or function (k, eps, **options) -> GradientAttack as a column."""

    def register(make: F) -> F:
        _enter(ATTACK_COLUMNS, name, AttackColumn(name=name, make=make, paper=paper, targeted=targeted))
        return make

    return register


def defence(
    name: str,
    *,
    adaptive: str,
    needs: Sequence[str] = (),
    families: Sequence[str] = FAMILIES,
    paper: str = "",
) -> Callable[[F], F]:
    """Register the decorated function (explain, parts) -> Explainer as a defence."""

    def register(defend: F) -> F:
        made = Defence(
            name=name,
            defend=defend,
            adaptive=adaptive,
            needs=tuple(needs),
            families=tuple(families),
            paper=paper,
        )
        _enter(DEFENCES, name, made)
        return defend

    return register


def _enter(table: dict[str, Any], name: str, entry: Any) -> None:
    if name in table:
        raise ValueError(f"name must be new, got {name!r}, which is registered")
    table[name] = entry
