"""The training loop: seeds, subsets, averages, schedules, losses and errors."""

import copy

import pytest
import torch
from helpers import data, same, tiny
from torch.nn import functional as F

from robustxai.nets import CompactResNet, RandomShift, accuracy_of, fit
from robustxai.nets.train import learning_rate


def test_the_seed_decides_everything_and_the_global_state_is_left_alone() -> None:
    nets = []
    for outside, seed in ((0, 3), (1, 3), (0, 4)):
        torch.manual_seed(outside)
        state = torch.get_rng_state()
        net = tiny()
        fit(net, *data(48), epochs=1, batch_size=16, augment=RandomShift(2, flip=True), seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        nets.append(net)
    assert same(nets[0], nets[1])
    assert not same(nets[0], nets[2])


def test_a_loss_may_draw_from_the_default_generator() -> None:
    def noisy(model, x, y):
        return F.cross_entropy(model(x + 0.1 * torch.randn_like(x)), y)

    nets = [tiny(), tiny()]
    for net in nets:
        fit(net, *data(48), epochs=1, loss=noisy)
    assert same(*nets)


def test_it_learns_and_leaves_the_model_in_eval_mode_without_gradients() -> None:
    net, (x, y) = tiny(), data()
    history = fit(net, x, y, epochs=15, batch_size=16, lr=0.02)
    assert history.loss[-1] < 0.3 * history.loss[0]
    assert history.accuracy[-1] == accuracy_of(net, x, y) > 0.9
    assert len(history.loss) == len(history.accuracy) == len(history.seconds) == 15
    assert not any(module.training for module in net.modules())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("params", [["head"], ["body.4", "head.bias"]])
def test_a_subset_leaves_all_else_bit_identical(params: list[str]) -> None:
    net = tiny()
    before = copy.deepcopy(net.state_dict())
    fit(net, *data(48), epochs=2, batch_size=16, params=params)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith(tuple(params)) for name in changed)
    assert ("body.4.0.bn1.running_mean" in changed) == ("body.4" in params)


def test_a_subset_may_be_given_as_modules() -> None:
    by_name, by_module = tiny(), tiny()
    fit(by_name, *data(48), epochs=1, params=["head"])
    fit(by_module, *data(48), epochs=1, params=[by_module.head])
    assert same(by_name, by_module)


def test_train_mode_can_freeze_batch_norm_statistics_while_all_weights_train() -> None:
    net = tiny()
    before = copy.deepcopy(net.state_dict())
    fit(net, *data(48), epochs=1, train_mode=lambda model: model.eval())
    after = net.state_dict()
    assert all(torch.equal(after[n], before[n]) for n in after if "running" in n)
    assert not torch.equal(after["body.0.0.weight"], before["body.0.0.weight"])


def test_ema_is_the_running_average_of_the_weights() -> None:
    seen: list[torch.Tensor] = []

    def watched(model, x, y):
        seen.append(model.head.weight.detach().clone())
        return F.cross_entropy(model(x), y)

    net, plain = tiny(), tiny()
    fit(net, *data(48), epochs=1, batch_size=16, ema=0.5, loss=watched)
    fit(plain, *data(48), epochs=1, batch_size=16)
    steps = [*seen[1:], plain.head.weight.detach()]
    expected = steps[0]
    for step in steps[1:]:
        expected = 0.5 * expected + 0.5 * step
    torch.testing.assert_close(net.head.weight.detach(), expected)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("memory", [True, False])
def test_one_step_is_torchs_own_step(optimizer: str, memory: bool) -> None:
    net, reference, (x, y) = tiny(), tiny(), data(16)
    fit(
        net, x, y, epochs=1, batch_size=16, optimizer=optimizer, lr=0.01, schedule="constant",
        channels_last=memory, weight_decay=0.1,
    )  # fmt: skip
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    extra = dict(momentum=0.9, nesterov=True) if optimizer == "sgd" else {}
    rule = kinds[optimizer](reference.parameters(), lr=0.01, weight_decay=0.1, foreach=False, **extra)
    reference.train()
    F.cross_entropy(reference(x), y).backward()
    before = tiny().state_dict()
    rule.step()
    for name, value in reference.state_dict().items():
        moved = (value - before[name]).abs().max().item()
        difference = (net.state_dict()[name] - value).abs().max().item()
        assert difference <= 0.02 * moved + 1e-7, name


def test_schedules() -> None:
    def rates(schedule: str) -> list[float]:
        return [learning_rate(step, 100, peak=1.0, schedule=schedule) for step in range(100)]

    cycle, cosine = rates("onecycle"), rates("cosine")
    assert cycle[0] == pytest.approx(0.04) and cycle[30] == 1.0 and cycle[99] < 1e-3
    assert cycle[:30] == sorted(cycle[:30]) and cycle[30:] == sorted(cycle[30:], reverse=True)
    assert cosine[0] == 1.0 and cosine[50] == pytest.approx(0.5)
    assert set(rates("constant")) == {1.0}


def test_targets_need_not_be_classes_and_progress_is_silent_without_a_terminal(capfd) -> None:
    net, (x, _) = tiny(), data(32)
    history = fit(net, x, torch.zeros(32, 3), epochs=1, loss=lambda m, a, b: F.mse_loss(m(a), b))
    assert history.accuracy[0] != history.accuracy[0]
    measured = fit(net, *data(32), epochs=2, measure=lambda model, x, y: float(len(x)))
    assert measured.accuracy == [32.0, 32.0]
    assert capfd.readouterr() == ("", "")


def test_bf16_trains_float32_weights() -> None:
    net = tiny()
    history = fit(net, *data(32), epochs=1, bf16=True)
    assert net.head.weight.dtype == torch.float32 and history.loss[0] < 5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(optimizer="adam2"), "optimizer must be one of adamw, adam, sgd; got 'adam2'"),
        (dict(schedule="linear"), "schedule must be one of"),
        (dict(epochs=0), "epochs and batch_size must be 1 or more"),
        (dict(params=["heads"]), "params must be names of the model, got 'heads'; near: head,"),
        (dict(params=[torch.nn.ReLU()]), "params must be parts of the model, got a ReLU that is none"),
        (dict(params=[]), "params must choose at least one parameter"),
        (dict(y=torch.zeros(5, dtype=torch.long)), "x and y must have the same length"),
    ],
)
def test_bad_arguments_are_one_sentence(change: dict, says: str) -> None:
    x, y = data(16)
    with pytest.raises(ValueError, match=says):
        fit(tiny(), x, change.pop("y", y), **(dict(epochs=1) | change))


def test_a_loss_that_explodes_is_an_error() -> None:
    with pytest.raises(FloatingPointError, match="not finite in epoch 0"):
        fit(tiny(), *data(16), epochs=1, loss=lambda m, a, b: m(a).sum() * float("inf"))


@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate", "circular"])
def test_random_shift_moves_whole_images_by_whole_pixels(padding: str) -> None:
    x = torch.rand(32, 2, 9, 11, generator=torch.Generator().manual_seed(0)) + 0.1
    shifted = RandomShift(2, padding, flip=True)(x, torch.Generator().manual_seed(1))
    mode = "constant" if padding == "zeros" else padding
    padded = F.pad(x, (2, 2, 2, 2), mode)
    found = []
    for before, after in zip(padded, shifted, strict=True):
        windows = {
            (dy, dx, flip): window.flip(-1) if flip else window
            for dy in range(5) for dx in range(5) for flip in (False, True)
            for window in [before[:, dy : dy + 9, dx : dx + 11]]
        }  # fmt: skip
        found.append([key for key, window in windows.items() if torch.equal(window, after)])
    assert all(len(keys) == 1 for keys in found)
    assert {keys[0][2] for keys in found} == {False, True}
    assert len({keys[0][:2] for keys in found}) > 10


def test_random_shift_refuses_unknown_padding() -> None:
    with pytest.raises(ValueError, match="padding must be one of zeros, reflect"):
        RandomShift(2, "mirror")


def test_networks_that_channels_last_would_break_are_trained_without_it() -> None:
    narrow, wide = tiny(), CompactResNet(3, widths=(8, 8, 8, 8), generator=torch.Generator().manual_seed(1))
    for net, layout in ((narrow, torch.contiguous_format), (wide, torch.channels_last)):
        inner = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
        seen = []

        def watched(model, x, y, inner=inner, layout=layout, seen=seen):
            seen.append(all(m.weight.is_contiguous(memory_format=layout) for m in inner))
            return F.cross_entropy(model(x), y)

        fit(net, *data(48), epochs=1, loss=watched)
        assert seen and all(seen) and all(m.weight.is_contiguous() for m in inner)
