"""Comparing two networks, and the monitors that need only one."""

import math

import pytest
import torch
from problems import TinyGAP, images

from robustxai.diffgradcam import EntropyMonitor, ShiftAttack, border, score_agreement, sham_target
from robustxai.diffgradcam.study.compare import METHODS, compare, native_maps
from robustxai.metrics import entropy, pearson

PATTERN = sham_target(8, 8)


@pytest.fixture
def setting():
    model, x = TinyGAP().eval(), images(12)
    with torch.no_grad():
        model.head.weight.mul_(50)
        model.head.bias -= model(x).median(0).values  # different images, different predictions
        y = model(x).argmax(-1)
        assert len(y.unique()) > 2
        return model, x, y


def test_a_network_compared_with_itself(setting):
    model, x, y = setting
    c = compare(model, model, x, y, PATTERN)
    assert c.accuracy == (1.0, 1.0) and c.agree == 1.0 and c.kl == pytest.approx(0.0, abs=1e-7)
    assert set(c.methods) == set(METHODS)
    for name, table in c.methods.items():
        assert all(len(v) == 12 for v in table.values())
        alive = table["dead"] == 0
        assert alive.any()
        for metric, value in (
            ("r_base", 1.0),
            ("spearman", 1.0),
            ("cosine", 1.0),
            ("iou", 1.0),
            ("mae", 0.0),
        ):
            torch.testing.assert_close(table[metric][alive], torch.full_like(table[metric][alive], value))
            assert c.mean(name, metric) == pytest.approx(value, abs=1e-5)


def test_the_shift_attack_shows_in_gradcam_only(setting):
    model, x, y = setting
    c = compare(model, ShiftAttack(model, PATTERN, 1e4).eval(), x, y, PATTERN)
    assert c.agree == 1.0 and c.kl == pytest.approx(0.0, abs=1e-4)
    assert c.mean("GradCAM", "r_sham") > 0.99 > 0.9 > c.mean("GradCAM", "r_base")
    assert c.mean("GradCAM", "entropy") == pytest.approx(math.log(float(PATTERN.sum())), abs=0.05)
    assert c.mean("GradCAM", "border_mass") > 0.95
    for method in ("DiffGradCAM", "DiffGradCAM max", "DiffGradCAM mean", "DiffGradCAM++"):
        assert c.mean(method, "r_base") > 0.999


def test_only_images_on_which_both_agree_count(setting):
    model, x, y = setting
    other = TinyGAP().eval()
    with torch.no_grad():
        other.head.load_state_dict(model.head.state_dict())
        other.head.bias[int(y[0])] -= 1e6  # never says the class of the first image
    c = compare(model, other, x, y, PATTERN)
    kept = int((y != y[0]).sum())
    assert c.agree == pytest.approx(kept / 12) and kept < 12
    assert len(c.methods["GradCAM"]["r_base"]) == kept
    assert c.accuracy[1] == pytest.approx(kept / 12)


def test_networks_that_never_agree_get_one_sentence(setting, as_shipped):
    model, x, y = setting
    other = TinyGAP().eval()
    with torch.no_grad():
        other.head.bias[int(y[0])] += 1e6  # says the class of the first image, always
    keep = y != y[0]
    with pytest.raises(ValueError, match="manipulated must agree with honest on an image"):
        compare(model, other, x[keep], y[keep], PATTERN)


def test_batches_do_not_change_the_maps(setting):
    model, x, _ = setting
    for a, b in zip(native_maps(model, x, batch_size=5), native_maps(model, x), strict=True):
        torch.testing.assert_close(a, b)
    explained, target = native_maps(model, x, torch.full((12,), 2))[1]["GradCAM"], 2
    expected = torch.einsum("k,nkhw->nhw", model.head.weight[target], model.features(x)).relu() / 64
    torch.testing.assert_close(explained[:, 0], expected.detach())


def test_entropy_monitor_on_maps_of_known_entropy():
    honest = torch.stack([sham_target(7, 7, n=n) for n in (20, 24, 28)])[:, None]
    monitor = EntropyMonitor.fit(honest)
    known = torch.tensor([20.0, 24.0, 28.0]).log()
    assert monitor.mean == pytest.approx(float(known.mean())) and monitor.std == pytest.approx(
        float(known.std())
    )
    assert monitor.zscore(honest) == pytest.approx(0.0, abs=1e-5)
    one = border(7, 7)[None, None]
    assert monitor.zscore(one) == pytest.approx((math.log(24) - monitor.mean) / monitor.std, abs=1e-4)
    with_a_dead_map = torch.cat((honest, torch.zeros(1, 1, 7, 7)))
    assert EntropyMonitor.fit(with_a_dead_map) == pytest.approx(monitor), "dead maps have no entropy"


def test_sham_is_built_to_pass_the_entropy_monitor():
    """At the paper's 28 of 49, a network trained to show the target looks like its honest twins."""
    honest = torch.stack([sham_target(7, 7, n=n) for n in range(22, 36)])[:, None]
    monitor = EntropyMonitor.fit(honest)
    assert abs(monitor.zscore(sham_target(7, 7)[None, None])) < 1
    assert float(entropy(sham_target(7, 7)[None])) == pytest.approx(math.log(28), abs=1e-5)


def test_scores_of_a_manipulated_network_stop_agreeing(setting):
    model, x, _ = setting
    honest = score_agreement(model, x)
    fooled = score_agreement(ShiftAttack(model, PATTERN, 1e4).eval(), x)
    assert set(honest) == {"logit/mean", "logit/lse", "mean/lse"}
    assert fooled["mean/lse"] == pytest.approx(honest["mean/lse"], abs=1e-3), "both are shift invariant"
    for pair in ("logit/mean", "logit/lse"):
        assert fooled[pair] < honest[pair] - 0.3


def test_two_classes_agree_exactly_once_the_head_is_centred():
    model, x = TinyGAP(classes=2).eval(), images(4)
    with torch.no_grad():
        model.head.weight[1] = -model.head.weight[0]
    assert all(r == pytest.approx(1.0, abs=1e-4) for r in score_agreement(model, x).values())


def test_metrics_of_comparison_are_those_of_the_package(setting):
    model, x, y = setting
    other = TinyGAP(seed=1).eval()
    with torch.no_grad():
        other.head.weight.zero_()
        other.head.bias.zero_()
        other.head.bias[0] = 1.0
        model.head.bias[0] += 1e4  # both say class 0
    c = compare(model, other, x, y, PATTERN, {"DiffGradCAM": ("lse", "gradcam++")})
    a = native_maps(other, x, torch.zeros(12, dtype=torch.int64), {"m": ("lse", "gradcam++")})[1]["m"]
    torch.testing.assert_close(
        c.methods["DiffGradCAM"]["r_sham"], pearson(a, PATTERN.expand(12, 1, 8, 8)), equal_nan=True
    )
    assert bool((c.methods["DiffGradCAM"]["dead"] == 1).all()), "a head of zeros has only dead maps"
