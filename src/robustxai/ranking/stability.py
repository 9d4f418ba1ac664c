"""How stable is a ranking: P@k with its chance level and random control, overlap with a reference, sensitivity.

Both maps always come from the same network, clean input against changed input (spec 8), except for the overlap
with the pretrained network. Knows explainers only as callables explain(x, target) -> scores.
"""

from typing import NamedTuple, SupportsFloat, SupportsIndex

import torch

from robustxai.attacks.controls import RandomDirections
from robustxai.attacks.result import Attacked
from robustxai.checks import check_batch, check_count, check_k, check_length, check_positive
from robustxai.explainers.reduce import read
from robustxai.metrics import topk_intersection
from robustxai.models import Network
from robustxai.ranking.checks import check_scores
from robustxai.ranking.er_attack import MSEAttack
from robustxai.ranking.thickness import ball_draws, fixed_target
from robustxai.shapes import Explain, Guide, Inputs, PerSample, Scores, Target


def precision_at_k(a: Scores, b: Scores, k: SupportsIndex) -> PerSample:
    """P@k = |top k of a and top k of b| / k per sample, in [0, 1]; nan where a map is constant or not finite (spec 8).

    `a`, `b`: explanations (n, d) or (n, 1, H, W). Ties: the lower index. ValueError unless 1 <= k < d: with all
    d features the measure is 1 whatever the maps. Print `chance_level` beside it.

    >>> precision_at_k(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[3.0, 1.0, 2.0]]), 2)
    tensor([0.5000])
    """
    k = check_k(k, check_scores("a", a).shape[1])
    check_scores("b", b)
    return topk_intersection(a, b, k)


def chance_level(k: SupportsIndex, d: SupportsIndex) -> float:
    """The expected P@k of two unrelated rankings, k / d; ValueError unless 1 <= k < d.

    >>> round(chance_level(8, 28), 3)
    0.286
    """
    d = check_count("d", d)
    return check_k(k, d) / d


def attacked_precision(explain: Explain, x: Inputs, attacked: Attacked, k: SupportsIndex) -> PerSample:
    """P@k between the clean inputs `x` and an attack's result; nan where the attack had no gradient (P1).

    A network that gives an attack nothing to follow is not robust, only unmeasured: average with
    `robustxai.metrics.mean_ignoring_nan`, which counts such samples.

    >>> from robustxai.ranking import RankingAttack, Saliency
    >>> net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> explain, x = Saliency(net), torch.zeros(3, 6)
    >>> found = RankingAttack(2, 0.5, steps=5).perturb(net, x, explain=explain)
    >>> attacked_precision(explain, x, found, 2).shape
    torch.Size([3])
    """
    check_length("x", check_batch("x", x), "attacked", len(attacked.x))
    explain = read(explain)
    clean, changed = (explain(v, attacked.target).detach() for v in (x, attacked.x))
    return precision_at_k(clean, changed, k).masked_fill(attacked.stuck, torch.nan)


def random_control(
    model: Network,
    x: Inputs,
    k: SupportsIndex,
    *,
    explain: Explain,
    control: RandomDirections,
    target: Target = None,
    draws: SupportsIndex = 5,
    generator: torch.Generator | None = None,
) -> PerSample:
    """Mean P@k per sample over `draws` random changes of an attack's size: an attack has to be below it.

    NaN where a map is constant or not finite.

    >>> from robustxai.ranking import Saliency
    >>> net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> options = dict(explain=Saliency(net), control=RandomDirections(0.5))
    >>> random_control(net, torch.zeros(3, 6), 2, **options).shape
    torch.Size([3])
    """
    g = torch.Generator().manual_seed(0) if generator is None else generator
    results = [control.perturb(model, x, target, generator=g) for _ in range(check_count("draws", draws))]
    return torch.stack([attacked_precision(explain, x, r, k) for r in results]).mean(0)


def pretrained_overlap(
    explain: Explain, pretrained: Explain, x: Inputs, k: SupportsIndex, *, target: Target
) -> PerSample:
    """P@k between the explanations of a network and of the pretrained one, on clean inputs of one class a sample.

    Low says that training has replaced the explanation, however stable it is now (spec 3.4). `target` is needed,
    because the two networks may predict different classes; None is what the network of `explain` predicts, for both.

    >>> from robustxai.ranking import Saliency
    >>> net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> pretrained_overlap(Saliency(net), Saliency(net), torch.zeros(3, 6), 2, target=1)
    tensor([1., 1., 1.])
    """
    t = fixed_target(explain, x, target)
    return precision_at_k(read(explain)(x, t).detach(), read(pretrained)(x, t).detach(), k)


class SensitivityEstimates(NamedTuple):
    """The largest relative change of the explanation that was found, (n,): by chance, and by an optimiser.

    >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> found = sensitivity(model, lambda x, target: x.abs(), torch.ones(2, 6), 0, eps=0.1)
    >>> bool((found.optimised >= found.random).all())
    True
    """

    random: PerSample
    optimised: PerSample


def sensitivity(
    model: Network,
    explain: Explain,
    x: Inputs,
    target: Target = None,
    *,
    eps: SupportsFloat,
    draws: SupportsIndex = 50,
    steps: SupportsIndex = 20,
    guide: Guide | None = None,
    generator: torch.Generator | None = None,
) -> SensitivityEstimates:
    """max ||I(x) - I(x + u)||_2 / ||I(x)||_2 over ||u||_2 <= eps (spec 8), searched in two ways.

    Random: the largest over `draws` points of the ball, which hardly ever finds the worst. Optimised: the MSE
    attack with `steps` steps, which keeps the prediction; `guide` gives it derivatives where `explain` has none. nan
    where I(x) is zero, and for `optimised` where there was no gradient to follow. 9 parameters, as the two searches
    have their own budgets.

    >>> net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> sensitivity(net, lambda x, target: x.abs(), torch.ones(2, 6), 0, eps=0.1).random.shape
    torch.Size([2])
    """
    eps, t = check_positive("eps", eps), fixed_target(explain, x, target)
    scores = read(explain)
    with torch.no_grad():
        clean = scores(x, t).flatten(1)
        norm = clean.norm(dim=1)
        norm = norm.masked_fill(norm == 0, torch.nan)
        far = torch.zeros_like(norm)
        for u in ball_draws(x, eps, draws, generator=generator):
            far = torch.maximum(far, (scores(x + u, t).flatten(1) - clean).norm(dim=1))
    attack = MSEAttack(eps, steps=steps, jitter=min(1e-3, eps / 10), batch_size=len(x))
    found = attack.perturb(model, x, t, explain=explain, guide=guide, generator=generator)
    optimised = (-found.loss).clamp_min(0).sqrt() / norm
    return SensitivityEstimates(far / norm, optimised.masked_fill(found.stuck, torch.nan))
