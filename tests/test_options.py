"""Options as one object or as keywords: the same call, one sentence for what is none, a signature that says all."""

import inspect
import typing
from dataclasses import dataclass, fields

import pytest
import torch
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


def test_an_object_and_keywords_are_the_same_call() -> None:
    x, y = torch.eye(6), torch.tensor([0, 0, 0, 1, 1, 1])
    nets = [N.MLP(6, 2, widths=(4,), generator=torch.Generator().manual_seed(0)) for _ in range(3)]
    N.fit(nets[0], x, y, epochs=2, batch_size=3, lr=0.1)
    N.fit(nets[1], x, y, N.Training(epochs=2, batch_size=3, lr=0.1))
    N.fit(nets[2], x, y, N.Training(epochs=9, batch_size=3), epochs=2, lr=0.1)
    for one in nets[1:]:
        assert all(map(torch.equal, nets[0].state_dict().values(), one.state_dict().values()))
    ends = torch.zeros(1, 2), torch.ones(1, 2)
    paths = [
        M.geodesic(torch.sinh, *ends, 7, **options)
        for options in ({"evaluations": 3}, {"how": M.Solver(evaluations=3)})
    ]
    assert torch.equal(paths[0].latents, paths[1].latents)


def test_a_keyword_that_is_none_is_named_with_those_near_it() -> None:
    with pytest.raises(
        ValueError, match=r"^options must be fields of Training, got 'epoch'; near: epochs, on_epoch$"
    ):
        N.fit(N.MLP(6, 2), torch.eye(6), torch.zeros(6).long(), epoch=2)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match=r"^options must be fields of Solver, got 'mods'; near: mode"):
        M.geodesic(torch.sinh, torch.zeros(1, 2), torch.ones(1, 2), mods=2)  # pyright: ignore[reportCallIssue]
