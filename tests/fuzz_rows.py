"""A row of the fuzz registry: one good and cheap call; and the networks and samples that several rooms share."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from contract_models import kinds
from torch import Tensor

import robustxai.nets as N


@dataclasses.dataclass(frozen=True)
class Row:
    """One good call: `of(**init).method(**given)`, or `of(**given)` where `method` is None."""

    of: Callable[..., Any]
    method: str | None
    init: Mapping[str, Any]
    given: Mapping[str, Any]
    free: Mapping[str, str]
    kinds: Mapping[str, str]

    def call(self, place: str = "", **spoiled: Any) -> Any:
        """The result; `spoiled` replaces arguments of `place`, "init" or "given"."""
        if self.method is None:
            return self.of(**{**self.given, **spoiled})
        made = self.of(**{**self.init, **(spoiled if place == "init" else {})})
        return getattr(made, self.method)(**{**self.given, **(spoiled if place == "given" else {})})

    def arguments(self) -> list[tuple[str, str, inspect.Parameter]]:
        """(place, name, parameter) of all that can be given, `**options` by the name of what the row gives."""
        if self.method is None:
            return [("given", n, p) for n, p in parameters(self.of, self.given)]
        found = [("init", n, p) for n, p in parameters(self.of, self.init)]
        method = getattr(self.of, self.method)
        return found + [("given", n, p) for n, p in parameters(method, self.given) if n != "self"]


def parameters(of: Callable[..., Any], given: Mapping[str, Any]) -> list[tuple[str, inspect.Parameter]]:
    """Parameters with resolved annotations; those behind `**options` are looked up in the base classes."""
    found: dict[str, inspect.Parameter] = {}
    for one in (
        (of, *(c.__init__ for c in of.__mro__[1:-1] if "__init__" in vars(c)))
        if inspect.isclass(of)
        else (of,)
    ):
        signature = inspect.signature(one)
        open_ended = False
        for name, p in signature.parameters.items():
            if p.kind is p.VAR_KEYWORD:
                open_ended = True
            elif p.kind is not p.VAR_POSITIONAL and name not in found and name != "self":
                found[name] = p
        if not open_ended:
            break
    for name in given:
        found.setdefault(name, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY))
    return list(found.items())


def fn(
    of: Callable[..., Any], free: Mapping[str, str] = {}, kinds: Mapping[str, str] = {}, **given: Any
) -> Row:
    return Row(of, None, {}, given, free, kinds)


def cls(
    of: Callable[..., Any], method: str, init: Mapping[str, Any], free: Mapping[str, str] = {},
    kinds: Mapping[str, str] = {}, **given: Any,
) -> Row:  # fmt: skip
    return Row(of, method, init, given, free, kinds)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


KIND = kinds()["smooth"]()
NET, X, X2, T = KIND.net, KIND.images(3), KIND.images(3, 1), torch.tensor([0, 1, 2])
TABLE, ROWS_Y = draw(6, 6) - 0.5, torch.tensor([0, 1, 2, 0, 1, 2])
MLP = N.MLP(6, 3, widths=(8,), softplus=5, generator=dice()).eval()
LOGITS = 4 * draw(3, 3) - 2
TRAINS: dict[str, str] = {"model.mode": "the loss is of a network that trains"}
