"""Geodesics with known answers, budgets, the released algorithm, and what bad decoders do."""

import math

import pytest
import torch
from curved import blob, blob_pairs, generator, polar, sphere

from robustxai.explainers.decoder import decode
from robustxai.manifold_ig import sine_curves
from robustxai.manifold_ig.geodesic import EVEN, at_constant_speed, geodesic
from robustxai.manifold_ig.lbfgs import minimise
from robustxai.manifold_ig.pullback_metric import (
    curve_bounds,
    curve_energy,
    energy_gradient,
    largest_eigenvalue,
    norms,
)
from robustxai.manifold_ig.released_solver import (
    released_geodesic,
    released_geodesic_reference,
    released_line,
)


def codes(seed, n=4):
    return torch.randn(n, 6, generator=generator(seed))


def test_an_affine_decoder_has_straight_geodesics():  # T4
    w, b = torch.randn(7, 3, generator=generator()), torch.randn(7, generator=generator(1))
    z0, z1 = torch.randn(2, 5, 3, generator=generator(2))
    path = geodesic(lambda z: z @ w.T + b, z0, z1, 11)
    torch.testing.assert_close(path.latents, sine_curves.line(z0, z1, 11), rtol=0, atol=1e-5)
    assert path.converged.all() and path.finite.all() and (path.bend < 1e-5).all()


def test_polar_coordinates_have_straight_chords():  # T5
    path = geodesic(polar, torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, math.pi / 2]]))
    assert float(path.trace[0]) == pytest.approx(math.pi**2 / 8, rel=1e-3)
    assert float(path.energy) == pytest.approx(1.0, abs=1e-4)
    straight = torch.lerp(
        torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.linspace(0, 1, 21)[:, None]
    )
    torch.testing.assert_close(path.images[:, 0], straight, rtol=0, atol=2e-3)


def test_on_the_sphere_geodesics_are_great_circles():  # T6
    z0, z1 = torch.tensor([[1.0, 0.0], [0.7, 0.0]]), torch.tensor([[1.0, 1.5], [0.7, 2.5]])
    path = geodesic(sphere, z0, z1, 51)
    angle = torch.acos((sphere(z0) * sphere(z1)).sum(1))
    assert (path.length <= angle + 1e-5).all() and (path.length > angle - 1e-3).all()
    assert (path.trace[0] > 1.1 * path.energy).all(), "the parallel is longer"
    normal = torch.linalg.cross(sphere(z0), sphere(z1))
    off = (path.images * (normal / normal.norm(dim=1, keepdim=True))).sum(2)
    assert off.abs().max() < 2e-3, "all points in the plane of the great circle"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_energy_bounds_and_ends(seed, decoder):  # T2, T3, T12
    for function, (z0, z1) in ((blob, blob_pairs(6, seed)), (decoder, (codes(seed, 6), codes(seed + 9, 6)))):
        path = geodesic(function, z0, z1)
        energy, half_length, half_chord = curve_bounds(path.images)
        torch.testing.assert_close(path.energy, energy)
        line = curve_energy(sine_curves.line(z0, z1, 21), decoder=function)
        assert (path.energy <= line * (1 + 1e-6)).all()
        assert (energy >= half_length * (1 - 1e-5)).all() and (half_length >= half_chord * (1 - 1e-5)).all()
        assert (path.speed_variation < 0.07).all()
        assert torch.equal(path.latents[0], z0) and torch.equal(path.latents[-1], z1)
        assert torch.equal(path.images[0], function(z0)) and torch.equal(path.images[-1], function(z1))
        assert (path.trace.diff(dim=0) <= 0).all() and path.finite.all()
        assert not path.images.requires_grad and not path.latents.requires_grad


def test_ten_evaluations_beat_three_hundred_released_sweeps():  # T10
    z0, z1 = blob_pairs(6, 5)
    start = released_line(z0, z1, 12)
    top = torch.stack([largest_eigenvalue(blob, point, iterations=15) for point in start]).amax()
    step = 0.9 / (12 * 2 * float(top))
    slow = released_geodesic_reference(blob, z0, z1, nodes=12, step=step, epsilon=0, sweeps=300)
    assert (slow.trace.diff(dim=0) <= 1e-5 * slow.trace[0]).all(), "a stable step goes down"
    fast = geodesic(blob, start[0], start[-1], 12, evaluations=10)
    assert (fast.energy <= slow.trace[-1]).float().mean() >= 0.8


def test_a_batch_gives_what_single_images_give(decoder):
    z0, z1 = codes(0), codes(1)
    together = geodesic(decoder, z0, z1, 11, evaluations=15, tolerance=0)
    for i in range(len(z0)):
        alone = geodesic(decoder, z0[i : i + 1], z1[i : i + 1], 11, evaluations=15, tolerance=0)
        torch.testing.assert_close(alone.energy[0], together.energy[i], rtol=1e-5, atol=0)
        torch.testing.assert_close(alone.images[:, 0], together.images[:, i], rtol=0, atol=1e-3)
    small = geodesic(decoder, z0, z1, 11, evaluations=15, tolerance=0, batch_size=10)
    torch.testing.assert_close(small.energy, together.energy, rtol=1e-5, atol=0)
    again = geodesic(decoder, z0, z1, 11, evaluations=15, tolerance=0)
    assert torch.equal(again.latents, together.latents)


def test_codes_of_any_shape(decoder):
    z0, z1 = codes(0), codes(1)
    folded = geodesic(lambda z: decoder(z.flatten(1)), z0.reshape(4, 2, 3, 1), z1.reshape(4, 2, 3, 1), 7)
    flat = geodesic(decoder, z0, z1, 7)
    assert folded.latents.shape == (7, 4, 2, 3, 1) and folded.images.shape == (7, 4, 3, 8, 8)
    torch.testing.assert_close(folded.energy, flat.energy)


def test_a_warm_start_needs_fewer_evaluations_and_never_hurts():
    z0, z1 = blob_pairs(6, 3)
    near = z1 + 0.02 * torch.randn(z1.shape, generator=generator(1))
    first = geodesic(blob, z0, z1, evaluations=60)
    cold, warm = (geodesic(blob, z0, near, evaluations=3, start=s) for s in (None, first))
    assert (warm.energy < cold.energy).all() and warm.energy.mean() < 0.9 * cold.energy.mean()
    assert torch.equal(warm.latents[-1], near)
    wild = first.latents + torch.randn(first.latents.shape, generator=generator(2))
    assert (geodesic(blob, z0, near, evaluations=3, start=wild).energy <= cold.energy * (1 + 1e-6)).all()


def test_a_coarse_curve_first_helps_the_fine_one():
    z0, z1 = blob_pairs(6, 4)
    plain = geodesic(blob, z0, z1, 41, evaluations=4)
    helped = geodesic(blob, z0, z1, 41, evaluations=4, coarse=8)
    assert helped.energy.mean() < plain.energy.mean() and helped.latents.shape == plain.latents.shape
    cheap = geodesic(blob, z0, z1, 41, evaluations=20, coarse=8, polish=0)
    assert cheap.energy.mean() < plain.energy.mean() and cheap.latents.shape == plain.latents.shape
    assert torch.equal(cheap.latents[-1], z1) and len(cheap.trace) == 21


def test_constant_speed_lowers_the_energy_and_keeps_the_curve():
    t = torch.linspace(0, 1, 40) ** 3
    z0, z1 = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.5]])
    raw = geodesic(polar, z0, z1, 40, evaluations=0, constant_speed=False)
    uneven = raw.latents[:1] + t.view(-1, 1, 1) * (raw.latents[-1] - raw.latents[0])
    images = decode(polar, uneven)
    path = type(raw)(uneven, images, curve_energy(images), raw.length, raw.trace, raw.converged, raw.finite)
    even = at_constant_speed(polar, path)
    assert float(path.speed_variation) > 0.5 and float(even.speed_variation) < 0.01
    assert float(even.energy) == pytest.approx(1.5**2 / 2, rel=1e-3)
    torch.testing.assert_close(even.images.norm(dim=2), torch.ones(40, 1))


def test_a_curve_that_is_even_stays_as_it_is_whatever_lies_beside_it():
    """In float64, so that nothing but the rule can tell a batch from single curves."""
    z0, z1 = (z.double() for z in blob_pairs(8, 2))
    path = geodesic(blob, z0, z1, 11, evaluations=12, tolerance=0, constant_speed=False)
    even = path.energy <= (1 + EVEN) * path.length.square() / 2
    assert even.any() and not even.all()
    together = at_constant_speed(blob, path)
    assert torch.equal(together.latents[:, even], path.latents[:, even])
    assert (together.energy <= path.energy).all() and (together.energy < path.energy).sum() >= 4
    whole = geodesic(blob, z0, z1, 11, evaluations=12, tolerance=0)
    for i in range(8):
        alone = geodesic(blob, z0[i : i + 1], z1[i : i + 1], 11, evaluations=12, tolerance=0)
        torch.testing.assert_close(alone.images[:, 0], whole.images[:, i], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(alone.energy[0], whole.energy[i], rtol=1e-10, atol=0)


def test_a_penalty_moves_the_curve_away():
    z0, z1 = torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 0.01]])
    wall = lambda z: torch.exp(-z.square().sum(1) / 0.1)  # noqa: E731
    free = geodesic(lambda z: z, z0, z1)
    around = geodesic(lambda z: z, z0, z1, penalty=wall, weight=3.0)
    assert norms(free.latents[10])[0] < 0.02 < 0.15 < norms(around.latents[:, 0]).min()
    assert free.energy < around.energy


def test_the_released_mode_is_the_released_algorithm(decoder):
    z0, z1 = codes(0, 2), codes(1, 2)
    path = geodesic(decoder, z0, z1, 6, mode="released", step=1e-3, epsilon=0.0, sweeps=3)
    nodes = [z0 + i / 6 * (z1 - z0) for i in range(6)]
    for _ in range(3):
        for i in range(1, 5):
            gradient = energy_gradient(decoder, torch.stack(nodes[i - 1 : i + 2]))[0] * (6 / 2)
            nodes[i] = nodes[i] - 1e-3 * gradient
    torch.testing.assert_close(path.latents, torch.stack(nodes), rtol=0, atol=1e-5)
    torch.testing.assert_close(path.latents[-1], torch.lerp(z0, z1, 5 / 6))
    assert not torch.equal(path.latents[-1], z1), "the released path stops short"
    assert path.trace.shape == (4, 2) and not path.converged.any()
    stopped = geodesic(decoder, z0, z1, 6, mode="released", epsilon=1e9)
    assert stopped.converged.all() and torch.equal(stopped.latents, released_line(z0, z1, 6))


def test_energies_that_are_not_finite_are_flagged_and_the_last_finite_path_comes_back(decoder):
    z0, z1 = codes(0, 2), codes(1, 2)
    wild = geodesic(decoder, z0, z1, 6, mode="released", step=1e30, epsilon=0.0, sweeps=4)
    assert wild.latents.isfinite().all()
    hole = lambda z: torch.where(z[:, :1] > 5, torch.nan, decoder(z).flatten(1))  # noqa: E731
    broken = z1 + torch.tensor([[0.0], [9.0]])
    path = geodesic(hole, z0, broken, 6)
    assert path.finite.tolist() == [True, False] and path.latents.isfinite().all()
    torch.testing.assert_close(path.latents[:, 1], sine_curves.line(z0, broken, 6)[:, 1])
    torch.testing.assert_close(path.energy[:1], geodesic(hole, z0[:1], z1[:1], 6).energy)


def test_the_decoder_is_left_as_it_was(decoder):
    before = {k: v.clone() for k, v in decoder.state_dict().items()}
    z0 = codes(0).requires_grad_()
    geodesic(decoder, z0, codes(1), 5)
    assert all(torch.equal(v, before[k]) for k, v in decoder.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in decoder.parameters()) and z0.grad is None
    assert not decoder.training and not decoder._forward_hooks


def test_lbfgs_solves_quadratic_problems_of_different_scale_side_by_side():
    scale = torch.logspace(-3, 3, 5)[:, None]
    diagonal = torch.logspace(0, 3, 12)
    goal = torch.randn(5, 12, generator=generator())

    def evaluate(x, rows):
        off = x - goal[rows]
        return (scale[rows] * diagonal * off.square()).sum(1), 2 * scale[rows] * diagonal * off

    best = minimise(evaluate, torch.zeros(5, 12), evaluations=60, first_step=torch.ones(5), tolerance=1e-9)
    assert (best.value < 1e-4 * best.trace[0]).all() and best.finite.all()
    torch.testing.assert_close(best.x, goal, rtol=0, atol=0.05)


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            dict(z1=torch.ones(2, 3)),
            r"z0 and z1 must have one shape \(n, \.\.\.\), got \(2, 2\) and \(2, 3\)",
        ),
        (dict(z1=torch.zeros(2, 2)), "z0 and z1 must be two different ends, got equal ones in row 0"),
        (dict(n_points=1), "n_points must be an integer >= 2 in mode 'fast', got 1"),
        (dict(n_points=2, mode="released"), "n_points must be an integer >= 3 in mode 'released', got 2"),
        (dict(mode="slow"), "mode must be one of fast, released, got 'slow'"),
        (dict(evaluations=-1), "evaluations must be an integer >= 0 and modes None or >= 1, got -1 and None"),
        (dict(z1=torch.full((2, 2), math.nan)), "z0 and z1 must be finite codes, got NaN"),
        (dict(decoder=torch.nn.BatchNorm1d(2)), "decoder must be in eval mode, got training mode"),
        (dict(decoder=lambda z: z.sum()), "decoder must give one image a code, got tensor"),
        (dict(n_points=5.5), "n_points must be an integer >= 2 in mode 'fast', got 5.5"),
        (
            dict(z0=torch.zeros(2, 2).int(), z1=torch.ones(2, 2).int()),
            r"z0 and z1 must have one floating dtype, got torch\.int32 and torch\.int32",
        ),
        (
            dict(z1=torch.ones(2, 2).double()),
            "must have one floating dtype, got torch.float32 and torch.float64",
        ),
        (
            dict(start=torch.zeros(5, 2, 3)),
            r"start must be floats \(points, 2, 2\), .* got shape \(5, 2, 3\)",
        ),
        (
            dict(start=torch.zeros(1, 2, 2)),
            r"start must be floats \(points, 2, 2\), 2 points or more, got shape \(1, 2, 2\) and dtype",
        ),
        (
            dict(start=torch.zeros(5, 2, 2).int()),
            r"start must be floats \(points, 2, 2\), 2 points or more, got shape \(5, 2, 2\) and dtype",
        ),
        (
            dict(penalty=lambda z: z),
            r"penalty must give \(2,\), one number a code, got shape \(2, 2\)",
        ),
        (dict(penalty=lambda z: 1.0), r"penalty must give \(2,\), one number a code, got 1.0"),
        (dict(history=0), "history must be an integer >= 1, got 0"),
        (dict(batch_size=-1), "batch_size must be an integer >= 1, got -1"),
        (dict(coarse=4, polish=-3), "polish must be an integer >= 0, got -3"),
        (dict(coarse=2), "coarse must be an integer >= 3, got 2"),
        (dict(coarse=2.5), "coarse must be an integer >= 3, got 2.5"),
        (dict(modes=0), "evaluations must be an integer >= 0 and modes None or >= 1, got 40 and 0"),
        (dict(tolerance=-1e-3), "tolerance must be a finite number >= 0, got -0.001"),
        (dict(weight=math.nan), "weight must be a finite number .* got nan"),
        (dict(mode="released", sweeps=-1, epsilon=0), "sweeps must be an integer >= 0, got -1"),
        (dict(mode="released", step=0.0), "step must be a finite number > 0, got 0.0"),
        (dict(mode="released", epsilon=-1.0), "epsilon must be a finite number >= 0, got -1.0"),
    ],
)
def test_bad_input_is_one_sentence(change, words):
    arguments = dict(decoder=lambda z: z, z0=torch.zeros(2, 2), z1=torch.ones(2, 2), n_points=5) | change
    with pytest.raises(ValueError, match=words) as caught:
        geodesic(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(sweeps=-1, epsilon=0), "sweeps must be an integer >= 0, got -1"),
        (dict(sweeps=2.5), r"sweeps must be an integer >= 0, got 2\.5"),
        (dict(step=math.inf), "step must be a finite number > 0, got inf"),
        (dict(epsilon=-1), "epsilon must be a finite number >= 0, got -1"),
        (dict(nodes=2), "nodes must be an integer >= 3, got 2"),
    ],
)
def test_the_released_algorithm_refuses_what_would_not_end(change, words):
    with pytest.raises(ValueError, match=words):
        released_geodesic_reference(lambda z: z, torch.zeros(2, 2), torch.ones(2, 2), **change)


def test_even_rounds_are_counted():
    path = geodesic(polar, torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.5]]), 6, evaluations=2)
    with pytest.raises(ValueError, match="rounds must be an integer >= 0, got -1"):
        at_constant_speed(polar, path, rounds=-1)


@pytest.mark.parametrize("epsilon", [0, 0.05])
def test_the_released_algorithm_decodes_less_and_gives_the_same(epsilon):
    z0, z1 = (torch.randn(3, 4, generator=generator(k), dtype=torch.float64) for k in (0, 1))
    z1[2] = z0[2] + 1e-3  # stops early, where there is a rule
    calls = []

    def counted(z):
        calls.append(len(z))
        return blob(z)

    options = dict(nodes=7, step=1e-3, epsilon=epsilon, sweeps=4)
    found = []
    for solve in (released_geodesic_reference, released_geodesic):
        calls.clear()
        found.append((solve(counted, z0, z1, **options), sum(calls)))
    (slow, many), (fast, few) = found
    for name in ("latents", "trace"):
        torch.testing.assert_close(getattr(fast, name), getattr(slow, name), rtol=1e-9, atol=1e-12)
    assert torch.equal(fast.converged, slow.converged) and fast.sweeps == slow.sweeps
    assert not torch.equal(slow.latents, released_line(z0, z1, 7)) and few < 0.6 * many
    assert fast.converged[2] if epsilon else not fast.converged.any()


def test_a_curve_that_leaves_the_numbers_stays_where_it_was():
    def cliff(z):
        return torch.where(z.abs() > 3, torch.inf, 1.0) * z.square()

    z0, z1 = torch.tensor([[1.0], [0.1]]), torch.tensor([[2.5], [0.2]])
    for solve in (released_geodesic_reference, released_geodesic):
        found = solve(cliff, z0, z1, nodes=4, step=0.2, epsilon=0, sweeps=3)
        assert found.finite.tolist() == [False, True] and found.latents.isfinite().all()
