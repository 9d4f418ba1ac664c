"""Device mistakes, found without a GPU.

* Tensors and networks are on the CPU while the default device is "meta", which has shapes and no values: whatever the
  library makes without `device=` meets CPU tensors as a tensor of another device would on a card. Walked are every
  public call of `fuzz_registry`, and every explainer of `contract_registry` over kinds of networks, with gradients.
* The same calls on a faked device without float64, `faked_mps`.
* Two rules on the source, for the studies, whose calls take minutes.
"""

import ast
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from contract_models import kinds
from contract_registry import ATTACKS, CONTROLS, EXPLAINERS
from faked_mps import MPS, FakedMPS
from fuzz_registry import ROWS
from fuzz_values import numbers_in
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

import robustxai
from robustxai.explainers.precision import as_double, widest

KINDS = kinds()
WALKED = ("one logit (n,)", "ViT", "bfloat16", "channels last in memory")
BUILDS = {name for name, row in ROWS.items() if isinstance(row.of, type) and issubclass(row.of, nn.Module)}
"""Networks: torch itself makes parameters on the default device, which is the reader's wish."""
POISONED = sorted({*ROWS} - {name for name in BUILDS if name.startswith("nets.")})
FILES = sorted(Path(robustxai.__file__).parent.rglob("*.py"))
FACTORIES = set(
    "tensor zeros ones full empty arange linspace logspace eye rand randn randint randperm normal".split()
)


TRAINS = {"nets.fit", "ranking.fit_regularised"}
"""A second call goes on with the network of the first."""


def on_card(name: str) -> list[Any]:
    """The tensors, networks and generators that a row is given."""
    return [v for part in (ROWS[name].init, ROWS[name].given) for v in tree_flatten(dict(part))[0]]


@pytest.fixture(autouse=True)
def _as_shipped() -> Iterator[None]:
    jaxtyping.config.update("jaxtyping_disable", True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
    jaxtyping.config.update("jaxtyping_disable", False)


@contextmanager
def poisoned() -> Iterator[None]:
    """A default device on which nothing can meet a CPU tensor."""
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


def same(expected: Any, found: Any) -> None:
    """Two results hold the same numbers, and those have values; a draw from the clock is not compared."""
    pairs = list(zip(numbers_in(expected), numbers_in(found), strict=True))
    for a, b in pairs:
        assert b.device.type == "cpu"
        torch.testing.assert_close(b, a, equal_nan=True, rtol=1e-4, atol=1e-6)


def again(name: str) -> Any:
    """The row's call, with its generators and torch's own at their beginning."""
    torch.manual_seed(0)
    for dice in on_card(name):
        if isinstance(dice, torch.Generator):
            dice.manual_seed(0)
    return ROWS[name].call()


def test_the_poison_collides_with_what_is_made_without_a_device() -> None:
    x = torch.rand(2, 3)
    with poisoned(), pytest.raises(RuntimeError):
        _ = x + torch.rand(2, 3)
    with poisoned(), pytest.raises(NotImplementedError):
        torch.linspace(0, 1, 3).tolist()
    assert torch.equal(x + torch.zeros(2, 3), x), "afterwards the default is as it was"


@pytest.mark.parametrize("name", POISONED)
def test_a_public_call_makes_nothing_on_the_default_device(name: str) -> None:
    expected = again(name)
    with poisoned():
        found = again(name)
    if name not in TRAINS:
        same(expected, found)


@pytest.mark.parametrize("kind", WALKED)
@pytest.mark.parametrize("name", EXPLAINERS)
def test_an_explainer_and_its_gradient_make_nothing_on_the_default_device(name: str, kind: str) -> None:
    k = KINDS[kind]()
    if name == "diffgradcam.CAM" and not k.gap:
        pytest.skip("CAM is of GAP + linear heads")
    x, e = k.images(2), EXPLAINERS[name](k.net, k)

    def call() -> list[Tensor]:
        v = x.clone().requires_grad_()
        found = e(v, 1)
        found = found if found.requires_grad else e.guide(x)(v, 1)
        return [e.attribute(x, 1), *torch.autograd.grad(found.float().square().sum(), v)]

    expected = call()
    with poisoned():
        found = call()
    same(expected, found)


@pytest.mark.parametrize("explainer", ["manifold_ig.ManifoldIG", "diffgradcam.GradCAM"])
@pytest.mark.parametrize("attack", [*ATTACKS, *CONTROLS])
def test_an_attack_makes_nothing_on_the_default_device(attack: str, explainer: str) -> None:
    k = KINDS["smooth"]()
    x, e = k.images(3), EXPLAINERS[explainer](k.net, k)
    a, b = ((ATTACKS | CONTROLS)[attack](x) for _ in range(2))
    expected = a.perturb(k.net, x, explain=e, guide=e.guide)
    with poisoned():
        found = b.perturb(k.net, x, explain=e, guide=e.guide)
    same(expected, found)


# A device without float64


HIDDEN = {"manifold_ig.pull"}  # torch.func wraps its tensors, and the fake loses sight of them
NARROW = [
    name
    for name in ROWS
    if not any(isinstance(v, Tensor) and v.dtype == torch.float64 for v in on_card(name))
    and name not in HIDDEN
]


def test_the_faked_device_has_no_float64_and_leads_back() -> None:
    with FakedMPS() as card:
        x = card.put(torch.rand(3))
        assert x.device == (x + 1).device == torch.zeros(2, device=x.device).device == MPS
        assert widest(x.device) == torch.float32 and as_double(x).device.type == "cpu"
        assert x.cpu().double().device.type == "cpu" and x.device == MPS
        for wrong in (x.double, lambda: x.to(torch.float64), lambda: torch.rand(3).double().to(x.device)):
            with pytest.raises(TypeError, match="float64"):
                wrong()
        assert (x * torch.rand(3)).device == MPS, "and what a list of them comes to"
        assert torch.stack([x, x]).device == MPS
    assert x.device.type == "cpu"


@pytest.mark.parametrize("name", NARROW)
def test_a_public_call_needs_no_float64_where_there_is_none(name: str) -> None:
    with FakedMPS() as card:
        card.put(on_card(name))
        ROWS[name].call()


# The source


def calls(tree: ast.Module) -> Iterator[tuple[ast.Call, ast.Attribute]]:
    """Calls of an attribute, and the attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, node.func


def without_device(tree: ast.Module) -> list[str]:
    """Calls of torch's factories that name no device; parameters and buffers of a network follow the default."""
    buffers = [n for n, f in calls(tree) if f.attr in ("register_buffer", "Parameter")]
    free = {id(inner) for n in buffers for inner in ast.walk(n)}
    return [
        f"line {n.lineno}: {ast.unparse(n)}"
        for n, f in calls(tree)
        if ast.unparse(f.value) == "torch" and f.attr in FACTORIES and id(n) not in free
        and not any(k.arg in ("device", None) for k in n.keywords)
    ]  # fmt: skip


def doubles_elsewhere(tree: ast.Module) -> list[str]:
    """Calls of `.double()` on what is not on the CPU by the words before it."""
    return [
        f"line {n.lineno}: {ast.unparse(n)}"
        for n, f in calls(tree)
        if f.attr == "double" and not re.search(r"\.cpu\(\)|device='cpu'", ast.unparse(f.value))
    ]


RULES: dict[str, Callable[[ast.Module], list[str]]] = {
    "names its device": without_device,
    "doubles on the CPU": doubles_elsewhere,
}


@pytest.mark.parametrize("rule", RULES)
def test_the_source(rule: str) -> None:
    one_place = Path(robustxai.__file__).parent / "explainers" / "precision.py"  # has `as_double`
    found = {str(f): RULES[rule](ast.parse(f.read_text())) for f in FILES if f != one_place}
    assert not {file: lines for file, lines in found.items() if lines}


def test_the_rules_find_what_they_are_for() -> None:
    bad = ast.parse("a = torch.zeros(2)\nb = torch.randn(2, generator=g).to(x.device)\nx.double().cpu()")
    assert len(without_device(bad)) == 2 and len(doubles_elsewhere(bad)) == 1
    good = ast.parse(
        "a = torch.zeros(2, device=d)\nself.register_buffer('b', torch.ones(2))\nx.cpu().double()"
    )
    assert not without_device(good) and not doubles_elsewhere(good)
