"""Answers in one call are the answers in many calls, for the two measures that ask one change after another."""

import pytest
import torch
from curved import generator

from robustxai.manifold_ig.batched_queries import at_once
from robustxai.metrics import gaussian_noise, infidelity, max_sensitivity


def test_the_sensitivity_is_the_same_and_costs_few_calls():
    x, t, calls = torch.rand(3, 2, 4, 4, generator=generator(0)), torch.tensor([0, 1, 2]), []

    def explain(v, target):
        calls.append(len(v))
        return ((1 + target.view(-1, 1, 1, 1)) * v).square()

    def measure(ask):
        return max_sensitivity(ask, x, t, radius=0.1, draws=7)

    one, clean = measure(explain), explain(x, t)
    assert calls == [3] * 9
    calls.clear()
    many = at_once(measure, explain, like=clean, known=clean, batch_size=9)
    assert calls == [9, 9, 3]
    assert torch.equal(one.value, many.value) and torch.equal(one.x, many.x)
    assert torch.equal(at_once(measure, explain, like=clean).value, one.value)


def test_the_infidelity_is_the_same(classifier, decoder):
    with torch.no_grad():
        x = decoder(torch.randn(3, 6, generator=generator(1)))
        logits = classifier(x)
    t, a = logits.argmax(1), torch.randn(x.shape, generator=generator(2))

    def measure(ask):
        return infidelity(ask, x, a, t, perturb=gaussian_noise(0.1), draws=9)

    for one, many in zip(measure(classifier), at_once(measure, classifier, like=logits), strict=True):
        torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-7)


def test_a_measure_that_asks_by_its_answers_is_refused():
    def curious(ask):
        return ask(ask(torch.ones(2, 3)))

    with pytest.raises(ValueError, match="measure must issue the same queries in every run"):
        at_once(curious, lambda x: x + 1, like=torch.zeros(2, 3))


def test_a_measure_that_draws_from_outside_is_refused():
    g = generator(3)

    def drawing(ask):
        return ask(torch.rand(2, 3, generator=g))

    with pytest.raises(ValueError, match="measure must issue the same queries in every run"):
        at_once(drawing, lambda x: x, like=torch.zeros(2, 3))


def test_a_memory_answers_what_was_asked_before():
    x, calls, memory = torch.rand(2, 3, generator=generator(4)), [], {}

    def answer(v):
        calls.append(len(v))
        return v.square()

    def sums(*factors):
        return lambda ask: sum(ask(f * x) for f in factors)

    first = at_once(sums(1, 2), answer, like=x, memory=memory)
    second = at_once(sums(2, 3, 3), answer, like=x, memory=memory)
    assert calls == [4, 2]
    torch.testing.assert_close(first, 5 * x.square())
    torch.testing.assert_close(second, 22 * x.square())
