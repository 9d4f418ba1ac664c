"""What the arena's loop costs beside the passes that it cannot do without.

The reference runs exactly these: for each step the map with its derivative and one forward pass that says whether the
class was kept, for each reading one map. A ratio of 1.2 says that a fifth comes on top.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from robustxai.arena.catalogue import EXPLAINERS
from robustxai.arena.evaluate import evaluate
from robustxai.arena.realised_noise import NOISE_DRAWS
from robustxai.arena.registry import Parts
from robustxai.arena.suite import SUITES, Threat, searched
from robustxai.attacks.ghorbani import TopKAttack
from robustxai.explainers.base import Explainer
from robustxai.nets import CompactResNet
from robustxai.nets.softplus import softplus_copy

CHAPTER = "arena"
N, K, STEPS = 16, 157, SUITES["quick"].steps
EPS = 2 / 255
ROWS = ("GradCAM", "Saliency", "IG (6)")


def setting(row: str) -> tuple[CompactResNet, Tensor, Tensor, Explainer]:
    """A network, images of 56 pixels, their classes, and the explainer of a row."""
    g = torch.Generator().manual_seed(0)
    net = CompactResNet(4, widths=(16, 24, 48, 48), generator=g).eval()
    x = torch.rand(N, 3, 56, 56, generator=g)
    return net, x, net(x).argmax(1), EXPLAINERS[row].explainer(net, Parts(layer=net.gap_layer, gap=True))


def passes(
    net, x: Tensor, t: Tensor, explain: Explainer, guide: Explainer | None = None
) -> Callable[[], None]:
    """The steps of one search without a search: map, derivative and prediction of the same images."""

    def run() -> None:
        loss = TopKAttack(K, EPS).objective(explain(x, t).detach())
        for _ in range(STEPS):
            v = x.clone().requires_grad_()
            torch.autograd.grad(loss((guide or explain)(v, t)).sum(), v)
            with torch.no_grad():
                if guide is not None:
                    explain(x, t)
                net(x)
        explain(x, t)

    return run


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.benchmark(group="one search of 10 steps, CompactResNet, 56 px, 16 images")
def test_a_search(row, against):
    net, x, t, explain = setting(row)
    twin = softplus_copy(net, 20)
    smooth = explain.on(twin)
    threat = Threat(model=net, twin=twin, x=x, target=t, eps=EPS, norm="linf", suite=SUITES["quick"])
    guide = None if row == "GradCAM" else smooth
    follow = None if guide is None else lambda _: smooth
    against(
        lambda: searched(threat, explain, K, "topk", "topk", follow), passes(net, x, t, explain, guide),
        rounds=7, name=f"{row}: a search / the passes it needs", target="1.2 or less",
    )  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.benchmark(group="one row of the suite `quick`, own read-out, 56 px, 16 images")
def test_a_row(row, against):
    net, x, t, explain = setting(row)
    smooth = explain.on(softplus_copy(net, 20))
    own, twin = passes(net, x, t, explain), passes(net, x, t, explain, smooth)
    searches = {"GradCAM": [own, own], "Saliency": [twin, twin], "IG (6)": [own, twin]}[row]

    def needed() -> None:
        for search in searches:
            search()
        with torch.no_grad():
            for _ in range(1 + len(searches) + NOISE_DRAWS + 3):  # clean, found, noise, other networks
                explain(x, t)

    against(
        lambda: evaluate(net, x, rows=[row], eps=(EPS,), readout=("own",), layer=net.gap_layer), needed,
        rounds=5, name=f"{row}: a row / the passes of its searches and readings", target="2 or less",
    )  # fmt: skip
