"""The methods of the paper's table by name: which regularisers, which activation, which optimiser option.

All start from the same pretrained network and get the same budget (spec 5, 9.1). A new row is one entry of
`METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import nn

from robustxai.checks import check_name
from robustxai.nets.softplus import softplus_copy
from robustxai.ranking.prepared_table import Part, Table
from robustxai.ranking.regularisers import (
    R2ET,
    SSR,
    AdversarialTraining,
    ExactHessian,
    FDHessian,
    Gap,
    Regulariser,
)
from robustxai.ranking.training import Fitted, fit_regularised
from robustxai.ranking.weight_selection import Options

Network = TypeVar("Network", bound=nn.Module)
WEIGHTS = (0.01, 0.1, 1.0, 10.0)
"""Weights tried for every term; the released grid is from 0.001 to 100 in the same steps."""
FINER = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""For terms of the gap: from 0.1 on they can undo the classifier of a large, unbalanced table such as Adult."""


@dataclass(frozen=True)
class Method:
    """One row of the table.

    `build(k, **options)`: its regularisers. `options`: the values used where none are chosen, those of the
    measurements in spec 12.3. `grid`: what selection on validation data tries. Two names are no arguments of
    `build`: beta, the softplus in place of ReLU (absent: the activation stays), and weight_decay. `trained`:
    False leaves the pretrained network untouched.

    >>> METHODS["R2ET"].chosen({"lam": 3.0})
    {'lam': 3.0, 'hessian': 0.1}
    >>> Method("no gap", lambda k, hessian: [FDHessian(hessian)], {"hessian": 0.1}).trained
    True
    """

    name: str
    build: Callable[..., list[Regulariser]] = lambda _k: []
    options: Options = field(default_factory=dict)
    grid: tuple[Options, ...] = ()
    trained: bool = True
    note: str = ""

    def chosen(self, options: Options | None = None) -> dict[str, float | int]:
        """The default options with `options` over them; ValueError for a name that the method does not have."""
        for name in options or ():
            check_name(f"an option of {self.name}", name, tuple(self.options))
        return {**self.options, **(options or {})}

    def regularisers(self, k: int, options: Options | None = None) -> list[Regulariser]:
        """The terms added to the cross-entropy."""
        terms = {n: v for n, v in self.chosen(options).items() if n not in ("beta", "weight_decay")}
        return self.build(k, **terms)


def _over(name: str, values: tuple[float, ...]) -> tuple[Options, ...]:
    return tuple({name: value} for value in values)


def _both(hessian_shares: tuple[float, ...] = (0.1, 0.3)) -> tuple[Options, ...]:
    """Weights of the two terms of R2ET: the second a share of the first."""
    return tuple({"lam": w, "hessian": w * share} for w in FINER for share in hessian_shares)


def _gap(k: int, lam: float | int, *, pairs: str = "full", hessian: float | int = 0) -> list:
    return [R2ET(k, lam, hessian=hessian, pairs=pairs)]


def _mm(k: int, lam: float | int, hessian: float | int = 0, n_pairs: int | None = None) -> list:
    return [R2ET(k, lam, hessian=hessian, pairs="mm", n_pairs=n_pairs)]


def _released(k: int, weight: float | int) -> list:
    """Softplus, Hessian and near pairs, all adaptive with one weight (spec 3.8)."""
    return [R2ET(k, weight, hessian=weight, pairs="near", weighting="adaptive")]


METHODS: dict[str, Method] = {
    m.name: m
    for m in (
        Method("Pretrained", trained=False, note="the common start, untouched"),
        Method("Vanilla", note="fine-tuned with cross-entropy"),
        Method("WD", options={"weight_decay": 5e-3}, grid=_over("weight_decay", (1e-4, 1e-3, 5e-3, 1e-2, 5e-2))),
        Method("SP", options={"beta": 0.5}, grid=_over("beta", (0.5, 1.0, 2.0, 5.0)), note="softplus"),
        Method("Est-H", lambda _k, hessian: [FDHessian(hessian)], {"hessian": 0.1}, _over("hessian", WEIGHTS)),
        Method("Exact-H", lambda _k, hessian: [ExactHessian(hessian)], {"hessian": 0.1}, _over("hessian", WEIGHTS)),
        Method("SSR", lambda _k, s: [SSR(0.3, s)], {"s": 0.25}, _over("s", WEIGHTS)),
        Method(
            "AT", lambda k, eps, steps: [AdversarialTraining(k, eps, steps=steps)], {"eps": 0.5, "steps": 3},
            _over("eps", (0.1, 0.25, 0.5, 1.0)),
        ),
        Method(r"R2ET_\H", _gap, {"lam": 1.0}, _over("lam", FINER)),
        Method(r"R2ET-mm_\H", _mm, {"lam": 1.0}, _over("lam", FINER)),
        Method("R2ET", _gap, {"lam": 1.0, "hessian": 0.1}, _both()),
        Method("R2ET-mm", _mm, {"lam": 1.0, "hessian": 0.1}, _both()),
        Method(
            "R2ET-near adaptive", lambda k, weight: [Gap(k, weight, pairs="near", weighting="adaptive")],
            {"weight": 0.1}, _over("weight", FINER),
        ),
        Method(r"SP + R2ET_\H", _gap, {"beta": 0.5, "lam": 1.0}, _over("lam", FINER)),
        Method("SP + R2ET", _gap, {"beta": 0.5, "lam": 1.0, "hessian": 0.1}, _both()),
        Method(
            "released recipe", _released, {"beta": 0.5, "weight": 0.1}, _over("weight", FINER),
            note="softplus 0.5, Hessian and near pairs, adaptive",
        ),
    )
}  # fmt: skip
"""Methods by name, in the order of the table."""


def with_softplus(model: Network, beta: float | int) -> Network:
    """A copy whose ReLUs are softplus, and which knows it: `arguments` rebuilds the copy where the class can."""
    copy = softplus_copy(model, beta)
    arguments = getattr(copy, "arguments", None)
    if isinstance(arguments, dict) and "softplus" in arguments:
        object.__setattr__(copy, "arguments", {**arguments, "softplus": float(beta)})
    return copy


def fine_tune(
    method: Method | str,
    pretrained: nn.Module,
    data: Table | Part,
    *,
    k: int,
    options: Options | None = None,
    **training: Any,
) -> tuple[nn.Module, Fitted | None]:
    """A fine-tuned copy of `pretrained` by a method's name, and how it went (None for "Pretrained").

    k: size of the top set. options: over the method's own. training: arguments of `fit_regularised`, the same for
    all methods of a comparison.

    >>> from robustxai.nets import MLP
    >>> from robustxai.ranking import adult_like, prepare
    >>> data = prepare(adult_like(200))
    >>> robust, fitted = fine_tune("R2ET", MLP(data.d, 2), data, k=4, epochs=2)
    >>> fitted.kept, robust.training
    (1, False)
    """
    if isinstance(method, str):
        check_name("method", method, tuple(METHODS))
        method = METHODS[method]
    model, more = beginning(method, pretrained, options)
    if not method.trained:
        return model, None
    return model, fit_regularised(model, data, method.regularisers(k, options), **training | more)


def beginning(
    method: Method, pretrained: Network, options: Options | None = None
) -> tuple[Network, dict[str, Any]]:
    """The copy of `pretrained` that a method trains, with its activation and in eval mode, and its own options of the
    training.

    >>> from robustxai.nets import MLP
    >>> beginning(METHODS["WD"], MLP(4))[1]
    {'weight_decay': 0.005}
    """
    chosen = method.chosen(options)
    model = with_softplus(pretrained, chosen["beta"]) if "beta" in chosen else deepcopy(pretrained)
    decay: dict[str, Any] = (
        {"weight_decay": float(chosen["weight_decay"])} if "weight_decay" in chosen else {}
    )
    return model.eval(), decay
