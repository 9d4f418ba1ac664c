"""Signed distances: right sign, right size, and gradients that are finite everywhere."""

import math

import pytest
import torch

from robustxai.data.scenes import sdf
from robustxai.data.scenes.textures import TEXTURES, pattern, wave

SHAPES = {
    "circle": lambda p: sdf.circle(p, 0.5),
    "disc": lambda p: sdf.disc(p, 0.1, -0.2, 0.4),
    "box": lambda p: sdf.box(p, 0.5, 0.3, 0.1),
    "capsule": lambda p: sdf.capsule(p, -0.4, 0.1, 0.5, -0.2, 0.2),
    "triangle": lambda p: sdf.triangle(p, -0.5, 0.5, 0.0, -0.6, 0.6, 0.4),
    "path": lambda p: sdf.path(p, (-0.5, 0.0), (0.0, 0.4), (0.5, 0.1), r0=0.1, r1=0.1),
}
ALMOST = {
    "ellipse": lambda p: sdf.ellipse(p, 0.6, 0.3),
    "oval": lambda p: sdf.oval(p, 0.1, 0.0, 0.6, 0.4, 0.5),
    "cone": lambda p: sdf.capsule(p, -0.4, 0.1, 0.5, -0.2, 0.2, 0.1),
}


@pytest.fixture
def p() -> torch.Tensor:
    return sdf.grid(1, 64, dtype=torch.float64)


def slope(d: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    (g,) = torch.autograd.grad(d.sum(), p)
    return g.norm(dim=-1)


@pytest.mark.parametrize("name", SHAPES)
def test_distance_has_slope_one_outside(name: str, p: torch.Tensor):
    q = p.clone().requires_grad_()
    d = SHAPES[name](q)
    outside = d > 0.02
    assert outside.any() and (d < 0).any()
    torch.testing.assert_close(
        slope(d, q)[outside], torch.ones(int(outside.sum()), dtype=p.dtype), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", ALMOST)
def test_distance_has_slope_about_one_at_the_boundary(name: str, p: torch.Tensor):
    q = p.clone().requires_grad_()
    d = ALMOST[name](q)
    near = d.abs() < 0.01
    assert near.sum() > 5
    assert (slope(d, q)[near] - 1).abs().max() < 0.15


@pytest.mark.parametrize("name", [*SHAPES, *ALMOST])
def test_gradient_is_finite_even_at_the_centre(name: str):
    q = torch.zeros(1, 1, 1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.isfinite(slope({**SHAPES, **ALMOST}[name](q), q)).all()


def test_grid_holds_pixel_centres():
    g = sdf.grid(2, 4)
    assert g.shape == (2, 4, 4, 2)
    assert (
        g[0, 0, :, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
        and g[1, :, 0, 1].tolist() == g[0, 0, :, 0].tolist()
    )


def test_area_by_coverage(p: torch.Tensor):
    for d, area in (
        (sdf.circle(p, 0.5), math.pi * 0.25),
        (sdf.ellipse(p, 0.6, 0.3), math.pi * 0.18),
        (sdf.box(p, 0.5, 0.25), 0.5),
        (sdf.triangle(p, -0.5, 0.5, 0.5, 0.5, -0.5, -0.5), 0.5),
        (sdf.triangle(p, 0.5, 0.5, -0.5, 0.5, -0.5, -0.5), 0.5),
    ):
        assert abs(float(sdf.pixel_coverage(d, 64).mean()) * 4 - area) < 0.01


def test_move_and_rotate_place_a_shape(p: torch.Tensor):
    turned = sdf.ellipse(sdf.rotate(sdf.move(p, 0.1, 0.0), 0.5), 0.6, 0.4)
    torch.testing.assert_close(turned, ALMOST["oval"](p))
    # Clockwise on the screen: a point on the x axis of the shape goes down, towards positive y.
    right = torch.tensor([[[[math.cos(0.5), math.sin(0.5)]]]], dtype=torch.float64)
    torch.testing.assert_close(sdf.rotate(right, 0.5), torch.tensor([[[[1.0, 0.0]]]], dtype=torch.float64))


def test_parameters_per_image():
    p = sdf.grid(2, 8)
    both = sdf.disc(p, torch.tensor([0.0, 0.3]), 0.1, torch.tensor([0.2, 0.5]))
    torch.testing.assert_close(both[1:], sdf.disc(p[1:], 0.3, 0.1, 0.5))


def test_unions(p: torch.Tensor):
    a, b = sdf.disc(p, -0.2, 0.0, 0.3), sdf.disc(p, 0.2, 0.0, 0.3)
    assert torch.equal(sdf.union(a, b), torch.minimum(a, b))
    assert (sdf.smooth_union(a, b, 0.1) <= sdf.union(a, b) + 1e-12).all()
    torch.testing.assert_close(sdf.smooth_union(a, b, 0.1), sdf.union(a, b), atol=0.026, rtol=0)


def test_coverage_is_a_step_two_pixels_wide():
    d = torch.tensor([[[-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]]]) * (2 / 32)
    c = sdf.pixel_coverage(d, 32)
    torch.testing.assert_close(c + c.flip(-1), torch.ones_like(c))
    assert c[0, 0, :2].tolist() == [1.0, 1.0] and 0.5 < c[0, 0, 2] < 1
    torch.testing.assert_close(sdf.pixel_coverage(d * 4, 32, scale=0.25), c)


@pytest.mark.parametrize("kind", range(1, len(TEXTURES)))
def test_textures_have_two_colours_in_fair_shares_and_bounded_slope(kind: int):
    g = torch.Generator().manual_seed(0)
    uv = (20 * torch.rand(2, 1, 100, 100, generator=g, dtype=torch.float64)).requires_grad_()
    d = pattern(kind, uv[0], uv[1])
    assert 0.25 < (d < 0).double().mean() < 0.6
    (slopes,) = torch.autograd.grad(d.sum(), uv)
    assert slopes.norm(dim=0).max() < 1.3


def test_wave_and_plain():
    u = torch.tensor([[[0.0, 0.25, 0.5, 0.75, 1.0]]])
    assert wave(u).tolist() == [[[-0.25, 0.0, 0.25, 0.0, -0.25]]]
    with pytest.raises(ValueError, match=r"kind must be in \[1, 5\], got 0"):
        pattern(0, u, u)
