"""What an attack does to the maps of several methods: transfer, adaptive and control, rows for table 7.2.

All methods get the same images, target images and classes. Knows methods by what they do, never by name, and nothing
about notebooks or figures.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.attacks.controls import ShuffledChange
from robustxai.explainers.attribution import Attribution
from robustxai.explainers.path_explainer import PathExplainer
from robustxai.manifold_ig.attribution_attack import AttributionAttack
from robustxai.manifold_ig.geodesic_path import ManifoldIG
from robustxai.manifold_ig.guides import frozen
from robustxai.manifold_ig.saliency_maps import saliency
from robustxai.metrics import pearson, ssim, topk_intersection
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.records import Rows
from robustxai.runtime import side_by_side

Methods = Mapping[str, PathExplainer]


def attack_rows(
    methods: Methods,
    x: Tensor,
    wanted: Tensor,
    target: Tensor,
    *,
    attack: Callable[[Tensor], AttributionAttack] = AttributionAttack,
    crafted_on: str = "IG",
    adaptive: bool = True,
    readers: Methods | None = None,
) -> dict[str, Rows]:
    """Table 7.2: maps before and after the targeted attack towards the maps of `wanted` (n, ...).

    "transfer": crafted on `crafted_on`, read by all. "noise": the same change with its pixels shuffled.
    "adaptive": crafted on each method itself, through its decoder, for ManifoldIG with frozen bends. attack:
    from the target images to the attack. It keeps the prediction on the raw image and, where it is adaptive, on
    the reconstruction that the method explains; "kept" is the latter, and images that lost it count in all rows.
    readers: further explainers, evaluated on the transferred attack only, in "transfer". Images whose attack had no
    gradient to follow were not attacked: nan.
    """
    model = methods[crafted_on].model
    crafted = attack(wanted).perturb(model, x, target, explain=methods[crafted_on])
    noise = ShuffledChange(crafted.x).perturb(model, x, target)
    parts: dict[str, Rows] = {"transfer": {}, "noise": {}, "adaptive": {}}
    for name, method in (dict(methods) | dict(readers or {})).items():
        clean = method.explain(x, target), saliency(method(wanted))
        parts["transfer"][name] = moved(method, x, crafted.x, target, *clean, followed=crafted.followed)
        if name not in methods:
            continue
        parts["noise"][name] = moved(method, x, noise.x, target, *clean, followed=crafted.followed)
        if adaptive:
            own = crafted
            if name != crafted_on:
                guide = frozen(method) if isinstance(method, ManifoldIG) else None
                also = None if method.encoder is None else rebuilt(method)
                own = attack(wanted).perturb(model, x, target, explain=method, guide=guide, also=also)
            same = own is crafted
            parts["adaptive"][name] = (
                parts["transfer"][name]
                if same
                else moved(method, x, own.x, target, *clean, followed=own.followed)
            )
    return parts


def moved(
    method: PathExplainer,
    x: Tensor,
    attacked: Tensor,
    target: Tensor,
    before: Attribution,
    goal: Tensor,
    *,
    followed: Tensor | None = None,
) -> dict[str, Tensor]:
    """What an attack did to the maps of a method: PCC and SSIM to the original and to the goal map, what
    they are without attack, the shift of the PCC, whether the explained image keeps its class, and the
    contraction of the change by the autoencoder (spec 4.5; 1 without one).

    attacked: the changed images. before: the attribution of `x`. goal: the maps of the target images (n, 1, h, w).
    followed (n,): which images were attacked at all; the others are nan.
    """
    after = method.explain(attacked, target)
    clean, now = saliency(before.values), saliency(after.values)
    row = {"PCC to original": pearson(now, clean), "SSIM to original": _ssim(now, clean)}
    row |= {"PCC to target": pearson(now, goal), "SSIM to target": _ssim(now, goal)}
    row |= {"PCC to target before": pearson(clean, goal), "SSIM to target before": _ssim(clean, goal)}
    row["shift"] = row["PCC to target"] - row["PCC to target before"]
    with torch.no_grad():
        now, was = (logits_of(method.model, one.ends[1]) for one in (after, before))
        known = ~(now.isnan().any(1) | was.isnan().any(1))
        same = (predicted(now) == predicted(was)) & known
    change = (attacked - x).flatten(1).norm(dim=1)
    row["kept"], row["budget used"] = same.to(x), (attacked - x).flatten(1).abs().amax(1)
    row["contraction"] = (after.ends[1] - before.ends[1]).flatten(1).norm(dim=1) / change
    if followed is None:
        return row
    return {name: value.masked_fill(~followed, torch.nan) for name, value in row.items()}


def pushed_rows(
    methods: Methods,
    x: Tensor,
    wanted: Tensor,
    target: Tensor,
    attack: Callable[[Tensor], Any],
    *,
    k: int = 100,
) -> Rows:
    """Another attack on explanations, crafted on each method: the share of its `k` largest values that stay, and the
    numbers of `moved` towards the maps of `wanted` (n, ...). It keeps the prediction where the method explains, on the
    image or on its reconstruction.

    attack: from the goal maps (n, 1, h, w) to anything with
    `perturb(model, x, target, explain=...)` whose result has the inputs `x`. A geodesic is bent as at the clean
    image while the attack runs, and solved again where it is judged.
    """

    def pushed(method: PathExplainer) -> dict[str, Tensor]:
        before, goal = method.explain(x, target), saliency(method(wanted))
        followed = frozen(method)(x) if isinstance(method, ManifoldIG) else method
        found = attack(goal).perturb(Seen(method), x, target, explain=followed)
        pushed, attacked = found.x.detach(), getattr(found, "followed", None)
        top = topk_intersection(saliency(before.values), method(pushed, target), k=k)
        row = {f"top {k} kept": top if attacked is None else top.masked_fill(~attacked, torch.nan)}
        return row | moved(method, x, pushed, target, before, goal, followed=attacked)

    return dict(zip(methods, side_by_side(pushed, methods.values()), strict=True))


class Seen(nn.Module):
    """The classifier as a method sees it: on the reconstruction, where the method explains one."""

    def __init__(self, method: PathExplainer):
        super().__init__()
        self.classify = method.model if method.encoder is None else rebuilt(method)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return logits_of(self.classify, x)


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    """The Gaussian window of the spec where the map is large enough for it."""
    large = min(a.shape[2:]) >= 11
    return ssim(a, b, window=11, sigma=1.5) if large else ssim(a, b, window=7)


def rebuilt(method: PathExplainer, *, classified: bool = True) -> Network:
    """x -> classifier(decode(encode(x))) of a method, or not `classified` the reconstruction.

    Raises ValueError for a method without autoencoder.
    """
    encoder, decoder = method.encoder, method.decoder
    if encoder is None or decoder is None:
        raise ValueError(
            f"method must be one with an autoencoder, such as EIG, got {type(method).__name__} without"
        )
    if classified:
        return lambda v: logits_of(method.model, decoder(encoder(v)))
    return lambda v: decoder(encoder(v))
