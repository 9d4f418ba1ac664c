"""The contract of the library, walked over every public explainer and attack and every kind of network.

What it asserts is numbered as in the tests' names; a new class is a row of `contract_registry`.
"""

import copy
import importlib
import inspect
import math
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jaxtyping
import pytest
import torch
from contract_models import Kind, kinds
from contract_registry import ATTACKS, CONTROLS, COUNTERFACTUALS, EPS, EXEMPLARS, EXPLAINERS, OTHERS
from exported import exported
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

import robustxai.ace as A
import robustxai.diffgradcam as D
import robustxai.ranking as R
from robustxai.explainers.reduce import reduced

CHAPTERS = ("ace", "concepts", "diffgradcam", "manifold_ig", "ranking")
KINDS = kinds()
GAP_ONLY = {"diffgradcam.CAM"}
LOUD = {"diffgradcam.FullGrad"}  # says what its shares miss
pytestmark = [
    pytest.mark.filterwarnings("ignore:FullGrad's shares miss:UserWarning"),
    pytest.mark.filterwarnings("ignore:Using a non-full backward hook:UserWarning"),
]


@pytest.fixture(autouse=True)
def _as_shipped():
    """One thread, as the tensors are tiny; no runtime shape checks, so that the library's own sentences come out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    torch.set_num_threads(before)


def made(name: str, kind: Kind, net: nn.Module | None = None):
    return EXPLAINERS[name](kind.net if net is None else net, kind)


def tolerance(x: Tensor) -> dict[str, float]:
    return dict(rtol=0.1, atol=0.1) if x.dtype == torch.bfloat16 else dict(rtol=1e-3, atol=1e-5)


def fits(name: str, kind: Kind) -> bool:
    """CAM itself is of networks with global average pooling and a linear head."""
    return kind.gap or name not in GAP_ONLY


def needs_pixels(e: Any) -> bool:
    """Whether a method needs the gradient at the image; CAMs and FullGrad need those at layers."""
    return not isinstance(e, (D.ContrastiveCAM, D.FullGrad))


WALK = [(name, kind) for kind in KINDS for name in EXPLAINERS]


def test_every_public_class_has_a_row():
    known = {*EXPLAINERS, *ATTACKS, *CONTROLS, *EXEMPLARS, *COUNTERFACTUALS}
    known |= {name for names in OTHERS.values() for name in names.split()}
    public = set()
    for chapter in CHAPTERS:
        room = importlib.import_module(f"robustxai.{chapter}")
        public |= {f"{chapter}.{n}" for n, v in exported(room).items() if inspect.isclass(v)}
    assert not public - known, "public classes without a row in tests/contract_registry.py"
    assert not known - public, "rows without a public class"


@pytest.mark.parametrize(("name", "kind"), WALK)
def test_1_one_map_whatever_the_call_the_batch_and_the_network(name, kind):
    k = KINDS[kind]()
    x, e = k.images(), made(name, k)
    target = torch.tensor([0, 1, k.classes - 1])
    if not fits(name, k):
        with pytest.raises(ValueError, match="global average pooling"):
            e.attribute(x, target)
        return
    if not k.follow and needs_pixels(e):
        gradients_end_in_a_sentence(e, x, target)
        return
    found = e.attribute(x, target)
    assert found.shape[0] == 3 and found.shape[2:] == (16, 16) and found.shape[1] in (1, k.channels)
    assert found.dtype == x.dtype and found.isfinite().all()
    assert torch.equal(e(x, target), reduced(found)) and (e(x, target) >= 0).all()
    alone = torch.cat([e.attribute(x[i : i + 1], target[i : i + 1]) for i in range(3)])
    scale = float(found.abs().max()) or 1.0
    torch.testing.assert_close(alone / scale, found / scale, **tolerance(x))
    if hasattr(e, "attribute_all"):
        every = e.attribute_all(x)
        assert every.shape[1] == k.classes
        for c in range(k.classes):
            torch.testing.assert_close(every[:, c] / scale, e.attribute(x, c)[:, 0] / scale, **tolerance(x))
    assert torch.equal(e.attribute(x, [0, 1, k.classes - 1]), found), "a list is a target, too"
    best = k.net(x)
    best = best if isinstance(best, Tensor) else None
    if best is not None and best.ndim == 2 and best.shape[1] > 1 and "IG" not in name:
        assert torch.equal(e.attribute(x), e.attribute(x, best.argmax(1)))


def gradients_end_in_a_sentence(e, x, target) -> None:
    """A network that cuts the graph to its images: its input gradient is zero, or one sentence says so."""
    try:
        found = e.attribute(x, target)
    except ValueError as error:
        assert re.search("gradient|differentiable", str(error))
    else:
        assert not found.any() or not e.model(x.requires_grad_()).grad_fn


@pytest.mark.parametrize(("name", "kind"), WALK)
def test_2_the_graph_is_kept_if_and_only_if_it_is_asked_for(name, kind):
    k = KINDS[kind]()
    if not fits(name, k):
        pytest.skip("CAM is of GAP + linear heads")
    e, x = made(name, k), k.images(2)
    if not k.follow and needs_pixels(e):
        pytest.skip("this network has no input gradient")
    assert not e.attribute(x, 1).requires_grad
    asked = x.clone().requires_grad_()
    with torch.no_grad():
        assert not e.attribute(asked, 1).requires_grad
    found = e.attribute(asked, 1)
    assert found.requires_grad == e.differentiable or not k.follow
    assert torch.equal(found.detach(), e.attribute(x, 1)) or torch.allclose(
        found.detach().float(),
        e.attribute(x, 1).float(),
        rtol=1e-3,
        atol=1e-5 + 1e-3 * float(found.detach().abs().max()),
    )
    if found.requires_grad:
        (g,) = torch.autograd.grad(found.float().square().sum(), asked)
        assert g.isfinite().all() and (k.follow or not g.any())
    assert asked.grad is None


@pytest.mark.parametrize(("name", "kind"), WALK)
def test_3_nothing_is_left_behind(name, kind):
    k = KINDS[kind]()
    if not fits(name, k):
        pytest.skip("CAM is of GAP + linear heads")
    e, x = made(name, k), k.images(2)

    def state():
        modules = list(k.net.modules())
        hooks = [len(d) for m in modules for d in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)]
        modes = [m.training for m in modules]
        grads = [(p.grad is None, p.requires_grad) for p in k.net.parameters()]
        values = [t.clone() for t in (*k.net.parameters(), *k.net.buffers())]
        world = len(torch_module._global_forward_hooks), torch.is_grad_enabled(), torch.get_default_dtype()
        return hooks, modes, grads, values, world

    before = state()
    calls = [lambda: e.attribute(x, 1), lambda: e.attribute(x, 99), lambda: e.attribute(x * math.nan, 1)]
    refused = 0
    for call in calls:
        try:
            call()
        except ValueError:
            refused += 1
    assert refused >= 2, "a class that is none, and NaN"
    after = state()
    assert before[:3] == after[:3] and before[4] == after[4]
    assert all(torch.equal(a, b) for a, b in zip(before[3], after[3], strict=True))
    twin = copy.deepcopy(k.net)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in twin.modules())


THREADED = ("GAP + linear", "two-layer head", "dict", "ViT", "shared activation")


@pytest.mark.parametrize("kind", THREADED)
@pytest.mark.parametrize("name", EXPLAINERS)
def test_4_eight_threads_give_the_bits_of_one(name, kind):
    k = KINDS[kind]()
    if not fits(name, k):
        pytest.skip("CAM is of GAP + linear heads")
    e = made(name, k)
    batches = [k.images(2, seed) for seed in range(4)]
    alone = [e.attribute(x, 1) for x in batches]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: e.attribute(batches[i % 4], 1), range(24)))
    assert all(torch.equal(one, alone[i % 4]) for i, one in enumerate(found))


@pytest.mark.parametrize("name", EXPLAINERS)
def test_5_on_another_network_and_a_guide_for_attacks(name):
    k = KINDS["GAP + linear"]()
    other = copy.deepcopy(k.net)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    e, x = made(name, k), k.images(2)
    assert e.model is k.net
    assert torch.equal(e.on(other).attribute(x, 1), made(name, k, other).attribute(x, 1))
    assert torch.equal(e.attribute(x, 1), made(name, k).attribute(x, 1)), "the first is as it was"
    guide = e.guide(x)
    v = x.clone().requires_grad_()
    followed = guide(v, 1)
    assert followed.shape == e(x, 1).shape
    (g,) = torch.autograd.grad(followed.square().sum(), v)
    assert g.isfinite().all() and g.any()


EVERY_ATTACK = [(attack, explainer) for attack in ATTACKS for explainer in EXPLAINERS]


@pytest.mark.parametrize(("attack", "explainer"), EVERY_ATTACK)
def test_6_an_attack_follows_a_gradient_or_says_that_it_could_not(attack, explainer):
    """Budget and range hold at every input that the explainer is asked about; the prediction is kept."""
    k = KINDS["smooth"]()
    e, x, seen = made(explainer, k), k.images(3), []
    label = k.net(x).argmax(1)

    def watched(v: Tensor, target=None) -> Tensor:
        assert target is not None, "attacks resolve the class first"
        seen.append(v.detach())
        return e(v, target)

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = ATTACKS[attack](x).perturb(k.net, x, explain=watched)
    for v in (*(v for v in seen if v.shape == x.shape), found.x):
        assert (v - x).abs().max() <= EPS + 1e-6 and v.min() >= 0 and v.max() <= 1
    assert torch.equal(k.net(found.x).argmax(1), label) and found.kept.all()
    words = [str(w.message) for w in said if "gradient" in str(w.message) or "graph" in str(w.message)]
    if e.differentiable and e(x, label).any():
        assert found.followed.any() and not words, "it has a graph, and the maps are not dead"
    else:
        assert not found.followed.any() and (len(words) == 1 or e.differentiable), (
            "not attacked, and said once"
        )
        assert not found.moved.any() and torch.equal(found.x, x)
        assert R.attacked_precision(e, x, found, 20).isnan().all(), "not attacked is never robust"
    assert torch.equal(found.stuck, ~found.followed)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("explainer", ["manifold_ig.GuidedIG", "manifold_ig.ManifoldIG", "ranking.Saliency"])
def test_7_a_guide_is_followed(attack, explainer):
    k = KINDS["GAP + linear"]()
    e, x = made(explainer, k), k.images(3)
    found = ATTACKS[attack](x).perturb(k.net, x, explain=e, guide=e.guide)
    assert found.followed.any() and (found.x - x).abs().max() <= EPS + 1e-6


@pytest.mark.parametrize("attack", ATTACKS)
def test_8_signed_and_many_channelled_attributions_are_read_as_maps(attack):
    k = KINDS["smooth"]()
    e, x = made("manifold_ig.IntegratedGradients", k), k.images(3)
    signed = ATTACKS[attack](x).perturb(k.net, x, explain=e.attribute)
    mapped = ATTACKS[attack](x).perturb(k.net, x, explain=e)
    assert torch.equal(signed.x, mapped.x) and torch.equal(signed.loss, mapped.loss)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attack", [*ATTACKS, *CONTROLS])
def test_9_attacks_run_on_every_kind_of_network(attack, kind):
    k = KINDS[kind]()
    if k.dtype != torch.float32:
        pytest.skip("attacks are made in float32")
    x = k.images(3)
    explain = made("diffgradcam.GradCAM", k)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = (ATTACKS | CONTROLS)[attack](x).perturb(k.net, x, 1, explain=explain)
    assert found.x.shape == x.shape and (found.x - x).abs().max() <= EPS + 1e-6
    assert found.followed.any() or not k.follow or attack in CONTROLS or not explain(x, 1).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EXEMPLARS)
def test_10_attacks_on_exemplars(name, kind):
    k = KINDS[kind]()
    if k.dtype != torch.float32 or not k.follow:
        pytest.skip("float32, and a gradient to the images")
    x, towards = ((k.images(6, s) * 255).round() / 255 for s in (1, 2))
    found = EXEMPLARS[name](k.layer).perturb(k.net, x, towards)
    assert (found.x - x).abs().max() <= 8 / 255 + 1e-6 and (found.loss <= found.clean_loss + 1e-6).any()
    assert ((found.x * 255) - (found.x * 255).round()).abs().max() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["PGD", "GD", "CW"])
def test_11_counterfactuals_of_every_kind_of_network(name, kind):
    k = KINDS[kind]()
    if k.dtype != torch.float32:
        pytest.skip("float32")
    x = k.images(3)
    ace = A.ACE(k.net, None, attack=getattr(A, name)(steps=3, step=0.02, eps=EPS))
    if not k.follow:
        gradients = pytest.raises(ValueError, match=r"gradient|differentiable")
        with gradients:
            ace.explain(x)
        return
    found = ace.explain(x)
    assert (found.image - x).abs().max() <= EPS + 1e-6 and found.image.isfinite().all()
    assert (found.target != found.prediction).all()


def test_12_a_network_in_training_mode_is_refused_everywhere_by_one_rule():
    k = KINDS["GAP + linear"]()
    k.net.body[1].train()
    for name in EXPLAINERS:
        with pytest.raises(ValueError, match=r"training mode \(body\.1\)"):
            made(name, k).attribute(k.images(2), 1)
    calm = KINDS["GroupNorm"]()
    calm.net.train()  # no layer reads the mode
    for name in EXPLAINERS:
        assert torch.equal(
            made(name, calm).attribute(calm.images(2), 1),
            made(name, KINDS["GroupNorm"]()).attribute(calm.images(2), 1),
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("name", EXPLAINERS)
def test_13_what_does_not_fit_the_network_gets_one_sentence(name, dtype):
    k = KINDS["GAP + linear"]()
    for x in (k.images(2).to(dtype), k.images(2)[:, :2], k.images(2)[:0], k.images(2)[0, 0]):
        with pytest.raises(ValueError) as error:
            made(name, k).attribute(x, 1)
        assert "\n" not in str(error.value)
