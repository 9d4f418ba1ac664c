"""Every public class shows how it is used: a runnable example in its docstring, run here as a doctest.

Public functions have one too, except in a chapter with many small ones; what examples there are is run.
"""

import doctest
import importlib
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from exported import exported

CHAPTERS = ("ace", "concepts", "diffgradcam", "manifold_ig", "ranking")
MODULES = ("base", "captum_explainer", "exports", "grad_cam_explainer", "reduce", "reshape")
SHARED = (*(f"explainers.{name}" for name in MODULES), "models")
FUNCTIONS_WITHOUT = ("manifold_ig",)
"""Rooms in which only classes must have an example."""
NEEDS = {
    "from_captum": "captum", "CaptumExplainer": "captum",
    "from_grad_cam": "pytorch_grad_cam", "GradCAMExplainer": "pytorch_grad_cam",
}  # fmt: skip
"""Adapters, whose examples import the library that they adapt."""


def public_names(room: str) -> dict[str, Any]:
    """Public classes and functions of a room."""
    return exported(importlib.import_module(f"robustxai.{room}"))


def parts(thing: Any, globs: dict[str, Any]) -> list[doctest.DocTest]:
    """The examples in a docstring, and of a class also those of its methods."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    return finder.find(thing, thing.__name__, module=sys.modules[thing.__module__], globs=globs)


def own_examples(thing: Any) -> list[doctest.Example]:
    """The examples of the docstring itself that are not skipped."""
    examples = doctest.DocTestParser().get_examples(inspect.cleandoc(thing.__doc__ or ""))
    return [example for example in examples if not example.options.get(doctest.SKIP)]


def everything(wanted: Any) -> Iterator[tuple[str, Any]]:
    for room in (*CHAPTERS, *SHARED):
        for name, thing in public_names(room).items():
            if wanted(room, thing):
                yield f"{room}.{name}", thing


def required(room: str, thing: Any) -> bool:
    return inspect.isclass(thing) or room not in FUNCTIONS_WITHOUT


REQUIRED = dict(everything(required))
OTHERS = dict(everything(lambda room, thing: not required(room, thing) and own_examples(thing)))


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Examples may draw from torch's global generator, which is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def run(thing: Any) -> None:
    """Run all examples of a class or function; whatever prints something else is shown."""
    module: ModuleType = sys.modules[thing.__module__]
    runner, said = doctest.DocTestRunner(verbose=False), []
    for test in parts(thing, dict(vars(module))):
        runner.run(test, out=said.append)
    failed, tried = runner.summarize(verbose=False)[:2]
    assert not failed, "".join(said)
    assert tried >= len(own_examples(thing))


def test_the_rooms_are_all_there() -> None:
    assert len(REQUIRED) > 150
    assert all(any(name.startswith(f"{room}.") for name in REQUIRED) for room in (*CHAPTERS, *SHARED))


@pytest.mark.parametrize("name", REQUIRED)
def test_a_public_name_has_an_example_that_runs(name: str) -> None:
    thing = REQUIRED[name]
    if thing.__name__ in NEEDS:
        pytest.importorskip(NEEDS[thing.__name__])
    assert own_examples(thing), f"robustxai.{name} has no example (`>>>`) in its docstring"
    run(thing)


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_examples_run(name: str) -> None:
    run(OTHERS[name])


class Skipped:
    """None that counts.

    >>> undefined  # doctest: +SKIP
    """


class Wrong:
    """One that does not hold.

    >>> 1 + 1
    3
    """


def test_an_example_that_is_skipped_does_not_count_and_a_wrong_one_fails() -> None:
    assert not own_examples(Skipped)
    with pytest.raises(AssertionError, match="Expected"):
        run(Wrong)
