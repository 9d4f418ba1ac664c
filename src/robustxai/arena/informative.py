"""Does a map say anything? Faithfulness on clean images, dependence on the network's weights, dependence on the class.

`faith`, `dependence` and `class_dependence` read clean maps alone: what a map that stands under attack is worth.
Knows explainers as `robustxai.explainers.base.Explainer`, and no attack.
"""

import copy
import math
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from robustxai.arena.measures import constant_maps
from robustxai.checks import as_target, check_count, check_length
from robustxai.explainers.base import Explainer
from robustxai.explainers.reduce import read
from robustxai.metrics import deletion, insertion, spearman
from robustxai.metrics.inputs import as_generator
from robustxai.metrics.maps import spatial
from robustxai.models import Network, logits_of
from robustxai.shapes import Images, Maps, PerSample, Target


@dataclass(frozen=True)
class Faith:
    """How well maps point at what the network uses, between a random order (0) and the true object (1).

    `deletion`, `insertion`, `random`, `on_object` (n,): areas of the curves, low is good for deletion; `random` and
    `on_object` are deletion areas of random orders (mean of draws) and of the mask. nan where a map is constant.

    >>> n = torch.ones(1)
    >>> round(Faith(0.4 * n, 0.9 * n, 0.7 * n, 0.3 * n).value, 4)
    0.75
    """

    deletion: PerSample
    insertion: PerSample
    random: PerSample
    on_object: PerSample

    @property
    def value(self) -> float:
        """(del_random - del) / (del_random - del_object) of the means over images where all are defined; nan without
        an image, and where deleting the object is no faster than deleting at random."""
        known = ~(self.deletion + self.random + self.on_object).isnan()
        del_map, del_random, del_object = (
            float(v[known].cpu().double().mean()) for v in (self.deletion, self.random, self.on_object)
        )
        span = del_random - del_object
        return (del_random - del_map) / span if span > 0 else math.nan


def faith(
    model: Network,
    x: Images,
    maps: Maps,
    target: Target = None,
    *,
    masks: Tensor | None = None,
    like: Faith | None = None,
    draws: int = 3,
    generator: torch.Generator | None = None,
) -> Faith:
    """`Faith` of maps on clean images x (n, C, H, W) in [0, 1], by deletion to the mean and insertion from a blur.

    masks: (n, H, W) true object; None has no reference, and the value is nan. like: an earlier result on the same
    images, whose references are used again: they do not depend on the maps. draws: random orders an image. Raises
    ValueError as `robustxai.metrics.deletion`.

    >>> bright = lambda x: torch.stack((x.mean((1, 2, 3)), 0 * x[:, 0, 0, 0]), 1)
    >>> x = torch.zeros(1, 1, 8, 8); x[..., 2:6, 2:6] = 1.0
    >>> round(faith(bright, x, x, 0, masks=x[:, 0]).value, 4)
    1.0
    """
    removed, brought = deletion(model, x, maps, target).auc, insertion(model, x, maps, target).auc
    if like is not None:
        check_length("like", like.random, "x", len(x))
        return Faith(removed, brought, like.random, like.on_object)
    g, size = as_generator(generator), (len(x), *x.shape[2:])
    orders = [
        torch.rand(size, generator=g, device=g.device).to(x) for _ in range(check_count("draws", draws))
    ]
    by_chance = torch.stack([deletion(model, x, order, target).auc for order in orders]).mean(0)
    if masks is None:
        return Faith(removed, brought, by_chance, torch.full_like(by_chance, torch.nan))
    return Faith(removed, brought, by_chance, deletion(model, x, masks.to(x), target).auc)


def with_random_weights(model: nn.Module, generator: torch.Generator | None = None) -> nn.Module:
    """A copy of a network, every parameter drawn anew: by its layer's own initialisation, else normal numbers of the
    parameter's own spread. Running statistics begin anew as well.

    >>> net = nn.Linear(3, 2)
    >>> bool((with_random_weights(net).weight == net.weight).any())
    False
    """
    g, other = as_generator(generator), copy.deepcopy(model)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=g, device=g.device)))
        for module in other.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
                continue
            for p in module.parameters(recurse=False):
                spread = float(p.std()) if p.numel() > 1 else 1.0
                p.copy_(torch.randn_like(p) * (spread if spread > 0 else 1.0))
    return other.eval()


def dependence(
    explain: Explainer,
    x: Images,
    target: Int[Tensor, " n"],
    maps: Maps,
    *,
    draws: int = 3,
    generator: torch.Generator | None = None,
) -> PerSample:
    """Dep = 1 - |Spearman(map, map of the network with all parameters re-drawn)|, mean over `draws` networks
    (after Adebayo et al. 2018).

    maps: explain(x, target), (n, 1, H, W). A constant map depends on nothing: 0. A draw whose map is constant says
    nothing and is left out; nan where none is left. Below .1 a row ignores the network.

    >>> class Edges(Explainer):
    ...     def __init__(self, model): self.model = model
    ...     def attribute(self, x, target=None): return (x - x.roll(1, 3)).abs()
    >>> x = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    >>> explain, t = Edges(nn.Flatten()), torch.tensor([0, 0])
    >>> dependence(explain, x, t, explain(x, t)).round(decimals=4).abs()
    tensor([0., 0.])
    """
    g, found = as_generator(generator), []
    for _ in range(check_count("draws", draws)):
        other = read(explain.on(with_random_weights(explain.model, g)))
        with torch.no_grad():
            found.append(1 - spearman(spatial(maps), spatial(other(x, target).detach())).abs())
    return torch.stack(found).nanmean(0).masked_fill(constant_maps(maps), 0)


def class_dependence(explain: Explainer, x: Images, target: Int[Tensor, " n"], maps: Maps) -> PerSample:
    """1 - Spearman(map of the class, map of the runner-up): 0 where another class has the same map.

    A constant map depends on nothing: 0; nan where the runner-up's map alone is constant.

    >>> class Terms(Explainer):
    ...     def __init__(self, model): self.model = model
    ...     def attribute(self, x, target=None): return x * self.model[1].weight[target].view(-1, 1, 2, 2)
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> _ = net[1].weight.data.copy_(torch.tensor([[1.0, 2, 3, 4], [4, 3, 2, 1]]))
    >>> explain, x, t = Terms(net), torch.ones(1, 1, 2, 2), torch.tensor([0])
    >>> class_dependence(explain, x, t, explain(x, t)).round(decimals=4)
    tensor([2.])
    """
    with torch.no_grad():
        logits = logits_of(explain.model, x)
    t = as_target(target, logits)
    if logits.shape[1] < 2:
        second = 1 - t
    else:
        second = logits.scatter(1, t[:, None], -torch.inf).argmax(1)
    with torch.no_grad():
        other = read(explain)(x, second).detach()
    return (1 - spearman(spatial(maps), spatial(other))).masked_fill(constant_maps(maps), 0)
