"""Eight threads on one classifier, filter and `ACE` object are one thread, bit for bit, and leave nothing behind."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from toys import Classifier, filtered, images

from robustxai.ace import ACE, Calls, metrics as M
from robustxai.ace.frozen_parameters import _holders, frozen_parameters

THREADS = 8


@pytest.fixture(autouse=True)
def one_thread_each():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("mode", ["strict", "fast"])
def test_explanations_from_many_threads_are_those_of_one(mode):
    net, f = Classifier(2), filtered(2)
    ace = ACE(net, f, steps=6, step=4 / 255, dilation=3)
    parts = [images(1, seed=i) for i in range(6)]
    expected = [ace.explain(x, mode=mode) for x in parts]
    before = f.calls.forwards
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda i: ace.explain(parts[i % 6], mode=mode), range(48)))
    for i, one in enumerate(found):
        assert torch.equal(one.image, expected[i % 6].image) and torch.equal(one.after, expected[i % 6].after)
    asked = sum(int(one.unet_forwards.sum()) for one in found)
    assert f.calls.forwards - before == asked, "no count is lost"
    assert all(p.requires_grad and p.grad is None for m in (net, f.unet) for p in m.parameters())
    assert not _holders


def test_features_from_many_threads_are_those_of_one():
    features, parts = M.Features("f", Classifier(2)), [images(3, seed=i) for i in range(6)]
    expected = [features(x) for x in parts]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda i: features(parts[i % 6]), range(96)))
    assert all(torch.equal(one, expected[i % 6]) for i, one in enumerate(found))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in features.modules())


def test_the_last_one_out_restores_what_the_first_one_found():
    net = Classifier(2)
    net.conv.requires_grad_(False)
    before = [p.requires_grad for p in net.parameters()]
    inside, leave = threading.Event(), threading.Event()

    def long():
        with frozen_parameters(net):
            inside.set()
            assert leave.wait(60)
            assert not any(p.requires_grad for p in net.parameters())

    thread = threading.Thread(target=long)
    thread.start()
    assert inside.wait(60)
    with frozen_parameters(net, net.head), pytest.raises(KeyError), frozen_parameters(net):
        raise KeyError
    assert not any(p.requires_grad for p in net.parameters()), "another thread is still at work"
    leave.set()
    thread.join()
    assert [p.requires_grad for p in net.parameters()] == before and not _holders


def test_counts_of_many_threads_add_up():
    calls = Calls()
    with ThreadPoolExecutor(THREADS) as pool:
        list(
            pool.map(lambda _: (calls.count_forward(2), calls.count_backward(torch.zeros(3, 1))), range(4000))
        )
    assert calls == Calls(4000, 4000, 8000, 12000)
