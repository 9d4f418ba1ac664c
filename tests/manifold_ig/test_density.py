"""Geodesics that stay with the data: a half circle of codes around an empty middle."""

import math

import pytest
import torch
from curved import generator

from robustxai.manifold_ig import AggregatedPosterior, ManifoldIG, VarianceDecoder, geodesic, metric_product
from robustxai.manifold_ig.density import code_spacing

ENDS = torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 0.0]])


@pytest.fixture(scope="module")
def ring():
    """200 codes near the upper unit half circle."""
    angle = torch.linspace(0, math.pi, 200)
    noise = 0.02 * torch.randn(200, 2, generator=generator())
    return torch.stack((angle.cos(), angle.sin()), 1) + noise


def flat(z):
    return 0.3 * z


def test_the_deterministic_geodesic_goes_through_the_middle(ring):
    assert geodesic(flat, *ENDS).latents.norm(dim=2).min() < 0.1


@pytest.mark.parametrize("kind", ["penalty", "variance"])
def test_both_ways_keep_the_path_with_the_codes(kind, ring):
    penalty = AggregatedPosterior(ring, scale=0.2)
    if kind == "penalty":
        path = geodesic(flat, *ENDS, 31, penalty=penalty, weight=0.2, evaluations=100, constant_speed=False)
    else:
        path = geodesic(VarianceDecoder(flat, ring, scale=0.2, low=0.3, high=6.0), *ENDS, 31, evaluations=100)
    line = geodesic(flat, *ENDS, 31)
    assert path.latents.norm(dim=2).min() > 0.5, "around the hole"
    assert penalty(path.latents[:, 0]).mean() < 0.6 * penalty(line.latents[:, 0]).mean()


def test_sigma_is_low_at_the_codes_and_high_far_away(ring):
    varied = VarianceDecoder(flat, ring, low=0.05, high=2.0)
    assert varied.scale == pytest.approx(code_spacing(ring))
    assert varied.sigma(ring).max() < 0.06
    far = varied.sigma(torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
    torch.testing.assert_close(far, torch.tensor([2.0, 2.0]))
    lone = VarianceDecoder(flat, torch.tensor([[0.0, 0.0], [50.0, 0.0]]), scale=1, low=0.05, high=2.0)
    assert float(lone.sigma(torch.zeros(1, 2))) == pytest.approx(0.05, rel=1e-3)


def test_the_metric_is_the_sum_of_both_parts(ring):
    varied = VarianceDecoder(flat, ring, scale=0.3, low=0.3)
    z, u = torch.tensor([[0.3, 0.2], [0.9, 0.5]]), torch.randn(2, 2, generator=generator(1))
    z.requires_grad_()
    slope = torch.autograd.grad(varied.sigma(z).sum(), z)[0]
    expected = 0.09 * u + 2 * slope * (slope * u).sum(1, keepdim=True)
    torch.testing.assert_close(metric_product(varied, z.detach(), u), expected)


def test_penalty_is_the_negative_log_of_a_mixture():
    codes = torch.randn(7, 2, 3, generator=generator())
    z = torch.randn(4, 2, 3, generator=generator(1))
    mixture = torch.stack([torch.exp(-(z - c).square().sum((1, 2)) / (2 * 0.8**2)) for c in codes]).mean(0)
    torch.testing.assert_close(AggregatedPosterior(codes, scale=0.8)(z), -mixture.log(), rtol=1e-4, atol=1e-4)


def test_manifold_ig_along_another_geometry_shows_the_decoders_images(classifier, encoder, decoder):
    x = torch.rand(3, 3, 8, 8, generator=generator(4))
    codes = encoder(torch.rand(50, 3, 8, 8, generator=generator(5))).detach()
    other = VarianceDecoder(decoder, codes, scale=0.5, low=5.0, high=50.0)
    result = ManifoldIG(classifier, encoder, decoder, n_steps=60, geometry=other).explain(x)
    torch.testing.assert_close(result.ends[-1], decoder(encoder(x)).detach())
    plain = ManifoldIG(classifier, encoder, decoder, n_steps=60).explain(x)
    assert (result.completeness_gap < 0.02).all()
    assert (result.values - plain.values).abs().max() > 1e-4 and result.geodesic is not None


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: AggregatedPosterior(torch.zeros(1, 2)),
            r"codes must be 2 or more finite codes .* got shape \(1, 2\)",
        ),
        (lambda: AggregatedPosterior(torch.zeros(3, 2)), "scale must be a finite number > 0, got 0.0"),
        (
            lambda: VarianceDecoder(flat, torch.eye(2), low=1, high=0.5),
            r"low and high must be 0 < low < high, got 1 and 0\.5",
        ),
    ],
)
def test_bad_input_is_one_sentence(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
