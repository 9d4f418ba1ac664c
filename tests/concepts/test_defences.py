"""Defences: what cleaning keeps and removes, votes, outliers."""

import pytest
import torch
from tiny import bars, images, net

from robustxai.concepts.attacks import TokenPushing, sign_noise
from robustxai.concepts.defences import (
    CLEANERS,
    detection_rate,
    fewer_bits,
    jpeg,
    noisy_copies,
    outlier_scores,
    vote,
)


def smooth(n=4, size=32):
    ramp = torch.linspace(0.2, 0.8, size)
    return ((ramp[:, None] * ramp).expand(n, 3, size, size) * 255).round() / 255


@pytest.mark.parametrize("name", CLEANERS)
def test_cleaning_keeps_pictures_and_size(name):
    x = smooth()
    y = CLEANERS[name](x)
    assert y.shape == x.shape and y.dtype == x.dtype and 0 <= y.min() and y.max() <= 1
    assert (y - x)[..., 2:-2, 2:-2].abs().mean() < 0.04


@pytest.mark.parametrize("name", ["JPEG 30", "blur 1", "half size"])
def test_cleaning_removes_noise(name):
    x = smooth()
    noisy = sign_noise(x, 8 / 255, generator=torch.Generator().manual_seed(0))
    assert (CLEANERS[name](noisy) - x)[..., 2:-2, 2:-2].abs().mean() < 0.6 * (noisy - x).abs().mean()


def test_fewer_bits_is_rounding():
    assert len(fewer_bits(images(4), 2).unique()) <= 4 and torch.equal(fewer_bits(images(2), 8), images(2))


def test_noisy_copies_average_to_the_exemplars():
    x = torch.full((3, 3, 8, 8), 0.5)
    many = noisy_copies(x, copies=200, sigma=0.1)
    assert many.shape == (600, 3, 8, 8)
    assert (many.reshape(200, 3, 3, 8, 8).mean(0) - x).abs().max() < 0.05
    assert not torch.equal(noisy_copies(x, seed=1), noisy_copies(x, seed=2))


def test_votes():
    assert vote(["important"] * 2 + ["not significant"]) == "important"
    assert vote(["important", "anti-important"]) == "not significant"
    assert vote(["important", "anti-important", "not significant"]) == "not significant"


def test_outliers_are_far_from_trusted_exemplars():
    model = net()
    usual = outlier_scores(model, "b3", bars(20, 7), bars(30, 90))
    odd = outlier_scores(model, "b3", 1 - images(20, 7), bars(30, 90))
    assert usual.median() == pytest.approx(1, abs=0.4) and odd.median() > usual.median()
    rate = detection_rate(odd, usual)
    assert rate == float((odd > usual.quantile(0.95)).float().mean()) and 0 <= rate <= 1
    far = TokenPushing("b3", eps=64 / 255).perturb(model, bars(20, 7), images(20, 8)).x
    found = outlier_scores(model, "b3", far, bars(30, 90))
    assert found.shape == (20,) and found.median() > usual.median()


def test_bad_input(as_shipped):
    for call, message in (
        (lambda: jpeg(images(1), 0), r"quality must be in \[1, 100\], got 0"),
        (lambda: fewer_bits(images(1), 9), r"bits must be an integer in \[1, 8\], got 9"),
        (lambda: fewer_bits(images(1), 4.5), r"bits must be an integer in \[1, 8\], got 4.5"),
        (lambda: vote([]), "states must be one verdict or more, got none"),
        (
            lambda: outlier_scores(net(), "b3", images(4), images(3)),
            "trusted must hold more images than neighbours, 5, got 3",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
