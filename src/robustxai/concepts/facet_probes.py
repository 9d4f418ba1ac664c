"""Probes of a facet: the direction of a theme at a layer, what an image holds of it, and how it fits other sizes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_images, check_sequence, shown
from robustxai.concepts.activations import (
    activation_rows,
    activations,
    check_model,
    check_runs,
    check_size,
    check_varied,
)
from robustxai.concepts.cav import CAV
from robustxai.shapes import Images

Probe = Mapping[str, Tensor]


def facet_probe(
    model: nn.Module,
    layers: Sequence[str],
    theme: Images,
    generic: Sequence[Tensor],
    *,
    cav: CAV | None = None,
) -> dict[str, Tensor]:
    """Weights of a probe per layer, in the shape of the layer's map and of length 1: theme against generic images.

    generic: one or more sets; the probe is the mean of the CAVs. cav: logistic on all positions by default. Of sets of
    several sizes as many images as the smallest has are drawn by its seed, with a warning.
    Raises ValueError for images of several sizes, no generic set, a probe that pools, and a layer that runs several
    times in a pass without a named call ("act:3").

    >>> from robustxai.concepts import concept_sets, random_sets
    >>> from robustxai.nets import PlainConvNet
    >>> net = PlainConvNet(11, widths=(4, 6, 8, 8, 8), generator=torch.Generator().manual_seed(0)).eval()
    >>> stripes = concept_sets(["striped"], n=8, size=16)["striped"]
    >>> facet_probe(net, ["b2"], stripes, random_sets(2, n=8, size=16))["b2"].shape
    torch.Size([6, 4, 4])
    """
    layers = check_model(model, layers)
    check_images("theme", theme)
    check_sequence("generic", generic, "sets of images")
    for i, g in enumerate(generic):
        check_images(f"generic set {i}", g)
        check_size(f"generic set {i}", g, "theme", theme)
    cav = cav or CAV("logistic", test_share=0)
    if cav.pool:
        raise ValueError("cav must probe all positions, CAV(pool=False), got one that pools positions")
    check_runs(model, theme, layers)
    here = activations(model, theme, layers)
    there = [activations(model, g, layers) for g in generic]
    found = {}
    if len(sizes := {len(theme), *map(len, generic)}) > 1:
        warnings.warn(
            f"theme and generic have from {min(sizes)} to {max(sizes)} images: {min(sizes)} of each are used, "
            "drawn by the seed of cav",
            stacklevel=2,
        )
    for name in layers:
        check_varied(f"theme at layer {name!r}", here[name])
        w = cav.fit(
            activation_rows(here[name], pool=False), [activation_rows(g[name], pool=False) for g in there]
        ).vectors.mean(0)
        if not bool(w.norm() > 0):
            raise ValueError(f"generic has probes at layer {name!r} whose mean is zero; use other images")
        found[name] = (w / w.norm()).reshape(here[name].shape[1:])
    return found


def facet_score(model: nn.Module, x: Images, probe: Probe) -> Float[Tensor, " n"]:
    """How much of the theme an image holds: cosine of f_l(x) and the probe, mean over layers, in [-1, 1].

    nan where a layer gives nothing but zeros. Raises ValueError for a probe that is empty or does not fit its layer.

    >>> net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(32, 2)).eval()
    >>> x = torch.rand(3, 3, 4, 4)
    >>> facet_score(net, x, {"0": net[0](x)[0].detach()})[0].round(decimals=4)
    tensor(1.)
    """
    check_probe(probe)
    check_images("x", x)
    names = check_model(model, list(probe))
    check_runs(model, x, names)
    parts = []
    for name, a in activations(model, x, names).items():
        cosine = nn.functional.cosine_similarity(a.flatten(1), fitted_to(probe[name], a).flatten(1))
        parts.append(torch.where((a != 0).flatten(1).any(1), cosine, torch.nan))
    return torch.stack(parts).mean(0)


def check_probe(probe: Probe) -> None:
    """Raises ValueError for a probe without layers or with weights that are no finite map (C, h, w)."""
    if not probe:
        raise ValueError("probe must be weights by layer, or None for no facet, got none")
    for name, w in probe.items():
        if w.ndim not in (1, 3) or not bool(w.isfinite().all()):
            raise ValueError(
                f"probe at layer {name!r} must be finite weights (channels, height, width) or (features,), as "
                f"`facet_probe` gives, got {shown(w)} with {int((~w.isfinite()).sum())} that are not finite"
            )


def fitted_to(w: Tensor, a: Tensor) -> Tensor:
    """Probe weights (C, h, w) resized bilinearly to the current size of a layer's map (n, C, H, W)."""
    if a.ndim != w.ndim + 1 or w.shape[0] != a.shape[1]:
        raise ValueError(
            f"probe must have as many channels as its layer, which gives {tuple(a.shape[1:])}, "
            f"got weights {tuple(w.shape)}"
        )
    w = w.to(a)[None]
    if w.shape[2:] == a.shape[2:]:
        return w
    return nn.functional.interpolate(w, a.shape[2:], mode="bilinear", align_corners=False)
