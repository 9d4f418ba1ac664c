"""The derivative of a geodesic in its end: against differences of solved geodesics, and where it is known."""

import pytest
import torch
from curved import generator

from robustxai.manifold_ig import ManifoldIG, frozen, geodesic
from robustxai.manifold_ig.implicit_gradient import end_gradient, implicit
from robustxai.manifold_ig.sine_curves import line


def bowl(z):
    return torch.cat((z, 0.7 * z.square().sum(1, keepdim=True), (z[:, :1] * z[:, 1:2]).sin()), 1)


def solved(z0, z1):
    return geodesic(bowl, z0, z1, 7, evaluations=150, tolerance=0, constant_speed=False).latents


@pytest.fixture
def ends():
    return tuple(torch.randn(2, 3, generator=generator(s)).double() for s in (0, 1))


def test_it_is_the_difference_of_solved_geodesics(ends):
    z0, z1 = ends
    latents, slopes = solved(z0, z1), torch.randn(5, 2, 3, generator=generator(2)).double()
    found = end_gradient(bowl, latents, slopes, iterations=60)
    straight = end_gradient(bowl, latents, slopes, iterations=0)
    expected, h = torch.zeros_like(z1), 1e-4
    for k in range(3):
        u = torch.zeros_like(z1)
        u[:, k] = h
        moved = solved(z0, z1 + u) - solved(z0, z1 - u)
        expected[:, k] = (moved[1:-1] * slopes).sum((0, 2)) / (2 * h)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
    assert (straight - expected).norm() > 10 * (found - expected).norm()


def test_without_iterations_it_is_the_straight_line_and_for_an_affine_decoder_always(ends):
    z0, z1 = ends
    slopes = torch.randn(5, 2, 3, generator=generator(2)).double()
    times = torch.arange(1, 6).double() / 6
    known = (times[:, None, None] * slopes).sum(0)
    torch.testing.assert_close(end_gradient(bowl, solved(z0, z1), slopes, iterations=0), known)
    matrix = torch.randn(3, 5, generator=generator(3)).double()
    for iterations in (1, 4):
        found = end_gradient(lambda z: z @ matrix + 1, line(z0, z1, 7), slopes, iterations=iterations)
        torch.testing.assert_close(found, known)


def test_an_attack_can_follow_it(classifier, encoder, decoder):
    with torch.no_grad():
        x = decoder(torch.randn(2, 6, generator=generator(1)))
    method = ManifoldIG(classifier, encoder, decoder, n_steps=6, evaluations=40)
    slopes = []
    for guide in (frozen(method)(x), implicit(method, iterations=0)(x), implicit(method)(x)):
        torch.testing.assert_close(guide.attribute(x, 0), method.attribute(x, 0), rtol=1e-3, atol=1e-5)
        v = x.clone().requires_grad_()
        slopes.append(torch.autograd.grad(guide(v, 0).square().sum(), v)[0])
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-6)
    assert slopes[2].isfinite().all() and (slopes[2] - slopes[0]).norm() > 1e-3 * slopes[0].norm()


def test_bad_input_is_refused(classifier, encoder, decoder):
    with pytest.raises(ValueError, match=r"latents and slopes must be curves .* got shapes"):
        end_gradient(bowl, torch.zeros(2, 1, 3), torch.zeros(0, 1, 3))
    released = ManifoldIG.released(classifier, encoder, decoder)
    with pytest.raises(ValueError, match="mode must be 'fast' for freeze, got 'released'"):
        implicit(released)(torch.rand(1, 3, 8, 8))
