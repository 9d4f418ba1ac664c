"""Networks of a table side by side: a stack learns and is measured as each of its networks would be alone."""

from functools import partial

import pytest
import torch

from robustxai.nets.mlp_stack import MLPStack
from robustxai.ranking import (
    METHODS,
    GradientTimesInput,
    IntegratedGradients,
    Saliency,
    SmoothGrad,
    fine_tune,
    prepared,
)
from robustxai.ranking.stability import sensitivity
from robustxai.ranking.steps_to_break import iterations_to_break
from robustxai.ranking.study.other_attacks import integrated
from robustxai.ranking.study.settings import measure
from robustxai.ranking.study.stacked import (
    StackLoss,
    accuracies_of_stack,
    fit_stack,
    measure_stack,
    per_network,
    score_stack,
    together,
)
from robustxai.ranking.training_methods import beginning

SEEDS = (0, 1, 2)
SETTING, _ = prepared("breast_cancer")


@pytest.fixture(scope="module")
def splits():
    return [prepared("breast_cancer", seed=seed)[1] for seed in SEEDS]


@pytest.fixture(scope="module")
def starts(splits):
    drawn = [SETTING.build(s, torch.Generator().manual_seed(i)) for i, s in enumerate(splits)]
    return fit_stack(MLPStack.of(drawn), splits, epochs=20)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.trained])
def test_a_stack_learns_what_each_network_learns_alone(name, splits, starts):
    stack, more = beginning(METHODS[name], starts)
    fit_stack(stack, splits, METHODS[name].regularisers(8), epochs=2, **more)
    for i, split in enumerate(splits):
        alone, _ = fine_tune(name, starts.member(i), split, k=8, epochs=2)
        for key, value in stack.member(i).state_dict().items():
            assert torch.allclose(value, alone.state_dict()[key], atol=1e-4), (name, key)
        moved = max(
            float((value - starts.state_dict()[key][i]).abs().max())
            for key, value in alone.state_dict().items()
        )
        assert moved > 1e-3, "nothing was trained"


def test_a_stack_is_measured_as_each_network_is_alone(splits, starts):
    part = together([split.test for split in splits])
    found = measure_stack(starts, part, SETTING, points=12, steps=4)
    for i, (one, split) in enumerate(zip(found, splits, strict=True)):
        alone = measure(starts.member(i), split.test, SETTING, points=12, steps=4)
        assert (one.accuracy, one.auc) == pytest.approx((alone.accuracy, alone.auc))
        for what in ("er", "mse", "adaptive", "local", "adversarial"):
            assert torch.allclose(getattr(one, what), getattr(alone, what), atol=1e-4, equal_nan=True), what
        assert one.random.shape == alone.random.shape and one.mean("er") <= one.mean("random") + 0.03
    scores = score_stack(starts, part, SETTING, points=12, steps=4)
    assert [s.accuracy for s in scores] == pytest.approx([one.accuracy for one in found])
    assert [s.robustness for s in scores] == pytest.approx([one.mean("er") for one in found], abs=0.02)


@pytest.mark.parametrize(
    "make",
    [
        Saliency,
        GradientTimesInput,
        partial(SmoothGrad, samples=4),
    ],
)
def test_explanations_of_a_stack_are_those_of_its_networks(make, splits, starts):
    x, _ = together([split.test for split in splits])
    found = make(starts).attribute(x[:6].flatten(0, 1)).unflatten(0, (6, len(SEEDS)))
    for i in range(len(SEEDS)):
        assert torch.allclose(found[:, i], make(starts.member(i)).attribute(x[:6, i]), atol=1e-6)


def test_integrated_gradients_of_a_stack_are_those_of_its_networks(splits, starts):
    x, _ = together([split.test for split in splits])
    target = torch.zeros(6 * len(SEEDS), dtype=torch.int64)
    found = integrated(starts)(x[:6].flatten(0, 1), target).detach().abs().unflatten(0, (6, len(SEEDS)))
    for i in range(len(SEEDS)):
        alone = IntegratedGradients(starts.member(i), n_steps=10, score="prob").attribute(
            x[:6, i], target[:6]
        )
        assert torch.allclose(found[:, i], alone.abs(), atol=1e-5)


def test_an_explainer_that_asks_for_single_rows_is_refused(splits, starts):
    x, _ = together([split.test for split in splits])
    with pytest.raises(ValueError, match="x must have a multiple of 3 rows"):
        IntegratedGradients(starts, n_steps=5).attribute(x[:6].flatten(0, 1))


def test_rankings_of_a_stack_break_when_those_of_its_networks_do(splits, starts):
    x, _ = together([split.test for split in splits])
    options = dict(k=8, step=0.1, max_steps=15)
    found = iterations_to_break(starts, x[:6].flatten(0, 1), **options).iterations.unflatten(
        0, (6, len(SEEDS))
    )
    for i in range(len(SEEDS)):
        alone = iterations_to_break(starts.member(i), x[:6, i], **options)
        assert torch.equal(found[:, i], alone.iterations)
    assert len(found.unique()) > 1


def test_sensitivity_takes_all_rows_of_a_stack_at_once(splits, starts):
    x, y = together([split.test for split in splits])
    rows, target = x.flatten(0, 1).repeat(3, 1), y.flatten().repeat(3)
    assert len(rows) > 1024
    found = sensitivity(starts, Saliency(starts), rows, target, eps=0.1, draws=1, steps=1)
    assert found.optimised.shape == (len(rows),) and bool((found.random > 0).all())


def test_small_helpers(splits):
    x, y = together([split.test for split in splits])
    assert x.shape == (171, 3, 30) and y.shape == (171, 3) and torch.equal(x[:, 1], splits[1].test[0])
    nan = float("nan")
    assert per_network(torch.tensor([0.0, nan, 1.0, nan]), 2).tolist()[0] == 0.5
    assert per_network(torch.tensor([0.0, nan, 1.0, nan]), 2).isnan().tolist() == [False, True]
    with pytest.raises(ValueError, match="parts must be one or more"):
        together([splits[0].test, splits[0].train])
    with pytest.raises(ValueError, match="parts must be one or more"):
        together([])


def test_a_loss_is_the_sum_of_the_networks_losses(splits, starts):
    x, y = together([split.train for split in splits])
    loss = StackLoss()(starts, x, y).detach()
    alone = [
        torch.nn.functional.cross_entropy(starts.member(i)(s.train[0]), s.train[1])
        for i, s in enumerate(splits)
    ]
    assert float(loss) == pytest.approx(float(sum(one.detach() for one in alone)), rel=1e-5)
    right = [
        (starts.member(i)(s.test[0]).argmax(1) == s.test[1]).double().mean() for i, s in enumerate(splits)
    ]
    assert accuracies_of_stack(starts, *together([s.test for s in splits])).tolist() == pytest.approx(
        [float(r) for r in right]
    )
