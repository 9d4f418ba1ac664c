"""Facets: the parameterisation, the facet term by hand, plain visualisation as a special case, real architectures."""

from math import nan

import pytest
import torch
from tiny import bars, fingerprint, gen, images, net, unchanged

from robustxai.concepts import CAV, FacetedVisualization, facet_probe, facet_score
from robustxai.concepts.facet_probes import fitted_to
from robustxai.concepts.fourier import COLOUR_CORRELATION, Painting, augmented

MODEL = net()
STILL = dict(jitter=0, scale=0, rotate=0)
QUICK = dict(size=16, steps=6)


def probe(model=MODEL, layers=("b2", "b3")):
    return facet_probe(model, list(layers), bars(12, 4), [images(12, 5), images(12, 60)])


def test_a_spectrum_of_zero_is_grey_and_the_transform_is_the_inverse_fft():
    p = Painting(2, 8, generator=gen())
    with torch.no_grad():
        p.spectrum.zero_()
        assert torch.equal(p.images(), torch.full((2, 3, 8, 8), 0.5))
        p.spectrum[0, 0, 0, 0, 0] = 1.0  # the constant of the first colour
        x = p.images()[0]
    value = (
        1 / 4 * COLOUR_CORRELATION[:, 0] / COLOUR_CORRELATION.norm(dim=0).max()
    )  # weight 1 / max(0, 1/8) = 8, orthonormal: / 8
    torch.testing.assert_close(x[:, 0, 0], value.sigmoid())
    assert (x - x[:, :1, :1]).abs().max() < 1e-6


def test_random_moves():
    x = images(2)
    assert augmented(x, 0, 0.0, 0.0, generator=gen()) is x
    a, b, c = (augmented(x, 2, 0.1, 10.0, generator=gen(s)) for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c) and a.shape == x.shape
    assert 0 <= a.min() and a.max() <= 1
    grey = torch.full((1, 3, 8, 8), 0.5)
    assert torch.equal(augmented(grey, 2, 0.1, 10.0, generator=gen(1)), grey)


def test_the_facet_term_by_hand():
    facet = FacetedVisualization(MODEL, 1, **QUICK)
    w, x = probe(), images(3, 9)
    unit, term = facet.terms(x, w)
    torch.testing.assert_close(unit, MODEL(x)[:, 1])
    a2 = MODEL.b2(MODEL.b1(MODEL.normalize(x))).detach().requires_grad_()
    a3 = MODEL.b3(a2)
    out = MODEL.head(MODEL.b5(MODEL.b4(a3)).mean((2, 3)))[:, 1]
    g2, g3 = torch.autograd.grad(out.sum(), (a2, a3))
    by_hand = (
        sum((a * g.relu() * v).flatten(1).sum(1) for a, g, v in ((a2, g2, w["b2"]), (a3, g3, w["b3"]))) / 2
    )
    torch.testing.assert_close(term, by_hand)
    raw = FacetedVisualization(MODEL, 1, rectify=False, **QUICK).terms(x, w)[1]
    assert not torch.allclose(raw, term)


def test_the_gradient_inside_the_facet_term_is_held_fixed():
    """With the gradient fixed, d(term)/da = ReLU(g) * w exactly: no second derivatives."""
    x = images(2, 9).requires_grad_()
    w = {"b3": probe()["b3"]}
    _, term = FacetedVisualization(MODEL, 1, **QUICK).terms(x, w)
    (whole,) = torch.autograd.grad(term.sum(), x)
    a = MODEL.b3(MODEL.b2(MODEL.b1(MODEL.normalize(x))))
    out = MODEL.head(MODEL.b5(MODEL.b4(a)).mean((2, 3)))[:, 1]
    (g,) = torch.autograd.grad(out.sum(), a, retain_graph=True)
    (by_hand,) = torch.autograd.grad(a, x, grad_outputs=g.relu() * w["b3"])
    torch.testing.assert_close(whole, by_hand)


def test_a_probe_of_zero_is_plain_feature_visualisation():
    facet = FacetedVisualization(MODEL, 1, **QUICK)
    zero = {k: torch.zeros_like(v) for k, v in probe().items()}
    plain, none, faceted = facet.render(n=2), facet.render(zero, n=2), facet.render(probe(), n=2)
    assert torch.equal(plain.images, none.images) and (none.facet == 0).all()
    assert not torch.equal(plain.images, faceted.images)
    assert torch.equal(facet.render(n=2).images, plain.images)
    assert not torch.equal(facet.render(n=2, seed=1).images, plain.images)


def test_rendering_raises_the_unit_and_the_facet():
    start = FacetedVisualization(MODEL, 1, size=16, steps=1, lr=1e-9, **STILL)
    end = FacetedVisualization(MODEL, 1, size=16, steps=40, penalty=0.0, **STILL)
    w = probe()
    assert (end.render(n=3).activation > start.render(n=3).activation).all()
    assert (end.render(w, n=3).facet > start.render(w, n=3).facet).all()
    steered, plain = end.render(w, n=3).images, end.render(n=3).images
    facet = FacetedVisualization(MODEL, 1, **QUICK)
    assert facet.terms(steered, w)[1].mean() > facet.terms(plain, w)[1].mean()


def test_a_channel_can_be_the_unit_and_the_model_is_left_as_found():
    model = net(2)
    before = fingerprint(model)
    end = FacetedVisualization(model, 3, layer="b4", **QUICK).render({"b2": probe()["b2"]}, n=2)
    assert end.images.shape == (2, 3, 16, 16) and end.activation.shape == (2,)
    assert 0 <= end.images.min() and end.images.max() <= 1
    unchanged(model, before)


def test_probes_are_unit_maps_that_tell_the_theme_and_fit_other_sizes():
    w = probe()
    assert w["b2"].shape == (6, 4, 4) and float(w["b2"].norm()) == pytest.approx(1, abs=1e-5)
    assert fitted_to(w["b2"], torch.zeros(1, 6, 7, 7)).shape == (1, 6, 7, 7)
    assert FacetedVisualization(MODEL, 0, size=32, steps=2).render(w, n=1).images.shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match="pools positions"):
        facet_probe(MODEL, ["b2"], bars(12), [images(12)], cav=CAV(pool=True))


@pytest.mark.parametrize("name, layer", [("googlenet", "inception3a"), ("squeezenet1_1", "features.5")])
def test_torchvision_models(name, layer):
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = dict(init_weights=False) if name == "googlenet" else {}
        model = torchvision.models.get_model(name, weights=None, num_classes=5, **options).eval()
    w = facet_probe(model, [layer], bars(6, size=64), [images(6, size=64)])
    end = FacetedVisualization(model, 2, size=64, steps=1).render(w, n=1)
    assert end.images.isfinite().all() and end.facet.isfinite().all()


def test_bad_input(as_shipped):
    faceted = FacetedVisualization(MODEL, 0, **QUICK)
    for call, message in (
        (lambda: FacetedVisualization(MODEL, 0, steps=0), "steps must be an integer >= 1, got 0"),
        (lambda: FacetedVisualization(MODEL, 0, size=3), "size must be an integer >= 4, got 3"),
        (
            lambda: FacetedVisualization(MODEL, 0, strength=-1),
            "strength must be a finite number >= 0, got -1",
        ),
        (lambda: FacetedVisualization(MODEL, 0, layer="b9"), "b9"),
        (lambda: FacetedVisualization(net().train(), 0), "training mode"),
        (
            lambda: FacetedVisualization(MODEL, 9, **QUICK).render(n=1),
            r"target must be a class in \[0, 3\], got 9",
        ),
        (lambda: FacetedVisualization(MODEL, 0, **QUICK).render({"b9": torch.zeros(1)}), "b9"),
        (
            lambda: facet_probe(MODEL, ["b2"], bars(3), [images(3)]),
            r"sets must have 5 examples or more each \(50 are usual\), got 3 in the smallest",
        ),
        (
            lambda: facet_probe(MODEL, ["b2"], bars(12), []),
            "generic must hold 1 or more sets of images, got 0",
        ),
        (
            lambda: facet_probe(MODEL, ["b2"], bars(12), [images(12), images(12) * nan]),
            r"generic set 1 must be finite images in \[0, 1\], got NaN or infinite numbers",
        ),
        (
            lambda: facet_probe(MODEL, ["b2"], bars(12), [images(12, size=32)]),
            r"generic set 0 and theme must have images of one size, got shapes \(3, 32, 32\) and \(3,",
        ),
        (
            lambda: facet_probe(MODEL, ["b2"], bars(1).expand(9, -1, -1, -1), [images(9)]),
            r"theme at layer 'b2' must be different images with a layer .*, got the same activations for all",
        ),
        (lambda: faceted.render({}, n=1), "probe must be weights by layer, or None for no facet, got none"),
        (lambda: faceted.render(n=0), "n must be an integer >= 1, got 0"),
        (
            lambda: faceted.render({"b2": torch.ones(6, 4)}, n=1),
            r"probe at layer 'b2' must be finite weights \(channels, .*, got shape \(6, 4\) and dtype",
        ),
        (lambda: faceted.render({"b2": torch.full((6, 4, 4), nan)}, n=1), "not finite"),
        (
            lambda: faceted.render({"b2": torch.ones(5, 4, 4)}, n=1),
            r"probe must have as many channels as its layer, which gives .*, got weights \(5, 4, 4\)",
        ),
        (
            lambda: facet_score(MODEL, images(2), {}),
            "probe must be weights by layer, or None for no facet, got none",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
