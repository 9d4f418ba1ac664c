"""Measures of counterfactuals: closed forms, identities, and sentences for bad input (spec 9.4, test 14)."""

import math

import pytest
import torch
from torch import nn

from robustxai.ace import metrics as M
from robustxai.nets import CompactResNet


def images(n: int = 6, size: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def net(classes: int = 3) -> CompactResNet:
    generator = torch.Generator().manual_seed(1)
    return CompactResNet(classes, widths=(4, 4, 8, 8), stem_stride=1, generator=generator).eval()


def by_mean(x: torch.Tensor) -> torch.Tensor:
    """A sigmoid classifier: class 1 for images that are bright on average."""
    return 20 * (x.mean((1, 2, 3)) - 0.5)[:, None]


def constant(value: float, n: int = 1, size: int = 4) -> torch.Tensor:
    return torch.full((n, 3, size, size), value)


def test_flips_counts_the_target():
    x = torch.cat([constant(0.2), constant(0.8)])
    assert M.flips(by_mean, x, torch.tensor([1, 1]), batch_size=1).tolist() == [False, True]


def test_transfer_is_undefined_where_the_oracle_saw_the_target_before():
    x = torch.cat([constant(0.2), constant(0.2), constant(0.8)])
    moved = torch.cat([constant(0.8), constant(0.3), constant(0.9)])
    assert M.transfer_flips(by_mean, x, moved, torch.ones(3, dtype=torch.int64)).tolist()[:2] == [1.0, 0.0]
    assert M.transfer_flips(by_mean, x, moved, torch.ones(3, dtype=torch.int64))[2].isnan()


def test_purified_flips_is_the_share_of_noises():
    signs = {7: 1, 8: 1, 9: -1, 10: 1}

    def filter(x, *, generators):
        return x + 0.3 * signs[generators]

    found = M.purified_flips(by_mean, filter, constant(0.5, 2), torch.tensor([1, 0]), draws=4, seed=7)
    assert found.tolist() == [0.75, 0.25]
    with pytest.raises(ValueError, match="draws must be an integer >= 1, got 0"):
        M.purified_flips(by_mean, filter, constant(0.5), torch.tensor([1]), draws=0)


def test_cout_of_two_pixels_is_the_area_by_hand():
    """P(1) is a fixed number for each of none, the stronger pixel, and both: two trapezoids of width 1/2."""
    x = torch.zeros(1, 1, 1, 2)
    image = torch.tensor([[[[0.2, 0.9]]]])

    def classifier(z):  # logit -2 for none, +1 with the right pixel only, +3 with both
        left, right = z[:, 0, 0, 0] > 0, z[:, 0, 0, 1] > 0
        assert not (left & ~right).any(), "the pixel with the larger change comes first"
        return (-2.0 + 3.0 * right + 2.0 * left)[:, None]

    found = M.cout(classifier, x, image, torch.tensor([0]), torch.tensor([1]))
    p = [1 / (1 + math.exp(2)), 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-3))]
    area = (p[0] + p[1]) / 4 + (p[1] + p[2]) / 4
    torch.testing.assert_close(found.share, torch.tensor([0, 0.5, 1]))
    torch.testing.assert_close(found.target[0], torch.tensor(p))
    torch.testing.assert_close(found.score, torch.tensor([2 * area - 1]))


def test_cout_of_an_unchanged_image_and_its_range():
    x, classifier = images(5), net(2)
    with torch.no_grad():
        p = classifier(x).softmax(1)
    same = torch.zeros(5, dtype=torch.int64)
    still = M.cout(classifier, x, x, same, same + 1).score
    torch.testing.assert_close(still, -(2 * p[:, 0] - 1), atol=1e-5, rtol=0)
    moved = M.cout(by_mean, constant(0.0, 2), constant(1.0, 2), same[:2], same[:2] + 1)
    assert (moved.score.abs() <= 1).all()
    back = M.cout(by_mean, constant(1.0, 2), constant(0.0, 2), same[:2], same[:2] + 1)
    torch.testing.assert_close(moved.score, -back.score, atol=1e-5, rtol=0)


def test_cout_at_32_pixels_has_52_chunks_and_ends_at_the_counterfactual():
    x, image = images(1, 32), images(1, 32, seed=1)
    found = M.cout(by_mean, x, image, torch.tensor([0]), torch.tensor([1]))
    assert found.share.shape == (53,)
    assert found.share[-1] == 1
    torch.testing.assert_close(found.target[:, -1], by_mean(image).sigmoid()[:, 0])


def test_mnac_of_identical_pairs_is_zero():
    before = torch.rand(4, 5) > 0.5
    assert M.attributes_changed(before, before).tolist() == [0] * 4
    assert M.attributes_changed(before, ~before).tolist() == [5] * 4


def test_cd_without_edits_is_the_sum_of_the_datas_correlations():
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(200, 4, generator=generator) > 0.5
    labels[:, 1] = labels[:, 0]
    before = torch.rand(10, 4, generator=generator) > 0.5
    found = M.correlation_difference(before, before, labels, 0)
    corr = torch.corrcoef(labels.double().T)[0]
    assert found.value == pytest.approx(float(corr.abs().sum()))
    assert found.edits.tolist() == [0] * 4


def test_cd_sees_an_edit_that_goes_along_with_the_query():
    n = 8
    before = torch.zeros(n, 3, dtype=torch.bool)
    after = before.clone()
    after[: n // 2, 0] = after[: n // 2, 2] = True  # attribute 2 moves with the query, 1 never
    independent = torch.tensor([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]).bool()
    found = M.correlation_difference(before, after, independent, 0)
    torch.testing.assert_close(found.edits, torch.tensor([1.0, 0, 1], dtype=torch.float64))
    assert found.value == pytest.approx(1.0)


def test_cd_refuses_other_numbers_of_attributes(as_shipped):
    with pytest.raises(ValueError, match="must have one number of attributes for all"):
        M.correlation_difference(torch.zeros(2, 3) > 0, torch.zeros(2, 3) > 0, torch.zeros(2, 4) > 0, 0)


def test_changes_of_one_pixel():
    x, image = constant(0.5, 2), constant(0.5, 2)
    image[1, 0, 1, 1] += 0.16
    assert M.changed_share(x, image).tolist() == [0, 1 / 16]
    assert M.mean_change(x, image)[1] == pytest.approx(0.16 / 48)
    assert M.largest_change(x, image)[1] == pytest.approx(0.16)
    two = constant(100 / 255)
    assert not M.changed_pixels(two, two + 2 / 255).any()
    assert M.changed_pixels(two, two + 3 / 255).all()


def test_high_frequency_share_of_waves_and_noise():
    x, place = torch.zeros(1, 1, 16, 16), torch.arange(16) * 2 * torch.pi / 16
    slow, fast = (torch.cos(k * place).expand(1, 1, 16, 16) for k in (2, 6))
    assert M.high_frequency_share(x, slow).item() == pytest.approx(0, abs=1e-6)
    assert M.high_frequency_share(x, fast).item() == pytest.approx(1, abs=1e-6)
    assert M.high_frequency_share(x, slow + fast).item() == pytest.approx(0.5, abs=1e-6)
    assert M.high_frequency_share(x, x).isnan().all()
    noise = torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    share = M.high_frequency_share(torch.zeros_like(noise), noise).mean().item()
    assert share == pytest.approx(1 - math.pi / 16, abs=0.01)


def test_features_are_what_enters_the_head_and_leave_no_hook():
    model, x = net(), images()
    features = M.Features("tiny", model, batch_size=2)
    found = features(x)
    assert found.shape == (6, features.num_features)
    with torch.no_grad():
        torch.testing.assert_close(model.head(found), model(x))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_features_refuse_what_has_none():
    with pytest.raises(ValueError, match="no linear layer"):
        M.Features("none", nn.Identity())
    with pytest.raises(ValueError, match="training mode"):
        M.Features("train", net().train())


def test_identical_pairs_are_alike_and_at_distance_zero():
    features, x = M.Features("tiny", net()), images(40)
    torch.testing.assert_close(M.similarity(features, x, x), torch.ones(40))
    assert M.same_identity(features, x, x).all()
    assert M.frechet(features, x, x) == pytest.approx(0, abs=1e-5)


class Flat(nn.Module):
    """Features that are the two means of an image's halves, so that their Gaussians are known."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(2, 2)

    def forward(self, x):
        return self.last(x.mean((1, 2)))


def test_the_frechet_distance_of_two_gaussians_is_the_closed_form():
    features = M.Features("flat", Flat().eval())
    base = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) * 0.1
    base = base - base.mean(0)

    def drawn(values):
        return values.view(-1, 1, 1, 2).expand(-1, 3, 4, 2).contiguous()

    a, b = drawn(base), drawn(2 * base + torch.tensor([0.3, 0.4]))
    trace = torch.cov(base.T).trace().item()
    assert M.frechet(features, a, b) == pytest.approx(0.25 + trace, rel=1e-3)


def test_split_frechet_never_compares_a_counterfactual_with_its_own_image():
    features, x = M.Features("tiny", net()), images(30)
    found = M.split_frechet(features, x, x, repeats=2, generator=torch.Generator().manual_seed(0))
    assert found.mean > 1e-4
    again = M.split_frechet(features, x, x, repeats=2, generator=torch.Generator().manual_seed(0))
    assert found.mean == again.mean
    assert next(features.net.parameters()).dtype == torch.float32


def test_sets_that_are_too_small():
    features = M.Features("tiny", net())
    with pytest.raises(ValueError, match="real and fake must hold 2 images or more"):
        M.frechet(features, images(1), images(3))
    with pytest.raises(
        ValueError, match="x and image must hold equal numbers of 4 images or more, got 4 and 5"
    ):
        M.split_frechet(features, images(4), images(5))


def test_factors_that_are_read_before_and_after():
    def reader(x):
        return torch.stack([x.mean((1, 2, 3)) - 0.5, x[:, 0, 0, 0]], 1)

    x, moved = constant(0.2, 2), constant(0.9, 2)
    torch.testing.assert_close(M.factor_shift(reader, x, moved, batch_size=1), torch.full((2, 2), 0.7))
    assert M.upper_half(reader, x).tolist() == [[False, True]] * 2


def test_iou_of_nothing_and_nothing_has_no_meaning():
    empty = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    assert M.mask_iou(empty, empty[:, 0]).isnan().all()
    full = ~empty
    assert M.mask_iou(full, full[:, 0]).tolist() == [1]
    assert M.mask_iou(full, empty[:, 0]).tolist() == [0]
