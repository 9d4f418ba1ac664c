"""How stable is a ranking: P@k with its chance level and random control, overlap with a reference, sensitivity.

Both maps always come from the same network, clean input against changed input (spec 8), except for the overlap
with the pretrained network. Knows explainers only as callables explain(x, target) -> scores.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustxai.checks import check_count, check_positive
from robustxai.metrics import topk_intersection
from robustxai.ranking.attacks.common import Attacked
from robustxai.ranking.attacks.control import RandomDirections
from robustxai.ranking.attacks.ranking import MSEAttack
from robustxai.ranking.checks import check_k, check_scores
from robustxai.ranking.thickness import ball_draws, fixed_target

Scores = Float[Tensor, "n ..."]
PerSample = Float[Tensor, " n"]
Inputs = Float[Tensor, "n *sample"]
Target = Int[Tensor, " n"] | int | None
Explain = Callable[..., Tensor]


def precision_at_k(a: Scores, b: Scores, k: int) -> PerSample:
    """P@k = |top k of a and top k of b| / k per sample, in [0, 1]; nan where a map is not finite (spec 8).

    `a`, `b`: explanations (n, d) or (n, 1, H, W). Ties: the lower index. ValueError unless 1 <= k < d: with all
    d features the measure is 1 whatever the maps. Print `chance_level` beside it.

    >>> precision_at_k(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[3.0, 1.0, 2.0]]), 2)
    tensor([0.5000])
    """
    check_k(k, check_scores("a", a).shape[1])
    return topk_intersection(a, b, k)


def chance_level(k: int, d: int) -> float:
    """The expected P@k of two unrelated rankings, k / d.

    >>> round(chance_level(8, 28), 3)
    0.286
    """
    return check_k(k, d) / d


def attacked_precision(explain: Explain, x: Inputs, attacked: Attacked, k: int) -> PerSample:
    """P@k between the clean inputs `x` and an attack's result; nan where the attack had no gradient (P1).

    A network that gives an attack nothing to follow is not robust, only unmeasured: average with
    `robustxai.metrics.mean_ignoring_nan`, which counts such samples.
    """
    clean, changed = (explain(v, attacked.target).detach() for v in (x, attacked.x))
    return precision_at_k(clean, changed, k).masked_fill(attacked.stuck, torch.nan)


def random_control(
    model: nn.Module,
    x: Inputs,
    k: int,
    *,
    explain: Explain,
    control: RandomDirections,
    target: Target = None,
    draws: int = 5,
    generator: torch.Generator | None = None,
) -> PerSample:
    """Mean P@k per sample over `draws` random changes of an attack's size: an attack has to be below it."""
    g = torch.Generator().manual_seed(0) if generator is None else generator
    results = [control.perturb(model, x, target, generator=g) for _ in range(check_count("draws", draws))]
    return torch.stack([attacked_precision(explain, x, r, k) for r in results]).mean(0)


def pretrained_overlap(
    explain: Explain, pretrained: Explain, x: Inputs, k: int, *, target: Target
) -> PerSample:
    """P@k between the explanations of a network and of the pretrained one, on clean inputs of one class a sample.

    Low says that training has replaced the explanation, however stable it is now (spec 3.4). `target` is needed,
    because the two networks may predict different classes.
    """
    return precision_at_k(explain(x, target).detach(), pretrained(x, target).detach(), k)


class Sensitivity(NamedTuple):
    """The largest relative change of the explanation that was found, (n,): by chance, and by an optimiser."""

    random: PerSample
    optimised: PerSample


def sensitivity(
    model: nn.Module,
    explain: Explain,
    x: Inputs,
    target: Target = None,
    *,
    eps: float | int,
    draws: int = 50,
    steps: int = 20,
    generator: torch.Generator | None = None,
) -> Sensitivity:
    """max ||I(x) - I(x + u)||_2 / ||I(x)||_2 over ||u||_2 <= eps (spec 8), looked for in two ways.

    Random: the largest over `draws` points of the ball, which hardly ever finds the worst. Optimised: the MSE
    attack with `steps` steps, which keeps the prediction. nan where I(x) is zero.
    """
    eps, t = check_positive("eps", eps), fixed_target(explain, x, target)
    with torch.no_grad():
        clean = explain(x, t).flatten(1)
        norm = clean.norm(dim=1)
        norm = norm.masked_fill(norm == 0, torch.nan)
        far = torch.zeros_like(norm)
        for u in ball_draws(x, eps, draws, generator=generator):
            far = torch.maximum(far, (explain(x + u, t).flatten(1) - clean).norm(dim=1))
    attack = MSEAttack(eps, steps=steps, jitter=min(1e-3, eps / 10))
    found = attack.perturb(model, x, t, explain=explain, generator=generator)
    return Sensitivity(far / norm, (-found.loss).clamp_min(0).sqrt() / norm)
