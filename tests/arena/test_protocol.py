"""The checks against deceiving oneself: each passes on an honest row and fails on one made to deceive."""

import math

import pytest
import torch
from torch import Tensor, nn

from robustxai.arena.protocol import (
    CheckSetting,
    as_bytes,
    batch_is_singles,
    curve_rises,
    excess_small,
    free_attack,
    more_steps,
    protocol,
    survives_bytes,
    two_calls,
    untouched,
)
from robustxai.arena.trivial import FreshRandom
from robustxai.explainers.base import Explainer
from robustxai.explainers.gradient import Saliency
from robustxai.nets.softplus import softplus_copy
from robustxai.nets.zoo import pretrained

EPS = 4 / 255
NET = pretrained("diffgradcam-animals4-s0-clean")
X = torch.rand(6, 3, 56, 56, generator=torch.Generator().manual_seed(4)).mul(0.6).add(0.2)


def setting(explain: Explainer, **more) -> CheckSetting:
    with torch.no_grad():
        target = NET(X).argmax(1)
    return CheckSetting(
        **{"explain": explain, "model": NET, "x": X, "target": target, "eps": EPS, "steps": 10, **more}
    )


SALIENCY = Saliency(NET, score="logit")
TWIN = SALIENCY.on(softplus_copy(NET, 20))


def twin(_: Tensor) -> Explainer:
    return TWIN


class Wrong(Explainer):
    """Saliency that is spoiled in one way."""

    def __init__(self, how: str):
        self.model, self.how = NET, how

    def attribute(self, x: Tensor, target=None) -> Tensor:
        maps = SALIENCY.attribute(x, target)
        if self.how == "batch":
            return maps - maps.mean(0, keepdim=True)
        if self.how == "blind":
            return maps.detach() * 0 + torch.linspace(0, 1, 56 * 56).reshape(1, 1, 56, 56)
        if self.how == "touches":
            next(NET.parameters()).grad = torch.zeros_like(next(NET.parameters()))
        return maps


def test_an_honest_row_passes_all() -> None:
    found = protocol(setting(SALIENCY, guide=twin, steps=20))
    assert len(found) == 8
    assert [str(c) for c in found if not c.holds] == []


def test_a_row_that_draws_is_random_and_judged_by_nothing_else() -> None:
    found = protocol(setting(FreshRandom(NET)))
    assert [c.name for c in found] == ["two calls agree", "the network stays as it is"]
    assert not found[0].holds and found[1].holds


def test_a_row_that_depends_on_its_batch_is_caught() -> None:
    assert batch_is_singles(setting(SALIENCY)).holds
    assert not batch_is_singles(setting(Wrong("batch"))).holds
    assert two_calls(setting(Wrong("batch"))).holds


def test_masking_survives_a_huge_budget_and_is_caught() -> None:
    with pytest.warns(UserWarning, match="no gradient in x to follow"):
        assert not free_attack(setting(Wrong("blind"))).holds
    assert free_attack(setting(SALIENCY, guide=twin)).holds


def test_two_steps_are_too_few() -> None:
    assert not more_steps(setting(SALIENCY, guide=twin, steps=1)).holds


def test_bytes_keep_budget_class_and_map() -> None:
    assert all(check.holds for check in survives_bytes(setting(SALIENCY, guide=twin)))
    near = as_bytes(X + EPS, X, EPS)
    assert ((near - X).abs() <= EPS + 1e-5).all()
    levels = near * 255
    assert torch.allclose(levels, levels.round(), atol=1e-3)
    assert (as_bytes(X, X, 0.0) - X).abs().max() <= 0.5 / 255 + 1e-6  # no 8-bit value in the box: the nearest


def test_a_network_that_is_touched_is_caught() -> None:
    with untouched(NET) as check:
        SALIENCY(X[:1], torch.tensor([0]))
    assert check().holds
    with untouched(NET) as check:
        Wrong("touches")(X[:1], torch.tensor([0]))
    assert not check().holds
    next(NET.parameters()).grad = None
    for touch in (lambda: NET.train(), lambda: NET.register_forward_hook(lambda *a: None)):
        with untouched(NET) as check:
            handle = touch()
        assert not check().holds
        NET.eval()
        if not isinstance(handle, nn.Module):
            handle.remove()


def test_curves_and_excess_by_hand() -> None:
    assert curve_rises([4, 1, 2], [0.3, 0.9, 0.5]).holds and curve_rises([1, 2], [0.5, 0.519]).holds
    assert curve_rises([1, 2, 4], [0.9, 0.5, 0.53]).value == pytest.approx(0.03)
    assert not curve_rises([1, 2], [0.5, math.nan]).holds
    noise = torch.tensor([0.9, 0.8, math.nan])
    assert excess_small(noise, noise - 0.03).holds and not excess_small(noise, noise - 0.01).holds
    assert not excess_small(noise * math.nan, noise).holds
