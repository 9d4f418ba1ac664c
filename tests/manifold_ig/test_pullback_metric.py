"""The pull-back metric against dense Jacobians, the energy against autograd, and its bounds."""

import pytest
import torch
from curved import blob, blob_pairs, generator, polar
from torch.func import jacrev, vmap

from robustxai.explainers.decoder import decode
from robustxai.manifold_ig import sine_curves
from robustxai.manifold_ig.pullback_metric import (
    curve_bounds,
    curve_energy,
    curve_length,
    dense_metric,
    encoder_direction,
    energy_gradient,
    largest_eigenvalue,
    metric_product,
    pull,
    push,
    speed_variation,
)


def jacobian(decoder, z):
    """J per code, (n, pixels, d), one code at a time."""
    return torch.stack([jacrev(lambda one: decoder(one[None])[0])(row).flatten(0, -2) for row in z])


def test_operators_equal_the_dense_jacobian(decoder):
    z, u = torch.randn(2, 3, 6, generator=generator())
    v = torch.randn(3, 3, 8, 8, generator=generator(1))
    j = jacobian(decoder, z).detach()
    close = lambda a, b: torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)  # noqa: E731
    close(push(decoder, z, u).flatten(1), torch.einsum("npd,nd->np", j, u))
    close(pull(decoder, z, v), torch.einsum("npd,np->nd", j, v.flatten(1)))
    g = torch.einsum("npa,npb->nab", j, j)
    close(metric_product(decoder, z, u), torch.einsum("nab,nb->na", g, u))
    for batch_size in (1, 7, 256):
        close(dense_metric(decoder, z, batch_size=batch_size).detach(), g)
    close(largest_eigenvalue(decoder, z, iterations=100), torch.linalg.eigvalsh(g)[:, -1])


def test_metric_of_polar_coordinates_is_known():
    z = torch.tensor([[2.0, 0.3], [0.5, -1.0]])
    torch.testing.assert_close(dense_metric(polar, z), torch.diag_embed(torch.tensor([[1, 4], [1, 0.25]])))


def test_gradient_of_the_energy_equals_autograd(decoder):  # T1
    latents = torch.randn(9, 2, 6, generator=generator(), dtype=torch.float64)
    double = lambda z: blob(z[:, :4]) if z.shape[1] > 4 else blob(z)  # noqa: E731
    for function, z in ((double, latents), (decoder, latents.float())):
        z = z.clone().requires_grad_()
        exact = torch.autograd.grad(curve_energy(z, decoder=function).sum(), z)[0][1:-1]
        ours = energy_gradient(function, z.detach())
        assert (ours - exact).norm() < 1e-5 * exact.norm()


def test_encoder_direction_is_the_gradient_when_the_encoder_is_the_transposed_decoder():
    w = torch.randn(5, 3, generator=generator())
    latents = torch.randn(7, 2, 3, generator=generator(1))
    ours = encoder_direction(lambda z: z @ w.T, lambda x: x @ w, latents)
    torch.testing.assert_close(ours, energy_gradient(lambda z: z @ w.T, latents))


def test_energy_of_a_quarter_circle():
    angle = torch.linspace(0, torch.pi / 2, 201, dtype=torch.float64)
    arc = torch.stack((angle.cos(), angle.sin()), 1)[:, None]
    energy, half_length, half_chord = (float(b) for b in curve_bounds(arc))
    assert energy == pytest.approx(torch.pi**2 / 8, rel=1e-4)
    assert half_length == pytest.approx(energy, rel=1e-6), "constant speed"
    assert half_chord == pytest.approx(1.0)
    assert float(curve_length(arc)) == pytest.approx(torch.pi / 2, rel=1e-4)
    assert float(speed_variation(arc)) < 1e-6


@pytest.mark.parametrize("points", [2, 3, 17])
def test_energy_is_never_below_its_bounds(points):  # T2
    for seed in range(20):
        curve = torch.randn(points, 5, 3, 4, generator=generator(seed))
        energy, half_length, half_chord = curve_bounds(curve)
        assert (energy >= half_length * (1 - 1e-5)).all() and (half_length >= half_chord * (1 - 1e-5)).all()
        if points == 2:
            torch.testing.assert_close(energy, half_chord)


def test_decoding_in_parts_gives_the_same_images():
    z0, z1 = blob_pairs(3)
    latents = sine_curves.line(z0, z1, 6)
    torch.testing.assert_close(decode(blob, latents, batch_size=4), decode(blob, latents))
    assert torch.equal(vmap(lambda z: decode(blob, z[:, None])[:, 0], 1, 1)(latents), decode(blob, latents))


def test_coefficients_and_curve_are_inverse_and_the_ends_exact():
    latents = torch.randn(9, 3, 2, 4, generator=generator(), dtype=torch.float64)
    again = sine_curves.curve(sine_curves.sine_coefficients(latents, 7), latents[0], latents[-1], 9)
    torch.testing.assert_close(again, latents)
    assert torch.equal(again[0], latents[0]) and torch.equal(again[-1], latents[-1])
    few = sine_curves.curve(sine_curves.sine_coefficients(latents, 3), latents[0], latents[-1], 9)
    back = sine_curves.sine_coefficients(few, 7)
    torch.testing.assert_close(back[:, :3], sine_curves.sine_coefficients(latents, 3))
    assert back[:, 3:].abs().max() < 1e-12


def test_points_at_times_lie_on_the_polygon():
    curve = torch.randn(5, 2, 3, generator=generator(1))
    times = torch.tensor([[0.0, 0.0], [1.0, 2.5], [4.0, 4.0]])
    points = sine_curves.at_times(curve, times)
    assert torch.equal(points[[0, 2]], curve[[0, 4]])
    torch.testing.assert_close(points[1, 0], curve[1, 0])
    torch.testing.assert_close(points[1, 1], (curve[2, 1] + curve[3, 1]) / 2)


@pytest.mark.usefixtures("as_shipped")
def test_bad_curves_and_decoders_are_refused():
    with pytest.raises(ValueError, match="curve must be curves of 2 points or more, got 1 point"):
        curve_energy(torch.zeros(1, 2, 3))
    with pytest.raises(
        ValueError,
        match=r"decoder must give one image a code, got shape \(1, 3\) .* for codes of shape \(4, 3\)",
    ):
        decode(lambda z: z.mean(0, keepdim=True), torch.zeros(2, 2, 3))
    with pytest.raises(ValueError, match=r"decoder must give one image a code, got \(tensor"):
        decode(lambda z: (z, z), torch.zeros(2, 2, 3))
