"""What must hold on three trained networks, with room for chance: rules fixed before these images were drawn.

Statistical and slow: `-m slow`. Which explainer wins is never among them.
"""

from functools import cache

import pytest
import torch
from arena_toys import scenes

from robustxai.arena.cells import ArenaCell
from robustxai.arena.evaluate import evaluate
from robustxai.arena.measures import overlap
from robustxai.arena.suite import Suite, Threat, searched
from robustxai.diffgradcam import GradCAM
from robustxai.nets import pretrained

N, SEEDS = 32, (0, 1, 2)
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("seed", SEEDS)]


@cache
def cell(seed: int, row: str, level: int, defence: str = "none") -> ArenaCell:
    net = pretrained(f"diffgradcam-animals4-s{seed}-clean")
    found = evaluate(
        net, scenes(N, 7100 + seed), rows=[row], eps=(level / 255,), readout=("own",), defence=defence
    )
    return found.cells[0]


def mean(values: torch.Tensor) -> float:
    return float(values.nanmean())


def test_the_twin_moves_saliency_where_noise_does_not(seed: int) -> None:
    found = cell(seed, "Saliency", 2)
    assert found.state == "attacked" and not found.followed_by["topk"].any()
    assert mean(found.by_attack["topk-twin"]) <= 0.6 and mean(found.noise) >= 0.8


def test_gradcam_breaks_and_does_not_under_noise(seed: int) -> None:
    found = cell(seed, "GradCAM", 4)
    assert found.state == "attacked" and mean(found.worst) <= 0.5 and mean(found.noise) >= 0.93


def test_the_contrast_with_the_log_sum_is_weaker_than_gradcam(seed: int) -> None:
    assert mean(cell(seed, "DiffGradCAM (lse)", 2).worst) < mean(cell(seed, "GradCAM", 2).worst)


def test_a_smooth_network_s_gradient_holds_better(seed: int) -> None:
    none, smooth = cell(seed, "Saliency", 2), cell(seed, "Saliency", 2, "softplus(2)")
    assert mean(smooth.worst) >= mean(none.worst) + 0.15
    assert mean(smooth.by_attack["undefended"]) >= mean(
        smooth.by_attack["topk"]
    )  # an adaptive attacker does more


def test_more_steps_hardly_matter(seed: int) -> None:
    net, x = pretrained(f"diffgradcam-animals4-s{seed}-clean"), scenes(N, 7100 + seed)
    t, explain = net(x).argmax(1), GradCAM(net)
    p = []
    for steps in (10, 40):
        suite = Suite("other", steps, (), dear=3)
        threat = Threat(model=net, twin=None, x=x, target=t, eps=2 / 255, norm="linf", suite=suite)
        p.append(mean(overlap(explain(x, t), explain(searched(threat, explain, 157, "topk", "topk").x, t))))
    assert abs(p[0] - p[1]) < 0.03
