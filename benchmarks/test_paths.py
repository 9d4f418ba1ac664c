"""What paths cost: IG against captum in time and memory, the geodesic solver against the released algorithm, ManifoldIG
against IG.

The networks have random weights: time does not depend on what they have learned. The released algorithm is timed
without its repeated evaluations of the stop rule, in favour of the released algorithm.
"""

import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from robustxai.manifold_ig import (
    IntegratedGradients,
    ManifoldIG,
    geodesic,
    largest_eigenvalue,
    released_geodesic_reference,
)
from robustxai.manifold_ig.released_solver import released_line
from robustxai.nets import CompactResNet, ConvVAE, TorchvisionClassifier, folded

CHAPTER = "manifold_ig"
STEPS, SIZE, BATCH, CHUNK = 50, 64, 8, 64
MEMORY = "bytes of tensors held at once in Integrated Gradients, 50 steps, 8 images of 64 px, passes of 64"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images() -> Tensor:
    return torch.rand(BATCH, 3, SIZE, SIZE, generator=generator())


def captums(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Captum's Integrated Gradients, midpoint rule, in passes of the same size."""
    method = captum.attr.IntegratedGradients(model)
    options = dict(n_steps=STEPS, method="riemann_middle", internal_batch_size=CHUNK)
    return lambda x, target: method.attribute(x, target=target, **options)


CLASSIFIERS = {
    "ResNet-18": lambda: TorchvisionClassifier("resnet18", generator=generator()).eval(),
    "CompactResNet": lambda: CompactResNet(10, generator=generator()).eval(),
}


@pytest.mark.parametrize("form", ["as it is", "folded"])
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.benchmark(group="Integrated Gradients, 50 steps, 8 images of 64 px, passes of 64 images")
def test_integrated_gradients_against_captum(name, form, against):
    """The same rule, steps and largest pass; `test_memory_against_captum` has the memory that both take.

    Captum explains the network as it is. So do we, and then the network with its batch norms folded, as the chapter
    does: the time of folding is within, and in both that of finding and verifying a way in behind the first layer. The
    values are the same.
    """
    model, x, target = CLASSIFIERS[name](), images(), torch.arange(BATCH) % 10

    def ours() -> Tensor:
        network = folded(model) if form == "folded" else model
        return IntegratedGradients(network, n_steps=STEPS, batch_size=CHUNK).attribute(x, target)

    theirs = captums(model)
    exact = copy.deepcopy(model).double()  # in float32, rounding flips some ReLUs
    network = folded(exact) if form == "folded" else exact
    options = dict(
        n_steps=STEPS, rule="gausslegendre"
    )  # captum rounds its midpoints to float32, with the same effect
    mine = IntegratedGradients(network, **options).attribute(x[:2].double(), target[:2])
    other = captum.attr.IntegratedGradients(exact).attribute(
        x[:2].double(), target=target[:2], n_steps=STEPS, method="gausslegendre"
    )
    assert (mine - other).abs().max() < 1e-4 * other.abs().max()
    against(
        lambda: theirs(x, target), ours, rounds=7, name=f"captum / ours, {name} {form}", target="1.2 or more"
    )


@pytest.mark.parametrize("form", ["as it is", "folded"])
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.benchmark(group=MEMORY)
def test_memory_against_captum(name, form, benchmark):
    """The ratio is that of bytes, not of times: what both hold at once beside the network and the images."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "ace"))
    from peak import PeakBytes

    model, x, target = CLASSIFIERS[name](), images(), torch.arange(BATCH) % 10
    network = folded(model) if form == "folded" else model
    method, theirs = IntegratedGradients(network, n_steps=STEPS, batch_size=CHUNK), captums(model)
    peaks = []
    for run in (lambda: method.attribute(x, target), lambda: theirs(x, target)):
        with PeakBytes() as memory:
            run()
        peaks.append(memory.peak)
    start = time.process_time()
    theirs(x, target)
    reference = time.process_time() - start
    benchmark.pedantic(lambda: method.attribute(x, target), rounds=1)
    ratio = peaks[0] / peaks[1]
    benchmark.extra_info.update(
        chapter=CHAPTER, name=f"ours / captum, {name} {form}, bytes", n=1, ratio=ratio, low=ratio, high=ratio,
        target="1 or less", reference_seconds=reference, bytes=peaks,
    )  # fmt: skip
    print(f"\n{name} {form}: {peaks[0] / 2**20:.1f} MiB ours, {peaks[1] / 2**20:.1f} MiB captum's")


class Blobs(nn.Module):
    """(x, y, log size, brightness) to an image of a soft spot: a small decoder whose metric is strongly curved."""

    def forward(self, z: Tensor) -> Tensor:
        axis = torch.linspace(-1, 1, 16, dtype=z.dtype)
        x, y, size = z[:, 0, None, None], z[:, 1, None, None], z[:, 2, None, None].exp() * 0.3
        square = (axis[None, None, :] - x).square() + (axis[None, :, None] - y).square()
        return (z[:, 3, None, None].sigmoid() * torch.exp(-square / (2 * size.square())))[:, None]


@pytest.mark.benchmark(group="geodesics of 8 pairs of codes, 12 nodes")
def test_solver_against_the_released_algorithm(against):
    """300 sweeps at 0.9 of the largest stable step against 10 evaluations, which end at lower energies."""
    decoder, spread = Blobs().eval(), torch.tensor([0.6, 0.6, 0.3, 1.0])
    z0, z1 = (torch.randn(8, 4, generator=generator(s)) * spread for s in (0, 1))
    start = released_line(z0, z1, 12)
    top = torch.stack([largest_eigenvalue(decoder, point) for point in start]).amax()
    step = 0.9 / (2 * 12 * float(top))

    def released():
        return released_geodesic_reference(decoder, z0, z1, nodes=12, step=step, epsilon=0, sweeps=300)

    def fast():
        return geodesic(decoder, start[0], start[-1], 12, evaluations=10)

    slow, quick = released().trace[-1], fast().energy
    assert quick.mean() <= slow.mean() and (quick <= slow).float().mean() >= 0.8
    against(
        released, fast, rounds=3, name="released, 300 sweeps / solver, 10 evaluations", target="50 or more"
    )


BUDGETS = {
    "geodesic solved at 9 points": dict(
        evaluations=12, solver=dict(coarse=9, polish=0, constant_speed=False)
    ),
    "geodesic solved at all points": dict(evaluations=10, solver=dict(constant_speed=False)),
    "latent line": dict(evaluations=0),
}


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.benchmark(group="ManifoldIG, 50 steps, 8 images of 64 px")
def test_manifold_ig_against_ig(name, budget, against):
    model, x, target = CLASSIFIERS[name](), images(), torch.arange(BATCH) % 10
    vae = ConvVAE(generator=generator()).eval().to(memory_format=torch.channels_last)
    manifold = ManifoldIG(model, vae.encode, vae.decode, n_steps=STEPS, **BUDGETS[budget])
    plain = IntegratedGradients(model, n_steps=STEPS)
    against(lambda: manifold(x, target), lambda: plain(x, target), rounds=3,
            name=f"ManifoldIG ({budget}) / IG, {name}",
            target="5 or less" if budget.startswith("geodesic solved at 9") else None)  # fmt: skip
