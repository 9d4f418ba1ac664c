"""Does a map say anything: faithfulness, dependence on the network and on the class, on cases solved by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from robustxai.arena.informative import class_dependence, dependence, faith, with_random_weights
from robustxai.explainers.base import Explainer
from robustxai.nets import CompactResNet


def bright(x: Tensor) -> Tensor:
    """Class 0 is brightness of the middle."""
    return torch.stack((20 * x[..., 2:6, 2:6].mean((1, 2, 3)), 0 * x[:, 0, 0, 0]), 1)


X = torch.zeros(4, 1, 8, 8)
X[..., 2:6, 2:6] = 1.0
MASK = X[:, 0].clone()


class Terms(Explainer):
    """|x| times the class's row of the first linear layer."""

    def __init__(self, model: nn.Module):
        self.model = model

    def attribute(self, x: Tensor, target=None) -> Tensor:
        linear = next(m for m in self.model.modules() if isinstance(m, nn.Linear))
        return x * linear.weight[target].reshape(len(x), *x.shape[1:])


class Edges(Explainer):
    """Ignores the network."""

    def __init__(self, model: nn.Module):
        self.model = model

    def attribute(self, x: Tensor, target=None) -> Tensor:
        return (x - x.roll(1, 3)).abs()


def test_the_object_is_worth_one_and_its_complement_less_than_chance() -> None:
    found = faith(bright, X, MASK + 0.01 * torch.rand(MASK.shape), 0, masks=MASK)
    assert found.value == pytest.approx(1, abs=0.05)
    assert faith(bright, X, 1 - MASK, 0, like=found).value < 0
    order = torch.rand(MASK.shape, generator=torch.Generator().manual_seed(5))
    assert abs(faith(bright, X, order, 0, like=found).value) < 0.3
    assert (found.insertion > faith(bright, X, 1 - MASK, 0, like=found).insertion).all()


def test_undefined_values_of_faith() -> None:
    found = faith(bright, X, MASK, 0, masks=MASK)
    assert math.isnan(faith(bright, X, MASK, 0).value)  # no mask, no reference
    assert math.isnan(
        faith(bright, X, torch.ones_like(MASK), 0, like=found).value
    )  # constant: orders nothing
    assert math.isnan(faith(bright, X, MASK, 0, masks=1 - MASK).value)  # a mask worse than chance
    with pytest.raises(ValueError, match=r"^like must have one entry for each of the 2 of x, got 4$"):
        faith(bright, X[:2], MASK[:2], 0, like=found)
    spoiled = MASK.clone()
    spoiled[0] = 1  # constant there: left out, not a number
    again = faith(bright, X, spoiled, 0, like=found)
    assert again.deletion.isnan().tolist() == [True, False, False, False]
    assert again.value == pytest.approx(found.value, abs=1e-5)


def test_dependence_is_zero_for_what_ignores_the_network_and_for_constant_maps() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    x, t = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 3
    assert dependence(Edges(net), x, t, Edges(net)(x, t)).abs().max() < 1e-6
    assert not dependence(Terms(net), x, t, torch.ones(5, 1, 8, 8)).any()
    assert (dependence(Terms(net), x, t, Terms(net)(x, t)) > 0.3).all()


def test_a_draw_with_a_constant_map_says_nothing() -> None:
    class Dead(Terms):
        def attribute(self, x: Tensor, target=None) -> Tensor:
            return super().attribute(x, target) * (self.model is net)

    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    x, t = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    assert dependence(Dead(net), x, t, Dead(net)(x, t)).isnan().all()


def test_all_parameters_are_drawn_anew_and_the_model_and_the_global_seed_stay() -> None:
    net = CompactResNet(classes=4).eval()
    net.extra = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    before = {n: p.clone() for n, p in net.state_dict().items()}
    state = torch.random.get_rng_state()
    other = with_random_weights(net, torch.Generator().manual_seed(3))
    again = with_random_weights(net, torch.Generator().manual_seed(3))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(p, before[n]) for n, p in net.state_dict().items())
    drawn = [n for n, p in other.named_parameters() if not torch.equal(p, before[n])]
    fixed = [n for n, p in other.named_parameters() if n not in drawn]
    assert all("weight" in n or "bias" in n or n == "extra" for n in drawn) and "extra" in drawn
    assert all(torch.equal(p, dict(again.named_parameters())[n]) for n, p in other.named_parameters())
    assert not [n for n in fixed if dict(net.named_parameters())[n].ndim > 1], (
        "matrices and filters are drawn"
    )


def test_class_dependence_by_hand() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)).eval()
    rows = torch.tensor([[4.0, 3, 2, 1], [1.0, 2, 3, 4], [0.4, 0.3, 0.2, 0.1]])
    net[1].weight.data.copy_(rows)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    x, t = torch.tensor([[[[0.5, 0.5], [0.5, 0.5]]]]), torch.tensor([2])
    explain = Terms(net)
    assert float(class_dependence(explain, x, t, explain(x, t))) == pytest.approx(0, abs=1e-5)  # 0 before 1
    x2 = torch.tensor([[[[0.2, 0.4], [0.5, 0.9]]]])
    found = class_dependence(explain, x2, torch.tensor([0]), explain(x2, torch.tensor([0])))
    ranks = torch.corrcoef(
        torch.stack((rows[0] * x2.flatten(), rows[1] * x2.flatten())).argsort().argsort().float()
    )
    assert float(found) == pytest.approx(1 - float(ranks[0, 1]), abs=1e-5)
    assert not class_dependence(explain, x, t, torch.ones(1, 1, 2, 2)).any()
