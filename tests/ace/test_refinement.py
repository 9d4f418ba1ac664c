"""Mask and refinement: acceptance tests 10, 11 and 12 of the specification."""

from itertools import pairwise

import pytest
import torch
from toys import filtered, images

from robustxai.ace import change_map, change_mask, refine


def pair(n=3, size=12):
    x = images(n, size=size)
    moved = x.clone()
    moved[:, :, 3:5, 4:6] = 1 - moved[:, :, 3:5, 4:6]
    moved[:, :, 9, 9] += 2 / 255 * (moved[:, :, 9, 9] < 0.5)
    return x, moved


def test_map_is_relative_to_its_own_image():
    x, moved = pair()
    m = change_map(x, moved)
    assert m.shape == (3, 1, 12, 12) and torch.equal(m.amax((1, 2, 3)), torch.ones(3)) and m.min() == 0
    torch.testing.assert_close(change_map(x, x + (moved - x) / 4), m, rtol=1e-4, atol=1e-6)


def test_mask_by_hand_and_without_dilation():
    x, moved = pair()
    plain = change_mask(x, moved, threshold=0.15, dilation=1)
    assert torch.equal(plain, change_map(x, moved) >= 0.15)
    one = torch.zeros(1, 1, 5, 5)
    dot = one.clone()
    dot[0, 0, 2, 2] = 0.5
    wide = change_mask(one, dot, dilation=3)[0, 0]
    assert wide[1:4, 1:4].all() and wide.sum() == 9


def test_mask_grows_with_dilation_and_falls_with_the_threshold():
    x, moved = pair()
    for values in (
        [dict(dilation=d) for d in (1, 3, 5, 15)],
        [dict(threshold=u) for u in (1.01, 0.5, 0.001, 0)],
    ):
        masks = [change_mask(x, moved, **({"dilation": 3} | v)) for v in values]
        for small, large in pairwise(masks):
            assert bool((large | ~small).all()) and large.sum() > small.sum()


def test_no_change_leaves_the_image():
    x, f = images(), filtered()
    mask = change_mask(x, x)
    assert not mask.any() and (change_map(x, x) == 0).all()
    assert torch.equal(refine(x, x, mask, f, f.noise(x, 1), f.noise(x, 2)), x)


def test_outside_the_mask_is_the_input_to_the_bit_and_png_keeps_it():
    x, moved = pair()
    f, mask = filtered(), change_mask(x, moved, dilation=3)
    out = refine(x, moved, mask, f, f.noise(x, 1), f.noise(x, 2))
    inside = mask.expand_as(x)
    assert torch.equal(out[~inside], x[~inside]) and (out != x)[inside].any()
    assert 0 <= out.min() and out.max() <= 1
    grey = lambda image: (image * 255).round().to(torch.uint8)  # noqa: E731
    assert torch.equal(grey(out)[~inside], grey(x)[~inside])
    assert torch.equal(grey(x).float() / 255, x)


def test_the_ends_of_the_threshold():
    x, moved = pair()
    f = filtered(4)
    noise, known = f.noise(x, 1), f.noise(x, 2)
    everything = change_mask(x, moved, threshold=0)
    assert everything.all()
    torch.testing.assert_close(refine(x, moved, everything, f, noise, known), f(moved, noise=noise))
    nothing = change_mask(x, moved, threshold=1.01)
    assert torch.equal(refine(x, moved, nothing, f, noise, known), x)


def test_refinement_against_the_equations():
    x, moved = (v.double() for v in pair())
    f = filtered(3, double=True)
    mask, noise, known = change_mask(x, moved, dilation=3), f.noise(x, 1), f.noise(x, 2)
    keep = (~mask).double()
    bar = f.schedule.alpha_bar
    with torch.no_grad():
        c = bar[2].sqrt() * (2 * moved - 1) + (1 - bar[2]).sqrt() * noise[:, 0]
        for j, i in enumerate((2, 1, 0)):
            c = (1 - keep) * c + keep * (bar[i].sqrt() * (2 * x - 1) + (1 - bar[i]).sqrt() * known[:, j])
            c = f.step(c, i, noise[:, j + 1] if i else None)
        c = (1 - keep) * c + keep * (2 * x - 1)
    out = refine(x, moved, mask, f, noise, known)
    torch.testing.assert_close(out, ((c + 1) / 2).clamp(0, 1))
    assert not out.requires_grad


@pytest.mark.parametrize("d", [0, 2, 14, 1.5])
def test_bad_dilation(d, as_shipped):
    x, moved = pair()
    with pytest.raises(ValueError, match=r"dilation must be an (odd )?integer >= 1, got"):
        change_mask(x, moved, dilation=d)


def test_bad_threshold(as_shipped):
    x, moved = pair()
    with pytest.raises(ValueError, match="threshold must be a finite number >= 0, got -1"):
        change_mask(x, moved, threshold=-1)
