"""Similarity measures against scipy, scikit-image, hand-computed cases and their invariances."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr as scipy_spearman
from skimage.metrics import structural_similarity

from robustxai.metrics import (
    cosine,
    image_ssim,
    mae,
    maxnorm,
    mean_ignoring_nan,
    minmax,
    mse,
    pearson,
    spearman,
    ssim,
    topk_intersection,
    topn_iou,
)
from robustxai.metrics.maps import average_ranks

seeds = st.integers(0, 2**31 - 1)
MEASURES = {
    "pearson": pearson,
    "spearman": spearman,
    "cosine": cosine,
    "mae": mae,
    "mse": mse,
    "ssim": ssim,
    "topk": lambda a, b: topk_intersection(a, b, 10),
    "iou": lambda a, b: topn_iou(a, b, 0.2),
}


def relu_maps(seed: int, n: int = 5, side: int = 7, dtype=torch.float64) -> torch.Tensor:
    """Random maps with about half their pixels exactly 0, like GradCAM."""
    return torch.randn(n, side, side, generator=torch.Generator().manual_seed(seed), dtype=dtype).relu()


@pytest.mark.parametrize("side", [3, 7, 20])
def test_correlations_equal_scipy(side):
    a, b = relu_maps(0, 6, side), relu_maps(1, 6, side)
    for ours, theirs in ((pearson, pearsonr), (spearman, scipy_spearman)):
        expected = [theirs(x.ravel(), y.ravel())[0] for x, y in zip(a.numpy(), b.numpy(), strict=True)]
        np.testing.assert_allclose(ours(a, b).numpy(), expected, atol=1e-12)


@given(seeds, st.integers(2, 40))
@settings(max_examples=20, deadline=None)
def test_average_ranks_equal_scipy(seed, values):
    x = torch.randint(0, 5, (3, values), generator=torch.Generator().manual_seed(seed)).double()
    np.testing.assert_array_equal(average_ranks(x).numpy(), rankdata(x.numpy(), axis=1))


@pytest.mark.parametrize(("side", "window"), [(7, 7), (8, 7), (14, 7), (14, 3), (33, 11)])
def test_ssim_equals_scikit_image(side, window):
    a, b = relu_maps(2, 4, side), relu_maps(3, 4, side)
    expected = [
        structural_similarity(
            x, y, win_size=window, data_range=1.0, gaussian_weights=False, use_sample_covariance=False
        )
        for x, y in zip(minmax(a).numpy(), minmax(b).numpy(), strict=True)
    ]
    np.testing.assert_allclose(ssim(a, b, window=window).numpy(), expected, atol=1e-9)


def test_ssim_with_the_gaussian_window_of_photographs_equals_scikit_image():
    a, b = (torch.rand(3, 24, 20, generator=torch.Generator().manual_seed(i)).double() for i in range(2))
    expected = [
        structural_similarity(
            u.numpy(), v.numpy(), data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for u, v in zip(a, b, strict=True)
    ]
    found = ssim(a, b, normalise="none", window=11, sigma=1.5)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)
    with pytest.raises(ValueError, match=r"window must be .* = 11 for sigma 1\.5, got 7"):
        ssim(a, b, sigma=1.5)


def test_ssim_at_seven_pixels_is_one_window_by_hand():
    a, b = relu_maps(4, 1), relu_maps(5, 1)
    x, y = minmax(a).flatten(), minmax(b).flatten()
    c1, c2 = 0.01**2, 0.03**2
    cov = ((x - x.mean()) * (y - y.mean())).mean()
    expected = (2 * x.mean() * y.mean() + c1) * (2 * cov + c2)
    expected /= (x.mean() ** 2 + y.mean() ** 2 + c1) * (x.var(correction=0) + y.var(correction=0) + c2)
    torch.testing.assert_close(ssim(a, b), expected[None])


@pytest.mark.parametrize("window", [4, 1, 9])
def test_ssim_refuses_windows_that_do_not_fit(window):
    with pytest.raises(ValueError, match=r"^window must be an odd integer in \[3, 7\], .* got \d"):
        ssim(relu_maps(0), relu_maps(1), window=window)


def test_small_cases_by_hand():
    a = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    b = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
    assert pearson(a, b).item() == pytest.approx(-0.8)
    assert spearman(a, b).item() == pytest.approx(-0.8)
    assert cosine(a, b).item() == pytest.approx(5 / 14)
    assert mae(a, b).item() == pytest.approx(0.5)
    assert mse(a, b).item() == pytest.approx(0.5)
    assert mae(a, 10 * b, normalise="none").item() == pytest.approx((30 + 9 + 18 + 3) / 4)
    assert topk_intersection(a, b, 2).item() == 0.5
    assert topn_iou(a, b, 2).item() == pytest.approx(1 / 3)
    assert topn_iou(a, b, 1.0).item() == 1


def test_top_n_of_a_binary_target_is_the_target():
    target = torch.zeros(7, 7)
    target[0] = target[-1] = target[:, 0] = target[:, -1] = 1
    n = int(target.sum())
    assert n == 24
    inside = torch.rand(3, 7, 7, generator=torch.Generator().manual_seed(0)) * (1 - target)
    assert topn_iou(target.expand(3, 7, 7) * 5 + inside, target, n).tolist() == [1.0, 1.0, 1.0]


def test_ties_in_the_top_take_the_lower_index():
    a, b = torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]]), torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]])
    assert topk_intersection(a, b, 2).item() == 1
    assert topk_intersection(a, torch.tensor([[1.0, 2.0, 3.0, 4.0, 0.0]]), 2).item() == 0


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_batch_equals_loop_and_one_sample_is_compared_with_each(measure):
    a, b = relu_maps(6, dtype=torch.float32), relu_maps(7, dtype=torch.float32)
    together = measure(a[:, None], b)
    assert together.shape == (5,)
    torch.testing.assert_close(together, torch.cat([measure(a[i : i + 1], b[i : i + 1]) for i in range(5)]))
    torch.testing.assert_close(measure(a, b[2]), measure(a, b[2].expand(5, 7, 7)))
    torch.testing.assert_close(measure(a[:, None], b[2][None]), measure(a, b[2]))


@given(seeds, st.sampled_from(sorted(MEASURES)))
@settings(max_examples=20, deadline=None)
def test_symmetric_bounded_and_best_with_itself(seed, name):
    a, b = relu_maps(seed), relu_maps(seed + 1)
    measure, best = MEASURES[name], 0.0 if name in ("mae", "mse") else 1.0
    torch.testing.assert_close(measure(a, b), measure(b, a))
    torch.testing.assert_close(measure(a, a), torch.full((5,), best, dtype=torch.float64))
    assert (measure(a, b).abs() <= 1).all()


@given(seeds, st.floats(1e-6, 1e6), st.floats(-100, 100))
@settings(max_examples=20, deadline=None)
def test_invariant_under_positive_affine_maps(seed, scale, shift):
    a, b = relu_maps(seed), relu_maps(seed + 1)
    c = scale * (a + shift)
    for measure in (pearson, spearman, mae, mse, ssim):
        torch.testing.assert_close(measure(c, b), measure(a, b), atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(pearson(-c, b), -pearson(a, b), atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(cosine(scale * a, b), cosine(a, b))


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_rank_measures_are_invariant_under_monotone_maps(seed):
    a, b = relu_maps(seed), relu_maps(seed + 1)
    c = torch.expm1(3 * a)
    torch.testing.assert_close(spearman(c, b), spearman(a, b))
    assert torch.equal(topk_intersection(c, b, 9), topk_intersection(a, b, 9))


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_invariant_under_the_same_permutation_of_pixels(seed):
    g = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(4, 30, generator=g, dtype=torch.float64) for _ in range(2))
    p = torch.randperm(30, generator=g)
    for name, measure in MEASURES.items():
        if name != "ssim":
            torch.testing.assert_close(measure(a[:, p], b[:, p]), measure(a, b))


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e-30, 1e30])
@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_constant_maps_are_like_nothing(measure, value):
    """Not like a map, not like each other; the aggregate counts them; no other sample is spoiled."""
    b = relu_maps(8, 3, 9, torch.float32)
    a = b.flip(0).clone()
    clean = measure(a, b)
    a[1] = value
    for found in (
        measure(a, b),
        measure(b, a),
        measure(a, torch.where(torch.arange(3)[:, None, None] == 1, 7.0, b)),
    ):
        assert found.isnan().tolist() == [False, True, False]
    torch.testing.assert_close(measure(a, b)[::2], clean[::2])
    assert measure(a, a[1]).isnan().all()
    counted = mean_ignoring_nan(measure(a, b))
    assert (counted.n, counted.skipped) == (2, 1)


@pytest.mark.parametrize("normalise", ["minmax", "max", "none"])
@pytest.mark.parametrize("measure", [mae, mse, ssim])
def test_no_normalisation_makes_dead_maps_alike(measure, normalise):
    dead, below = torch.zeros(2, 9, 9), -relu_maps(15, 2, 9, torch.float32)  # neither has a positive value
    assert measure(dead, dead, normalise=normalise).isnan().all()
    assert measure(below, below, normalise=normalise).isnan().all().item() is (normalise == "max")


def test_photographs_of_one_colour_are_images_like_others():
    dark, noise = torch.zeros(2, 12, 12), relu_maps(16, 2, 12, torch.float32).clamp(0, 1)
    assert image_ssim(dark, dark).tolist() == [1, 1] and (image_ssim(dark, noise) < 0.5).all()
    torch.testing.assert_close(
        image_ssim(noise, 1 - noise), ssim(noise, 1 - noise, normalise="none", window=11, sigma=1.5)
    )
    noise[0, 3, 3] = math.nan
    assert image_ssim(dark, noise).isnan().tolist() == [True, False]


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e20, 1e37])
def test_tiny_and_huge_maps_keep_their_correlation(scale):
    a, b = relu_maps(9, dtype=torch.float32), relu_maps(10, dtype=torch.float32)
    torch.testing.assert_close(pearson(a * scale, b), pearson(a, b), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cosine(a * scale, b), cosine(a, b), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_sample_that_is_not_finite_gives_nan_and_spoils_no_other(measure, bad):
    a, b = relu_maps(11, dtype=torch.float32), relu_maps(12, dtype=torch.float32)
    clean = measure(a, b)
    a[1, 3, 3] = bad
    spoiled = measure(a, b)
    assert spoiled[1].isnan()
    keep = torch.tensor([0, 2, 3, 4])
    torch.testing.assert_close(spoiled[keep], clean[keep])


def test_normalisers_are_guarded_and_differentiable():
    maps = torch.stack(
        [torch.zeros(3, 3), torch.full((3, 3), 2.0), torch.arange(9.0).reshape(3, 3), -torch.ones(3, 3)]
    )
    maps.requires_grad_(True)
    low_high = minmax(maps)
    assert low_high[[0, 1, 3]].eq(0).all() and low_high[2].amin() == 0 and low_high[2].amax() == 1
    by_max = maxnorm(maps)
    assert by_max[[0, 3]].eq(0).all() and by_max[1].eq(1).all()
    (low_high.square().sum() + by_max.square().sum()).backward()
    assert maps.grad is not None and maps.grad.isfinite().all()


def test_minmax_gradient_goes_through_minimum_and_maximum():
    maps = torch.rand(
        2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(minmax, (maps,))
    assert torch.autograd.gradcheck(maxnorm, (maps,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype):
    a, b = relu_maps(13, 3, 40, torch.float32).to(dtype), relu_maps(14, 3, 40, torch.float32).to(dtype)
    torch.testing.assert_close(pearson(a * 100, b * 100), pearson(a.float(), b.float()), atol=2e-3, rtol=0)


@pytest.mark.parametrize("shape", [(5, 7, 8), (4, 7, 7), (8, 7), (5, 3, 7, 7)])
def test_shapes_that_do_not_fit_are_named(shape):
    with pytest.raises(ValueError, match=r"^b must have the shape of a, \(5, 7, 7\), .* got shape"):
        pearson(relu_maps(0), torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize("n", [0, 50, -1, 0.0, 1.5])
def test_counts_out_of_range_are_named(n):
    with pytest.raises(ValueError, match=r"^k must be an integer in \[1, 49\] or a share, .* got"):
        topk_intersection(relu_maps(0), relu_maps(1), n)


def test_unknown_normalisation_is_named():
    with pytest.raises(ValueError, match=r"^normalise must be one of minmax, max, none, got 'l2'"):
        mae(relu_maps(0), relu_maps(1), normalise="l2")
