"""Adversarial training: where its images lie, that it trains, and what the shipped networks reach."""

import pytest
import torch
from tiny import images, net
from torch.nn import functional as F

from robustxai.concepts.rendered_classes import labelled
from robustxai.concepts.study.adversarial_training import EPS, adversarial, attacked_accuracy
from robustxai.concepts.study.recipes import SEEDS, build_hardened, zoo_name
from robustxai.nets import accuracy_of, pretrained, zoo
from robustxai.nets.recipes import Job


class Watched(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.seen = model, []

    def forward(self, x):
        self.seen.append(x.detach())
        return self.model(x)


def test_the_loss_is_that_of_worse_images_in_the_box():
    x, y, model = images(16), torch.arange(16) % 4, Watched(net())
    torch.manual_seed(0)
    loss = adversarial(model, x, y)
    start, moved = model.seen
    for near in (start, moved):
        assert (near - x).abs().max() <= EPS + 1e-6 and 0 <= near.min() and near.max() <= 1
    assert loss > F.cross_entropy(model(start), y) and loss > F.cross_entropy(model(x), y)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    torch.manual_seed(0)
    assert torch.equal(adversarial(model, x, y), loss)


def test_an_attack_costs_answers():
    model, x = net(), images(40)
    right = model(x).argmax(1)
    assert accuracy_of(model, x, right) == 1 and attacked_accuracy(model, x, right, steps=5) < 1


def test_the_recipe_says_what_it_reached(tmp_path):
    job = Job("concepts-hardened", 3, torch.device("cpu"), tmp_path, progress=False)
    (found,) = build_hardened(job, n=2, n_test=1, epochs=1)
    assert found.name == zoo_name("hardened", 3) and "adversarial" in found.dataset
    assert 0 <= found.metrics["attacked_accuracy"] <= found.metrics["test_accuracy"] <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_shipped_networks_hold_where_the_usual_ones_fall(seed):
    x, y = labelled(5, seed=77)
    usual, hard = (pretrained(zoo_name(kind, seed)).eval() for kind in ("plain", "hardened"))
    assert zoo()[zoo_name("hardened", seed)].metrics["test_accuracy"] >= 0.85
    assert attacked_accuracy(hard, x, y) > attacked_accuracy(usual, x, y) + 0.3
