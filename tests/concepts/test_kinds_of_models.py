"""TCAV, facets and attacks on every kind of network: one logit, odd outputs, shared layers, no_grad inside, threads."""

import copy
import warnings

import pytest
import torch
from tiny import bars, fingerprint, gen, images, net, sets, unchanged
from torch import nn

from robustxai.concepts import (
    CAV,
    TCAV,
    ClassGradientPush,
    FacetedVisualization,
    MultiLayerPushing,
    TokenPushing,
    UniversalPushing,
    facet_probe,
    facet_score,
)
from robustxai.concepts.activations import activations, class_gradients, forward_to
from robustxai.concepts.study.measures import label_changes
from robustxai.nets import CompactViT
from robustxai.runtime import side_by_side

X, GOAL, RANDOM = images(10, seed=7), bars(6, seed=4), sets(3)
CONCEPTS = {"bars": bars(12, seed=5)}
ATTACKS = {
    "push": lambda m, layer: TokenPushing(layer, steps=2).perturb(m, X, GOAL),
    "layers": lambda m, layer: MultiLayerPushing([layer], steps=2).perturb(m, X, GOAL),
    "universal": lambda m, layer: UniversalPushing(layer, steps=2).perturb(m, X, GOAL),
    "class": lambda m, layer: ClassGradientPush(layer, steps=2).perturb(m, X, GOAL, 0),
}


class Wrapped(nn.Module):
    """A network that returns something else than a tensor of logits."""

    def __init__(self, model, wrap):
        super().__init__()
        self.net, self.wrap = model, wrap

    def forward(self, x):
        return self.wrap(self.net(x))


class Output:
    def __init__(self, logits):
        self.logits = logits


OUTPUTS = {
    "dict": lambda z: {"logits": z},
    "out": lambda z: {"out": z, "aux": z},
    "tuple": lambda z: (z, z.sum()),
    "ModelOutput": Output,
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_whatever_a_network_returns_its_logits_are_found(kind):
    plain = net()
    model = Wrapped(plain, OUTPUTS[kind]).eval()
    (cell,) = TCAV(model, ["net.b3"]).score(X, 1, CONCEPTS, RANDOM).cells
    (usual,) = TCAV(plain, ["b3"]).score(X, 1, CONCEPTS, RANDOM).cells
    assert torch.equal(cell.scores, usual.scores) and torch.equal(cell.cavs.vectors, usual.cavs.vectors)
    for attack in ATTACKS.values():
        assert torch.equal(attack(model, "net.b3").x, attack(plain, "b3").x)
    w = facet_probe(plain, ["b3"], bars(8, 4), [images(8, 5)])
    shown = [
        FacetedVisualization(m, 1, size=16, steps=2).render({name: w["b3"]}, n=1).images
        for m, name in ((model, "net.b3"), (plain, "b3"))
    ]
    assert torch.equal(*shown)
    assert label_changes(model, X, X) == 0


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("score", ["logit", "logp"])
def test_one_logit_is_two_classes(flat, score):
    """Class 1 is scored by the logit z and class 0 by -z; in log-probability as by two logits, -z / 2 and z / 2."""
    one = net(3, classes=1)
    model = Wrapped(one, lambda z: z[:, 0]).eval() if flat else one
    name = "net.b3" if flat else "b3"
    tool = TCAV(model, [name], score=score)
    down, up = (tool.score(X, k, CONCEPTS, RANDOM).cells[0] for k in (0, 1))
    torch.testing.assert_close(down.magnitude, -up.magnitude)
    torch.testing.assert_close(down.scores, 1 - up.scores)
    two = Wrapped(one, lambda z: torch.cat((-z, z), 1) / (2 if score == "logp" else 1)).eval()
    for k, cell in enumerate((down, up)):
        usual = TCAV(two, ["net.b3"], score=score).score(X, k, CONCEPTS, RANDOM).cells[0]
        torch.testing.assert_close(cell.magnitude, usual.magnitude)
        assert torch.equal(cell.scores, usual.scores) and (cell.p, cell.state) == (usual.p, usual.state)
    for k in (0, 1):
        here, there = (
            ClassGradientPush(n, steps=2).perturb(m, X, GOAL, k) for m, n in ((model, name), (two, "net.b3"))
        )
        assert torch.equal(here.x, there.x)
        drawn = [FacetedVisualization(m, k, size=16, steps=2).render(n=1) for m in (model, two)]
        if score == "logit":
            assert torch.equal(drawn[0].images, drawn[1].images)
    with pytest.raises(ValueError, match=r"target must be a class in \[0, 1\], got 2"):
        tool.score(X, 2, CONCEPTS, RANDOM)


class Shared(nn.Module):
    """One activation that runs three times a pass."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.c1, self.c2, self.c3 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
            self.head = nn.Linear(4, 3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        for conv in (self.c1, self.c2, self.c3):
            x = self.act(conv(x))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_call_of_a_shared_layer_is_named(call):
    model = Shared().eval()
    name = f"act:{call}"
    with torch.no_grad():
        by_hand = X
        for conv in (model.c1, model.c2, model.c3)[:call]:
            by_hand = conv(by_hand).relu()
    assert torch.equal(activations(model, X, [name])[name], by_hand)
    both = TCAV(model, [name, "act:3"] if call < 3 else [name]).score(X, 1, CONCEPTS, RANDOM)
    assert both["bars", name].layer == name
    leaf = by_hand.clone().requires_grad_()
    rest = leaf
    for conv in (model.c1, model.c2, model.c3)[call:]:
        rest = conv(rest).relu()
    (g,) = torch.autograd.grad(model.head(rest.mean((2, 3)))[:, 1].sum(), leaf)
    torch.testing.assert_close(class_gradients(model, X, 1, [name])[name], g)
    for attack in ATTACKS.values():
        assert attack(model, name).followed.all()
    w = facet_probe(model, [name], bars(8, 4), [images(8, 5)])
    assert facet_score(model, X, w).isfinite().all()
    assert FacetedVisualization(model, 1, size=16, steps=1).render(w, n=1).facet.isfinite().all()


def test_a_layer_that_runs_several_times_is_refused_by_all():
    model = Shared().eval()
    calls = [lambda a=a: a(model, "act") for a in ATTACKS.values()]
    calls += [
        lambda: TCAV(model, ["act"]).score(X, 1, CONCEPTS, RANDOM),
        lambda: facet_probe(model, ["act"], bars(8, 4), [images(8, 5)]),
        lambda: facet_score(model, X, {"act": torch.ones(4, 10, 10)}),
        lambda: FacetedVisualization(model, 1, size=16).render({"act": torch.ones(4, 10, 10)}, n=1),
        lambda: FacetedVisualization(model, 1, layer="act", size=16).render(n=1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"'act' runs more than once .* 'act:1' to 'act:3'"):
            call()
    with pytest.raises(ValueError, match="'act:4' runs 3 times"):
        TCAV(model, ["act:4"]).score(X, 1, CONCEPTS, RANDOM)


class Frozen(nn.Module):
    """A backbone that runs under no_grad or inference_mode inside forward."""

    def __init__(self, mode):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.b = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
            self.h = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        self.mode = mode

    def forward(self, x):
        with self.mode():
            f = self.b(x)
        return self.h(f.mean((2, 3)))


class Free:
    """No mode at all."""

    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("layers", [["b"], ["b", "h.1"], ["h.0"], ["b.1"]])
def test_a_backbone_under_no_grad_gives_the_usual_scores(mode, layers):
    model, usual = Frozen(mode).eval(), Frozen(Free).eval()
    before = fingerprint(model)
    a, b = (TCAV(m, layers).score(X, 1, CONCEPTS, RANDOM).cells for m in (model, usual))
    for one, two in zip(a, b, strict=True):
        assert torch.equal(one.scores, two.scores) and torch.equal(one.magnitude, two.magnitude)
    unchanged(model, before)
    assert torch.is_grad_enabled()


def test_an_attack_without_a_gradient_says_so_and_is_no_robustness():
    model = Frozen(torch.no_grad).eval()
    for name in ("push", "layers", "universal", "class"):
        with pytest.warns(UserWarning, match="no gradient to the exemplars, so nothing was attacked"):
            p = ATTACKS[name](model, "b")
        assert not p.followed.any() and p.followed.shape == (10,) and torch.equal(p.x, X)
    p = TokenPushing("b3", steps=2).perturb(net(), X, GOAL, eps=[0.0, 8 / 255])
    assert p.followed.shape == (2, 10) and not p.followed[0].any() and p.followed[1].all()
    with pytest.raises(ValueError, match="no gradient to the image"):
        FacetedVisualization(Frozen(torch.no_grad).eval(), 1, layer="b", size=16).render(n=1)


def test_a_layer_that_leads_nowhere_is_refused_in_true_words():
    class Cut(Frozen):
        def forward(self, x):
            return self.h(self.b(x).detach().mean((2, 3)))

    for layer in ("b", "b.0"):
        with pytest.raises(
            ValueError, match=r"no gradient to the logit: nothing leads .* or the model detaches"
        ):
            TCAV(Cut(Free).eval(), [layer]).score(X, 1, CONCEPTS, RANDOM)
    with pytest.raises(ValueError, match="probe must have layers that lead to target 1, got layer 'b'"):
        w = {"b": torch.ones(6, 16, 16)}
        FacetedVisualization(Half(), 1, size=16).render(w, n=1)


class Half(Frozen):
    """Its logits depend on the images, but not by way of b."""

    def __init__(self):
        super().__init__(Free)
        self.eval()

    def forward(self, x):
        self.b(x)
        return self.h(x.repeat(1, 2, 1, 1).mean((2, 3)))


@pytest.mark.parametrize("layer", ["net", "tokens", "number"])
def test_layers_that_are_no_maps_of_the_images_are_refused(layer):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Wrapped(nn.Identity(), lambda x: {"x": x})
            self.tokens = Wrapped(nn.Identity(), lambda x: x.flatten(0, 1))
            self.number = Wrapped(nn.Identity(), lambda x: (255 * x).long())
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            self.net(x), self.tokens(x), self.number(x)
            return self.head(x.mean((2, 3)))

    with pytest.raises(ValueError, match=rf"^layer must give .* from .{layer}"):
        TCAV(Odd().eval(), [layer]).score(X, 1, CONCEPTS, RANDOM)


def test_images_that_do_not_fit_and_models_that_are_none(as_shipped):
    wide, model = images(10).repeat(1, 2, 1, 1), net()
    for call, message in (
        (lambda: TCAV(model, ["b3"]).score(wide, 1, {"c": wide}, [wide, wide * 0.5]), "does not run on x of shape"),
        (lambda: TokenPushing("b3").perturb(model, wide, wide), "does not run on x of shape"),
        (lambda: TokenPushing("b3").perturb(model, X.double(), X.double()), "does not run on x"),
        (lambda: facet_score(model, wide, {"b3": torch.ones(8, 2, 2)}), "does not run on x of shape"),
        (lambda: TCAV(lambda x: x, ["b3"]), "model must be an nn.Module, .* got a function"),
        (lambda: TCAV(torch.jit.script(nn.Sequential(nn.Linear(2, 2)).eval()), ["0"]), "torch.jit module"),
        (lambda: MultiLayerPushing("b3"), "layers must be a sequence of module names, got 'b3'"),
        (lambda: label_changes(Wrapped(model, lambda z: z[:, :, None, None]).eval(), X, X), "wrap it in"),
    ):  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch.jit
            with pytest.raises(ValueError, match=message):
                call()


def test_double_and_half_precision():
    model = net(2)
    a = TCAV(copy.deepcopy(model).double(), ["b3"]).score(
        X.double(), 1, {k: v.double() for k, v in CONCEPTS.items()}, [s.double() for s in RANDOM]
    )
    b = TCAV(model, ["b3"]).score(X, 1, CONCEPTS, RANDOM)
    assert a.cells[0].mean == pytest.approx(b.cells[0].mean) and a.cells[0].state == b.cells[0].state
    c = TCAV(copy.deepcopy(model).bfloat16(), ["b3"]).score(
        X.bfloat16(), 1, {k: v.bfloat16() for k, v in CONCEPTS.items()}, [s.bfloat16() for s in RANDOM]
    )
    assert c.cells[0].cavs.vectors.dtype == torch.float32 and abs(c.cells[0].mean - b.cells[0].mean) < 0.25
    drawn = FacetedVisualization(copy.deepcopy(model).double(), 1, size=16, steps=2).render(n=1).images
    assert drawn.dtype == torch.float64


def test_white_pixels_of_a_resized_image_are_accepted():
    white = X.clone()
    white[:, :, 0] = 1 + 2.4e-7
    assert TCAV(net(), ["b3"]).score(white, 1, {"c": white}, RANDOM).cells
    for attack in ("push", "layers", "universal", "class"):
        tools = {"push": TokenPushing("b3", steps=1), "universal": UniversalPushing("b3", steps=1)}
        if attack in tools:
            p = tools[attack].perturb(net(), white, GOAL)
            assert p.x.max() <= 1 + 1e-6


def test_everything_runs_inside_inference_mode():
    model = net()
    usual = [a(model, "b3").x for a in ATTACKS.values()]
    cell = TCAV(model, ["b3"]).score(X, 1, CONCEPTS, RANDOM).cells[0]
    with torch.inference_mode():
        made = images(10, seed=7)  # an inference tensor
        assert all(torch.equal(a(model, "b3").x, b) for a, b in zip(ATTACKS.values(), usual, strict=True))
        inside = TCAV(model, ["b3"]).score(made, 1, CONCEPTS, RANDOM).cells[0]
        assert FacetedVisualization(model, 1, size=16, steps=1).render(n=1).images.shape == (1, 3, 16, 16)
    assert torch.equal(inside.scores, cell.scores)


def test_eight_threads_on_one_network_get_the_bits_of_one():
    """Other images, layers and classes in each of 200 calls; a shared tool, and tools of their own."""
    model = net(4)
    before, shared = fingerprint(model), TCAV(model, ["b2", "b3"])
    given = [(images(6, seed=10 * i), bars(8, seed=10 * i), i % 4) for i in range(8)]
    random = [images(8, seed=500 + i) for i in range(3)]
    w = facet_probe(model, ["b2"], bars(8, 4), [images(8, 5)])

    def one(i):
        x, concept, k = given[i % 8]
        tool = shared if i % 2 else TCAV(model, ["b3"])
        cells = tool.score(x, k, {"c": concept}, random, permutations=9).cells
        maps = activations(model, x, ["b2", "b4"][: 1 + i % 2])
        found = [c.scores for c in cells] + [c.cavs.vectors for c in cells] + list(maps.values())
        found += [facet_score(model, x, w), TokenPushing("b3", steps=1).perturb(model, x, concept).x]
        return found, len(copy.deepcopy(model).b3[0]._forward_hooks)

    usual = side_by_side(one, range(16), workers=1)
    assert side_by_side(one, range(200), workers=8) == Same([usual[i % 16] for i in range(200)])
    unchanged(model, before)


class Same:
    """Equal to results that have the same bits."""

    def __init__(self, expected):
        self.expected = expected

    def __eq__(self, found):
        return all(
            hooks == 0 and len(a) == len(b) and all(map(torch.equal, a, b))
            for (a, hooks), (b, _) in zip(found, self.expected, strict=True)
        )

    __hash__ = None


def test_a_network_copied_while_another_thread_runs_it_is_a_plain_copy():
    model = net(5)
    x = images(3)
    alone = activations(copy.deepcopy(model), x, ["b3"])["b3"]

    def copied(i):
        if i % 2:
            return forward_to(model, x, ["b3"])["b3"].detach()
        mine = copy.deepcopy(model)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in mine.modules())
        return activations(mine, x, ["b3"])["b3"]

    assert all(torch.equal(a, alone) for a in side_by_side(copied, range(60), workers=8))


def test_a_default_device_changes_nothing():
    """Tensors that are made inside must lie where the inputs are: under another default they would be on it."""
    model, options = net(), [{}, {"baseline": "pairs", "sets": True}, {"cav": CAV("logistic", pool=True)}]
    options += [{"cav": CAV("sgd")}, {"cav": CAV("median", seed=3)}]
    larger = {"bars": bars(20, seed=5)}
    w = facet_probe(model, ["b2"], bars(8, 4), [images(8, 5)])
    draw = FacetedVisualization(model, 1, size=16, steps=2)
    usual = [TCAV(model, ["b3"], **o).score(X, 1, larger, RANDOM).cells[0] for o in options]
    attacked, shown = [a(model, "b3").x for a in ATTACKS.values()], draw.render(w, n=1).images
    with torch.device("meta"):
        found = [TCAV(model, ["b3"], **o).score(X, 1, larger, RANDOM).cells[0] for o in options]
        again, drawn = [a(model, "b3").x for a in ATTACKS.values()], draw.render(w, n=1).images
    for a, b in zip(usual, found, strict=True):
        assert torch.equal(a.scores, b.scores) and torch.equal(a.cavs.vectors, b.cavs.vectors)
        assert a.p == b.p and str(a.p_sets) == str(b.p_sets)
    assert all(map(torch.equal, attacked, again)) and torch.equal(shown, drawn)


def test_no_double_precision_is_asked_of_another_device(monkeypatch):
    """As on MPS, which has no float64: rows move to the CPU first. The device is faked by a tensor that says so."""

    class Elsewhere(torch.Tensor):
        """A CPU tensor that refuses double precision until `.cpu()` is called."""

        @classmethod
        def __torch_function__(cls, f, types, args=(), kwargs=None):
            name = getattr(f, "__name__", "")
            if name == "cpu":
                return torch.Tensor.as_subclass(args[0], torch.Tensor)
            if name == "double" or (name == "to" and torch.float64 in args):
                raise TypeError("Cannot convert a tensor to float64 on this device")
            return super().__torch_function__(f, types, args, kwargs or {})

    rows = [torch.randn(8, 5, generator=gen(i)) for i in range(4)]
    usual = CAV().fit(rows[0], rows[1:])
    there = [r.as_subclass(Elsewhere) for r in rows]
    with pytest.raises(TypeError):
        there[0].double()
    found = CAV().fit(there[0], there[1:])
    assert torch.equal(found.vectors.cpu(), usual.vectors) and found.stability == usual.stability


def test_tokens_are_not_pooled_as_channels():
    """A transformer's layer works as it is; what would take its tokens for channels is refused."""
    torch.manual_seed(0)
    net = CompactViT(classes=3, size=28, depth=1).eval()
    layer, g = net.cam_layer, torch.Generator().manual_seed(1)
    x, towards = ((torch.rand(6, 3, 28, 28, generator=g) * 255).round() / 255 for _ in range(2))
    assert TokenPushing(layer, steps=2).perturb(net, x, towards).followed.all()
    for variant in ("cosine", "pooled"):
        with pytest.raises(ValueError, match="got tokens of shape"):
            TokenPushing(layer, variant=variant, steps=2).perturb(net, x, towards)
    sets = [torch.rand(6, 3, 28, 28, generator=g) for _ in range(3)]
    with pytest.raises(ValueError, match="got tokens of shape"):
        TCAV(net, [layer], cav=CAV(pool=True)).score(x, 1, {"one": towards}, sets, permutations=9)
