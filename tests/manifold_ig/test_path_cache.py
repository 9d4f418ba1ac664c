"""A memory with a limit: the bytes it holds, what it forgets first, and that it changes no attribution."""

import time

import pytest
import torch

from robustxai.manifold_ig import ManifoldIG, geodesic
from robustxai.manifold_ig.path_cache import LIMIT, Recall, weight
from robustxai.runtime import side_by_side


def test_the_least_recently_used_goes_first_and_the_newest_stays():
    memory = Recall(limit=100)
    for key in (b"a", b"b", b"c"):
        memory[key] = torch.zeros(10)  # 40 bytes each
    assert sorted(memory) == [b"b", b"c"] and memory.size == 80
    assert memory[b"b"].numel() == 10
    memory[b"d"] = torch.zeros(10)
    assert sorted(memory) == [b"b", b"d"]
    memory[b"b"] = torch.zeros(1)
    assert memory.size == 44 and sorted(memory) == [b"b", b"d"]
    memory[b"e"] = torch.zeros(1000)
    assert list(memory) == [b"e"] and memory.size == 4000
    assert Recall().limit == LIMIT and not Recall()


def test_the_bytes_of_a_geodesic(decoder):
    path = geodesic(decoder, torch.zeros(1, 6), torch.ones(1, 6), 5, evaluations=2)
    assert weight(path) == sum(t.nbytes for t in vars(path).values()) > path.images.nbytes


def test_a_memory_that_forgets_changes_no_attribution(decoder, encoder, classifier):
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for memory in (None, {}, Recall(), Recall(limit=1)):
        method = ManifoldIG(classifier, encoder, decoder, n_steps=4, evaluations=3, memory=memory)
        found.append(torch.cat([method(part) for part in (x, x[:1], x)]))
    assert all(torch.equal(found[0], other) for other in found[1:])
    assert len(memory) == 1


def test_threads_that_want_the_same_make_it_once():
    memory, made = Recall(), []

    def make(key):
        time.sleep(0.02)
        made.append(key)
        return torch.full((2,), float(key[0]))

    keys = [b"a", b"b", b"a", b"b", b"a"] * 4
    found = side_by_side(lambda key: memory.made(key, lambda: make(key)), keys, workers=5)
    assert sorted(made) == [b"a", b"b"] and [float(v[0]) for v in found] == [float(k[0]) for k in keys]


def test_what_could_not_be_made_is_tried_again():
    memory = Recall()
    with pytest.raises(ZeroDivisionError):
        memory.made(b"a", lambda: 1 / 0)
    assert memory.made(b"a", lambda: torch.ones(1)) == 1
