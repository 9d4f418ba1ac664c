"""Searches that ended are not made again: the same cells to the bits, and almost no forward pass for attacks."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from robustxai.arena import suite
from robustxai.arena.evaluate import evaluate
from robustxai.arena.suite import Crafted
from robustxai.nets import CompactResNet

ROWS = ["edge", "GradCAM", "Saliency"]


class Never:
    """An attack that must not run."""

    def __init__(self, *_: object, **__: object):
        pass

    def perturb(self, *_: object, **__: object):
        raise AssertionError("a search was made again")


def same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))


def test_an_evaluation_from_memory_is_the_same_and_searches_nothing(monkeypatch):
    net = CompactResNet(classes=4, widths=(4, 6, 8, 8), generator=torch.Generator().manual_seed(0)).eval()
    x = torch.rand(8, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    memory: dict[str, Crafted] = {}
    how: dict[str, Any] = dict(rows=ROWS, eps=(4 / 255,), readout=("own",))
    plain, first = evaluate(net, x, **how), evaluate(net, x, **how, memory=memory)
    assert memory and {key.split("|")[0] for key in memory} == set(ROWS)
    monkeypatch.setattr(
        suite, "ATTACK_COLUMNS", {name: replace(c, make=Never) for name, c in suite.ATTACK_COLUMNS.items()}
    )
    again = evaluate(net, x, **how, memory=dict(memory))
    for one, two, three in zip(plain.cells, first.cells, again.cells, strict=True):
        assert one.state == two.state == three.state and one.worst_attack == three.worst_attack
        for name in ("worst", "noise", "transfer", "by_grid"):
            assert same(getattr(one, name), getattr(two, name)) and same(
                getattr(one, name), getattr(three, name)
            )
    assert sum(c.backwards for c in again.cells) < sum(c.backwards for c in first.cells) / 4
