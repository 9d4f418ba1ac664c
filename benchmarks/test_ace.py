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
from robustxai.ace.metrics import cout
from robustxai.ace.study.routes_and_realism import modes
from robustxai.ace.study.study import OPTIONS, TAU, Study, held_back
from robustxai.metrics import bootstrap_interval
from robustxai.nets import CompactResNet
from robustxai.records import joined_rows

CHAPTER = "ace"
GRADIENTS = "one gradient through the filter, tau 5, 32 px, 16 images, one thread"
MODES = "counterfactuals of 24 portraits, 32 px, tau 3, 50 steps, one thread"
MEMORY = "bytes of tensors held at once in a gradient through the filter, 32 px, 4 images"
SEEDS, FACES = 3, 64  # classifiers, and faces for each of them
CHECK = f"fast minus strict, {SEEDS} classifiers, {FACES} faces each that no setting was chosen on"
THREADS = 1  # two threads gain little at these sizes, and times of a shared machine vary less with one


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
def explain():
    """explain(mode) is a function that explains the same faces and gives (result, mean COUT)."""
    study = Study()
    x, judges = study.images(24), study.judges(0)
    explainer = ACE(judges.classifier, study.filter, **OPTIONS)

    def made(mode):
        c = explainer.explain(x, mode=mode)
        return c, float(cout(judges.classifier, c.x, c.image, c.prediction, c.target).score.mean())

    return lambda mode: lambda: made(mode)


@pytest.mark.benchmark(group=MODES)
def test_fast_mode(explain, against):
    against(explain("fast"), explain("strict"), rounds=2, name="fast / strict, time", target="0.2 or less")


@pytest.mark.benchmark(group=MODES)
def test_fast_mode_passes(explain, benchmark):
    """The ratio is that of passes of the denoising network, not of times."""
    start = time.process_time()
    (strict, strict_cout), seconds = explain("strict")(), time.process_time() - start
    fast, fast_cout = benchmark.pedantic(explain("fast"), rounds=1)
    passes = [float((c.unet_forwards + c.unet_backwards).double().mean()) for c in (fast, strict)]
    steps, ratio = OPTIONS["steps"], passes[0] / passes[1]
    assert passes[1] == steps * TAU + TAU + steps * TAU
    benchmark.extra_info.update(
        chapter=CHAPTER, name="fast / strict, passes of the denoising network", n=1, ratio=ratio, low=ratio,
        high=ratio, target="0.2 or less", reference_seconds=seconds, passes=passes,
    )  # fmt: skip
    print(f"\n{fast.report()}, COUT {fast_cout:.2f}; {strict.report()}, COUT {strict_cout:.2f}")


@pytest.mark.benchmark(group=CHECK)
def test_fast_mode_on_faces_held_back(benchmark):
    """Fast mode was tuned on faces; here are others, and differences instead of ratios."""
    study, images = Study(), held_back(SEEDS * FACES).images.split(FACES)

    def run():
        sets = zip(range(SEEDS), images, strict=True)
        return [
            modes(study.judges(s), x, study.filter, names=("joint", "fast"), **OPTIONS)[0] for s, x in sets
        ]

    parts = benchmark.pedantic(run, rounds=1)
    for part in parts:  # COUT of a decision that did not turn is low: once more without those
        both = part["joint"]["flip"].bool() & part["fast"]["flip"].bool()
        for row in part.values():
            row["cout where both flip"] = row["cout"].masked_fill(~both, torch.nan)
    whole, rows = joined_rows(parts), []
    goal = "-0.02 or more"
    targets = {"flip": goal, "cout": goal, "cout where both flip": None, "transfer": None, "l0": None}
    for name, target in targets.items():
        found = bootstrap_interval(whole["fast"][name] - whole["joint"][name])
        by_seed = [float((p["fast"][name] - p["joint"][name]).nanmean()) for p in parts]
        values = {mode: float(whole[mode][name].nanmean()) for mode in ("joint", "fast")}
        rows.append(
            dict(name=name, difference=found.value, low=found.low, high=found.high, n=found.n, target=target)
            | values
            | {"by_seed": by_seed}
        )
    passes = [float((whole[m]["forwards"] + whole[m]["backwards"]).mean()) for m in ("joint", "fast")]
    benchmark.extra_info.update(chapter=CHAPTER, differences=rows, passes=passes)
    print("", f"passes {passes}", *rows, sep="\n")


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
