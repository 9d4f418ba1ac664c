"""`fit_regularised`: equality with plain fine-tuning (A8), frozen batch statistics (P7), the gate, seeds, bad input."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from robustxai import nets
from robustxai.nets import MLP, ResNet9
from robustxai.ranking import R2ET, SSR, Gap, Table, fit_regularised, load_table, prepare
from robustxai.ranking.synthetic_table import adult_like


@pytest.fixture(scope="module")
def data() -> Table:
    return load_table("synth", limit=600)


def start(seed: int = 0) -> nn.Module:
    return MLP(28, generator=torch.Generator().manual_seed(seed))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_r2et_with_both_weights_zero_is_vanilla_bit_for_bit(data):
    vanilla, r2et, plain = start(), start(), start()
    fit_regularised(vanilla, data, epochs=3, seed=4)
    fit_regularised(r2et, data, [R2ET(8, 0, hessian=0)], epochs=3, seed=4)
    nets.fit(
        plain, *data.train, epochs=3, seed=4, lr=1e-3, optimizer="adam", schedule="constant", weight_decay=0.0,
        batch_size=128, progress=False,
    )  # fmt: skip
    assert same(vanilla, r2et) and same(vanilla, plain) and not same(vanilla, start())


@pytest.mark.parametrize("along", ["sign", "random"])
def test_the_seed_decides_everything(data, along):
    models = [start() for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        torch.manual_seed(hash(str(model)) % 100)
        fit_regularised(model, data, [R2ET(8, along=along)], epochs=1, seed=seed)
    assert same(models[0], models[1]) and not same(models[0], models[2])


def test_it_trains_the_gap_and_the_labels(data):
    model = start()
    gaps = [-Gap(8)(model, *data.test).item()]
    fitted = fit_regularised(model, data, [R2ET(8, 1.0, hessian=0)], epochs=15)
    gaps.append(-Gap(8)(model, *data.test).item())
    assert gaps[1] > 2 * gaps[0] and fitted.history.accuracy[-1] > 0.75 and fitted.kept == 14
    assert fitted.history.accuracy[-1] == nets.accuracy_of(model, *data.validation)
    assert not model.training and all(p.grad is None and p.requires_grad for p in model.parameters())


def test_batch_norm_statistics_stay_frozen():
    model = ResNet9(2, widths=(4, 4, 4, 4), softplus=1, generator=torch.Generator().manual_seed(0))
    x, y = torch.rand(12, 3, 8, 8), torch.arange(12) % 2
    before = deepcopy(model.state_dict())
    fit_regularised(model, (x, y), [R2ET(6)], epochs=1, batch_size=6)
    after = model.state_dict()
    assert all(torch.equal(after[n], before[n]) for n in after if "running" in n or "num_batches" in n)
    assert not torch.equal(after["head.weight"], before["head.weight"])


def test_the_gate_keeps_the_last_epoch_that_passes_or_leaves_the_model_as_it_came(data):
    trained = start()
    accuracies = fit_regularised(trained, data, epochs=6, lr=3e-3, seed=3).history.accuracy
    gate = sorted(accuracies)[-2]
    last = max(i for i, a in enumerate(accuracies) if a >= gate)
    model, shorter = start(), start()
    fitted = fit_regularised(model, data, epochs=6, lr=3e-3, seed=3, gate=gate)
    fit_regularised(shorter, data, epochs=last + 1, lr=3e-3, seed=3)
    assert fitted.kept == last and same(model, shorter)
    refused = start()
    assert fit_regularised(refused, data, [SSR()], epochs=2, gate=1.0).kept is None
    assert same(refused, start())


def test_weight_decay_is_the_coupled_penalty_of_adam(data):
    ours, theirs = start(), start()
    fit_regularised(ours, data, epochs=1, batch_size=10**6, weight_decay=0.1)
    rule = torch.optim.Adam(theirs.parameters(), 1e-3, weight_decay=0.1)
    nets.cross_entropy(theirs, *data.train).backward()
    rule.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x, y: (x.clone().index_fill(0, torch.tensor([0, 2]), torch.nan), y),
            "^x must be finite inputs, got NaN or infinite numbers",
        ),
        (
            lambda x, y: (x, torch.zeros_like(y)),
            r"^y must be labels of two classes or more, got class 0 only",
        ),
        (
            lambda x, y: (x, y[:-1]),
            r"^y must be class numbers \(\d+,\), got shape \(419,\) and dtype torch.int64",
        ),
        (
            lambda x, y: (x, y.float()),
            r"^y must be class numbers \(420,\), got shape \(420,\) and dtype torch\.float32",
        ),
    ],
)
def test_bad_data_is_one_sentence(as_shipped, change, message):
    x, y = prepare(adult_like(750), validation=0.2).train
    with pytest.raises(ValueError, match=message):
        fit_regularised(start(), change(x, y), epochs=1)


def test_bad_requests_are_one_sentence(as_shipped, data):
    with pytest.raises(
        ValueError,
        match=r"^data must be what prepare\(data\) returns, got 5 categorical columns that are not encoded",
    ):
        fit_regularised(start(), adult_like(50), epochs=1)
    with pytest.raises(ValueError, match=r"^gate must be None or, with validation data, .* got 0.8"):
        fit_regularised(start(), data.train, epochs=1, gate=0.8)
    with pytest.raises(ValueError, match=r"^gate must be None or, .* got 86$"):
        fit_regularised(start(), data, epochs=1, gate=86)
    with pytest.raises(ValueError, match=r"^options must be arguments of robustxai.nets.fit .* got ema$"):
        fit_regularised(start(), data, epochs=1, ema=0.9)
    with pytest.raises(ValueError, match=r"^k must be an integer in \[1, 27\] for 28 features, got 28"):
        fit_regularised(start(), data, [R2ET(28)], epochs=1)
    with pytest.raises(ValueError, match=r"^checkpoint cannot be combined with gate"):
        fit_regularised(start(), data, epochs=1, gate=0.5, checkpoint="run.safetensors")
