"""What counterfactuals cost: passes of the denoising network, time, and the memory of a graph.

Gradients are timed on a network of the shipped one's shape; modes on the shipped networks themselves, because how early
an image is done depends on what they learned. A pass is one forward or one backward of one image.
"""

import sys
import time
from pathlib import Path

import pytest
import torch

from robustxai.ace import ACE, DiffusionFilter, class_gradient
from robustxai.ace.faces import faces
from robustxai.ace.recipes import zoo_name
from robustxai.nets import CompactResNet, pretrained, zoo

CHAPTER = "ace"
GRADIENTS = "one gradient through the filter, tau 5, 32 px, 16 images, one thread"
MODES = "counterfactuals of 24 portraits, 32 px, tau 5, 50 steps, one thread"
MEMORY = "bytes of tensors held at once in a gradient through the filter, 32 px, 4 images"
THREADS = 1  # two threads gain little at these sizes, and times of a shared machine vary less with one
SETTINGS = dict(steps=50, lam=0.016, dilation=3)


@pytest.fixture(autouse=True)
def one_thread(_as_a_user_runs_it):
    torch.set_num_threads(THREADS)


def filtered(tau: int = 5, **options) -> DiffusionFilter:
    from robustxai.nets.unet import CompactUNet

    net = CompactUNet(generator=torch.Generator().manual_seed(0)).eval()
    return DiffusionFilter(net, net.scheduler, 100, tau, **options)


def gradient(route: str = "full", *, n: int = 16, at_once: int = 16, **options):
    """A function that computes the gradients of n images, `at_once` at a time."""
    f, net = filtered(**options), CompactResNet(2, generator=torch.Generator().manual_seed(0)).eval()
    x = torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    target, noise = torch.arange(n) % 2, f.noise(x)

    def run():
        for rows in torch.arange(n).split(at_once):
            class_gradient(net, f, x[rows], target[rows], noise[rows], route=route)

    return run


JOINT = "joint"
CASES = {
    "checkpointed": (dict(checkpoint=True), "1.6 or less: a second forward"),
    "one-step estimate": (dict(route="one-step"), "0.25 or less"),
    "shortcut, no backward": (dict(route="shortcut"), None),
    "bfloat16": (dict(bf16=True), None),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.benchmark(group=GRADIENTS)
def test_gradient(name, against):
    options, target = CASES[name]
    against(gradient(**options), gradient(), rounds=8, name=f"{name} / {JOINT}", target=target)


@pytest.mark.benchmark(group=GRADIENTS)
def test_gradients_in_a_batch(against):
    against(
        gradient(), gradient(at_once=1), rounds=8, name="16 images at once / one at a time", target="below 1"
    )


@pytest.fixture(scope="module")
def explainer():
    names = [zoo_name(kind) for kind in ("smile", "ddpm")]
    missing = [name for name in names if name not in zoo()]
    if missing:
        pytest.skip(f"{missing[0]} is not shipped")
    return ACE(pretrained(names[0]), DiffusionFilter.load(names[1]), **SETTINGS)


@pytest.mark.benchmark(group=MODES)
def test_fast_mode(explainer, against, benchmark):
    x, found = faces("test", 24).images, {}

    def explain(mode):
        return lambda: found.update({mode: explainer.explain(x, mode=mode)})

    against(explain("fast"), explain("strict"), rounds=2, name="fast / strict, time", target="0.2 or less")
    fast, strict = found["fast"], found["strict"]
    passes = [float((c.unet_forwards + c.unet_backwards).double().mean()) for c in (fast, strict)]
    assert passes[1] == 50 * 5 + 5 + 50 * 5
    benchmark.extra_info |= {
        "passes": passes, "flip_rates": [fast.flip_rate, strict.flip_rate], "pass_target": "0.2 or less"
    }  # fmt: skip
    print(
        f"\npasses an image: fast {passes[0]:.1f}, strict {passes[1]:.1f}; {fast.report()}; {strict.report()}"
    )


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.benchmark(group=MEMORY)
def test_memory(checkpoint, benchmark):
    """The ratio is that of bytes at tau 8 and tau 1, not of times."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "ace"))
    from peak import PeakBytes

    peaks, reference = [], 0.0
    for tau in (1, 8):
        run = gradient(n=4, tau=tau, checkpoint=checkpoint)
        with PeakBytes() as memory:
            run()
        peaks.append(memory.peak)
        if tau == 1:
            start = time.process_time()
            run()
            reference = time.process_time() - start
    benchmark.pedantic(run, rounds=1)
    ratio, how = peaks[1] / peaks[0], "checkpointed" if checkpoint else JOINT
    benchmark.extra_info.update(
        chapter=CHAPTER, name=f"{how}, tau 8 / tau 1, bytes", n=1, ratio=ratio, low=ratio, high=ratio,
        target="1.2 or less" if checkpoint else None, reference_seconds=reference, bytes=peaks,
    )  # fmt: skip
    print(f"\n{how}: {peaks[0] / 2**20:.1f} MiB at tau 1, {peaks[1] / 2**20:.1f} MiB at tau 8")
