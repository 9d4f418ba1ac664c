"""What a graph through the filter holds: a checkpointed one that of a single step, whatever tau is."""

import torch
from peak import PeakBytes
from toys import Classifier, filtered, images

from robustxai.ace import class_gradient


def test_the_counter_counts():
    with PeakBytes() as memory:
        a = torch.zeros(1000)
        b = torch.zeros(500) + 1
        del a
    assert 6000 <= memory.peak <= 8000 + 100 and memory.now == b.nbytes


def peak(tau, checkpoint):
    f, x, net = filtered(tau, checkpoint=checkpoint), images(2, size=16), Classifier()
    noise, target = f.noise(x), torch.tensor([0, 1])
    with PeakBytes() as memory:
        class_gradient(net, f, x, target, noise)
    return memory.peak


def test_memory_of_a_checkpointed_filter_does_not_grow_with_tau():
    joint, kept = [peak(tau, False) for tau in (1, 8)], [peak(tau, True) for tau in (1, 8)]
    assert joint[1] > 4 * joint[0]
    assert kept[1] < 1.2 * kept[0]
    assert kept[0] < 1.1 * joint[0]
