"""The cache of what was computed: bounded, honest about changed tensors, shared by threads, empty when copied."""

import copy

import pytest
import torch
from tiny import bars, images, net, sets

from robustxai.concepts import TCAV
from robustxai.concepts.activation_cache import ActivationCache, tensors_in
from robustxai.runtime import side_by_side

MODEL = net()


def ask(cache, x, made, keep=True, model=MODEL):
    return cache.get(model, x, ("word",), lambda: made.append(1) or x.double(), keep=keep)


def test_a_value_is_made_once_and_again_when_the_tensor_changed():
    cache, x, made = ActivationCache(), torch.rand(3, 4), []
    assert torch.equal(ask(cache, x, made), ask(cache, x, made)) and len(made) == 1
    x.add_(1)
    assert torch.equal(ask(cache, x, made), x.double()) and len(made) == 2
    ask(cache, x.clone(), made)
    assert len(made) == 3


def test_what_is_not_kept_leaves_nothing_but_finds_what_is_there():
    cache, x, made = ActivationCache(), torch.rand(3, 4), []
    ask(cache, x, made, keep=False)
    assert len(cache) == 0 and cache.size == 0
    ask(cache, x, made)
    ask(cache, x, made, keep=False)
    assert len(made) == 2


def test_the_limit_holds_and_the_oldest_goes_first():
    cache, made = ActivationCache(limit=3 * 1200), []
    xs = [torch.rand(100) for _ in range(5)]  # 400 bytes, and 800 of the value
    for x in xs:
        ask(cache, x, made)
        ask(cache, xs[0], made)  # asked for again and again
        assert cache.size <= cache.limit
    assert len(made) == 5
    ask(cache, xs[4], made)
    assert len(made) == 5
    ask(cache, xs[1], made)
    assert len(made) == 6
    ask(cache, torch.rand(1000), made)  # larger than all: not kept, and nothing is thrown out for it
    assert len(cache) == 3
    with pytest.raises(ValueError, match=r"limit must be .* got -1"):
        ActivationCache(-1)


def test_a_tensor_that_several_values_share_counts_once():
    cache, x = ActivationCache(), torch.rand(100)
    for word in "abc":
        cache.get(MODEL, x, (word,), lambda: (x, {"a": [x]}))
    assert cache.size == 400 and len(list(tensors_in((x, {"a": [x]})))) == 2


@pytest.mark.parametrize("keep", [True, False])
def test_calls_of_tcav_do_not_add_up(keep):
    tool = TCAV(MODEL, ["b2", "b3"], cache=ActivationCache(limit=200_000))
    for i in range(8):
        random = [s * (1 - i / 20) for s in sets(3)]
        tool.score(images(4, seed=i), 1, {"c": bars(6, seed=i)}, random, keep=keep, permutations=9)
        assert tool._cache.size <= 200_000 and (keep or not len(tool._cache))


def test_an_inference_tensor_is_not_kept_because_its_changes_are_not_seen():
    with torch.inference_mode():
        x = torch.rand(3)
    cache, made = ActivationCache(), []
    ask(cache, x, made)
    ask(cache, x, made)
    assert len(made) == 2 and not len(cache)


def test_a_copy_is_empty_and_threads_share_one():
    cache, x, made = ActivationCache(limit=1000), torch.rand(3), []
    ask(cache, x, made)
    assert len(copy.deepcopy(cache)) == 0 and copy.copy(cache).limit == 1000
    found = side_by_side(lambda _: ask(cache, x, made), range(200), workers=8)
    assert all(torch.equal(f, x.double()) for f in found) and len(made) == 1
