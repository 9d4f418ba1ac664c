"""Options as one object or as keywords: the same call, one sentence for what is none, a signature that says all."""

import inspect
import typing
from dataclasses import dataclass, fields

import pytest
from exported import exported

import robustxai.manifold_ig as M
import robustxai.nets as N
import robustxai.ranking as R
from robustxai.manifold_ig.geodesic_solver import SolverOptions
from robustxai.nets.training import TrainingOptions
from robustxai.options import merged, says_options

PAIRS = [(N.Training, TrainingOptions), (M.Solver, SolverOptions)]


@dataclass(frozen=True)
class Dose:
    n: int
    size: float = 2.0

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n must be an integer >= 1, got {self.n}")


def test_keywords_win_over_the_object_and_are_checked_as_it_is() -> None:
    assert merged(Dose, None, {"n": 3}) == Dose(3) == merged(Dose, Dose(3), {})
    assert merged(Dose, Dose(3), {"size": 1.0}) == Dose(3, 1.0)
    with pytest.raises(ValueError, match="n must be an integer >= 1, got 0"):
        merged(Dose, Dose(3), {"n": 0})


def test_what_is_no_option_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"^options must be fields of Dose, got 'sise'; near: size$"):
        merged(Dose, Dose(3), {"sise": 1.0})
    with pytest.raises(ValueError, match=r"^options must be fields of Dose, got 'xyz'; near: none$"):
        merged(Dose, None, {"xyz": 1.0})
    with pytest.raises(ValueError, match=r"^how must be a Dose or None, got 5$"):
        merged(Dose, typing.cast(Dose, 5), {})


def test_the_signature_says_the_options_with_their_defaults() -> None:
    @says_options(Dose, Dose(4), without=["size"])
    def give(x: int, how: Dose | None = None, **options: object) -> int:
        return x * merged(Dose, how, options).n

    assert (
        str(inspect.signature(give)) == "(x: int, how: test_options.Dose | None = None, *, n: int = 4) -> int"
    )
    assert give(2, n=3) == give(2, Dose(3)) == 6


@pytest.mark.parametrize(("kind", "typed"), PAIRS, ids=lambda c: c.__name__)
def test_keywords_for_type_checkers_are_the_fields(kind: type, typed: type) -> None:
    assert typing.get_type_hints(typed) == {f.name: f.type for f in fields(kind)}


@pytest.mark.parametrize("room", [N, R, M], ids=lambda m: m.__name__)
def test_every_exported_function_with_such_options_says_them(room) -> None:
    for name, one in exported(room).items():
        code = getattr(inspect.unwrap(one), "__annotations__", {}).get("options")
        if "Unpack" in str(code):
            kinds = [p.kind for p in inspect.signature(one).parameters.values()]
            assert inspect.Parameter.VAR_KEYWORD not in kinds, name
