"""Path diagnostics and the distance to a manifold that is known: closed forms, upper estimates, bad input."""

import pytest
import torch
from curved import generator

from robustxai.data.scenes import FactorSpec, portraits
from robustxai.manifold_ig import (
    BlurIG,
    IntegratedGradients,
    LatentPathIG,
    ManifoldIG,
    autoencoder_residual,
    curve_ratios,
    decode,
    gradient_noise,
    nearest_distance,
    path_of,
    straight,
)
from robustxai.manifold_ig.known_manifold import (
    MENAGERIE_MANIFOLD,
    PORTRAIT_MANIFOLD,
    KnownManifold,
    _Search,
    manifold_distance,
    nearest_on_manifold,
)


def images(n=4, seed=4):
    return torch.rand(n, 3, 8, 8, generator=generator(seed))


def bar(factors, size):
    """A bright bar (orientation: 0 lies, 1 stands) at a place, of a brightness; smooth in the last two."""
    axis = torch.linspace(-1, 1, size, dtype=factors.dtype)
    profile = torch.exp(-(((axis - factors[:, 1:2]) / 0.3) ** 2)) * factors[:, 2:3]
    stands = (factors[:, 0] > 0.5)[:, None, None]
    wide = profile[:, None, :].expand(-1, size, -1)
    return torch.where(stands, wide, wide.mT)[:, None]


BARS = KnownManifold(
    bar,
    (
        FactorSpec("stands", 0, 1, "discrete", "orientation"),
        FactorSpec("place", -0.8, 0.8, "continuous", "where"),
        FactorSpec("light", 0.5, 1.5, "continuous", "brightness"),
    ),
)


def test_images_of_the_manifold_are_at_distance_0_and_their_factors_come_back():
    f = BARS.sample(20, generator=generator(5))
    found = nearest_on_manifold(bar(f, 12), BARS, library=30)
    assert found.distance.max() < 2e-2
    torch.testing.assert_close(found.factors, f, atol=2e-2, rtol=0)
    torch.testing.assert_close(found.images, bar(found.factors, 12))


def test_the_distance_of_images_off_the_manifold_is_known():
    """Twice the brightest bar: the nearest is the brightest, and the distance is its norm."""
    f = torch.tensor([[1.0, 0.0, 1.5], [0.0, 0.3, 1.5]])
    found = nearest_on_manifold(2 * bar(f, 12), BARS, library=50)
    torch.testing.assert_close(found.distance, bar(f, 12).flatten(1).norm(dim=1), rtol=1e-2, atol=0)
    assert ((found.factors[:, 2] <= 1.5) & (found.factors[:, 1].abs() <= 0.8)).all()


def test_it_is_an_upper_estimate_that_hints_and_effort_lower():
    f = BARS.sample(12, generator=generator(6))
    x = bar(f, 12) + 0.05 * torch.randn(12, 1, 12, 12, generator=generator(7))
    true = (x - bar(f, 12)).flatten(1).norm(dim=1)
    good = nearest_on_manifold(x, BARS, library=40, evaluations=60)
    poor = nearest_on_manifold(x, BARS, library=2, starts=1, evaluations=1)
    hinted = nearest_on_manifold(x, BARS, library=1, starts=1, evaluations=1, hints=f)
    assert (good.distance <= true * 1.01).all() and (hinted.distance <= true * 1.0001).all()
    assert poor.distance.mean() > 1.2 * good.distance.mean()
    for found in (good, poor):
        torch.testing.assert_close(found.distance, (x - found.images).flatten(1).norm(dim=1))


def test_a_wrong_discrete_factor_is_mended():
    f = BARS.sample(9, generator=generator(5))
    wrong = f.clone()
    wrong[:, 0] = 1 - wrong[:, 0]
    assert torch.equal(_Search(BARS, bar(f, 12), 12).switch(wrong), f)
    found = nearest_on_manifold(
        bar(f, 12), BARS, library=1, starts=1, hints=wrong + torch.tensor([0, 0.05, 0.1])
    )
    assert found.distance.median() < 2e-2


def test_straight_paths_leave_the_manifold_and_paths_of_factors_do_not():
    f = torch.tensor([[[1.0, -0.7, 1.0]], [[1.0, 0.7, 1.0]]])
    ends = bar(f.flatten(0, 1), 12)
    line = straight(ends[:1], ends[1:], 5)
    along = torch.stack([bar(torch.lerp(f[0], f[1], t), 12) for t in (0.0, 0.25, 0.5, 0.75, 1.0)])
    off, on = (manifold_distance(path, BARS, library=60) for path in (line, along))
    assert off.shape == (5, 1) and on.max() < 2e-2
    assert off[2] > 1 and off[[0, -1]].max() < 2e-2


def test_drawn_faces_are_found():
    faces = portraits(2, size=24, generator=generator(8))
    size = faces.images.flatten(1).norm(dim=1)
    found = nearest_on_manifold(
        faces.images, PORTRAIT_MANIFOLD, library=200, starts=1, evaluations=30, fit_size=12
    )
    noise = torch.rand(1, 3, 24, 24, generator=generator(9))
    far = nearest_on_manifold(noise, PORTRAIT_MANIFOLD, library=50, starts=1, evaluations=3)
    assert (found.distance < 0.12 * size).all() and far.distance > 0.35 * size.min()
    animals = MENAGERIE_MANIFOLD.sample(2, generator=generator())
    assert MENAGERIE_MANIFOLD.render(animals, 16).shape == (2, 3, 16, 16)


def test_a_path_is_judged_as_its_images_are(classifier, encoder, decoder):
    path = straight(images(), images(seed=5), 4)
    autoencoder = lambda v: decoder(encoder(v))  # noqa: E731
    residual = autoencoder_residual(path, autoencoder, batch_size=3)
    nearest = nearest_distance(path, images(9, seed=6))
    for p in range(4):
        torch.testing.assert_close(
            residual[p], (path[p] - autoencoder(path[p])).detach().flatten(1).norm(dim=1)
        )
        every = (path[p][:, None] - images(9, seed=6)).flatten(2).norm(dim=2)
        torch.testing.assert_close(nearest[p], every.amin(1), rtol=1e-3, atol=1e-3)
    assert autoencoder_residual(path, lambda v: v).max() == 0 and not residual.requires_grad


def test_gradient_noise_of_a_quadratic_has_a_closed_form():
    """F(y) = |y|^2 / 2: the gradient is y, so that the noise of a circle is 1 - cos of its steps."""
    angle = torch.linspace(0, 1.2, 7).double()
    path = torch.stack((angle.cos(), angle.sin()), 1)[:, None].repeat(1, 2, 1)
    model = lambda v: torch.stack((v.square().sum(1) / 2, v[:, 0]), 1)  # noqa: E731
    noise = gradient_noise(model, path, torch.tensor([0, 1]))
    torch.testing.assert_close(noise, torch.tensor([1 - torch.tensor(0.2).double().cos(), 0.0]).double())
    torch.testing.assert_close(gradient_noise(model, path, torch.tensor([0, 1]), batch_size=3), noise)
    assert gradient_noise(lambda v: 0 * v, path, torch.tensor([0, 1])).isnan().all()


def test_curve_ratios(decoder, encoder):
    z0, z1 = encoder(images()), encoder(images(seed=5))
    line = decode(decoder, straight(z0, z1, 9)).detach()
    same = curve_ratios(line, line)
    torch.testing.assert_close(same.energy, torch.ones(4))
    torch.testing.assert_close(same.length, torch.ones(4))
    chord = straight(line[0], line[-1], 9)
    direct = curve_ratios(chord, line)
    torch.testing.assert_close(direct.bound, torch.ones(4))
    torch.testing.assert_close(direct.energy, same.bound)
    assert (direct.length < 1).all() and (same.bound < 1).all()


def test_the_path_of_a_method_is_the_one_it_integrates_along(classifier, encoder, decoder):
    x, start = images(), torch.zeros(4, 3, 8, 8)
    options = dict(n_steps=6)
    parts = (classifier, encoder, decoder)
    for method, points in (
        (IntegratedGradients(classifier, **options), 7),
        (IntegratedGradients(*parts, **options), 7),
        (LatentPathIG(*parts, **options), 7),
        (LatentPathIG(*parts, endpoint="bridge", bridge_points=2, **options), 11),
        (ManifoldIG(*parts, evaluations=5, **options), 7),
        (ManifoldIG.released(*parts, solver=dict(step=1e-3, epsilon=0.0)), 20),
    ):
        path, result = path_of(method, x, start), method.explain(x, 1)
        assert path.shape == (points, 4, 3, 8, 8) and not path.requires_grad
        torch.testing.assert_close(path[[0, -1]], result.ends, rtol=1e-4, atol=1e-4)
        if result.geodesic is not None:
            torch.testing.assert_close(path, result.geodesic.images)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda m: nearest_on_manifold(torch.zeros(1, 1, 4, 5), BARS),
            r"images must be square and finite, got shape \(1, 1, 4, 5\) with 0 values",
        ),
        (
            lambda m: nearest_on_manifold(torch.full((1, 1, 4, 4), torch.nan), BARS),
            r"images must be square and finite, got shape \(1, 1, 4, 4\) with 16 values",
        ),
        (
            lambda m: nearest_on_manifold(torch.zeros(1, 1, 4, 4), BARS, starts=0),
            r"library, starts and evaluations must be integers >= 1 and .*, got 1000, 0, 60 and None",
        ),
        (
            lambda m: nearest_on_manifold(torch.zeros(1, 1, 4, 4), BARS, fit_size=8),
            "None or 1 to the image's side",
        ),
        (
            lambda m: gradient_noise(m, images()[:1, None], torch.tensor([0])),
            "path must be paths of 2 points or more, got 1 point",
        ),
        (lambda m: path_of(BlurIG(m), images(), images()), "method must be one of .* got BlurIG"),
    ],
)
def test_bad_input(call, words, classifier, as_shipped):
    with pytest.raises(ValueError, match=words):
        call(classifier)
