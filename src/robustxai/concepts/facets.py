"""Faceted feature visualisation: what an output looks for, steered towards a theme by a probe (spec 3.2).

The picture that maximises f(g(x)) + strength * sum over layers of a * ReLU(df/da) * w, with the gradient held fixed,
as released; w are the weights of a linear probe that tells the theme's pictures from generic ones. Works on any
classifier in eval mode. Knows nothing about attacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.concepts.activations import (
    activations,
    check_images,
    check_model,
    check_size,
    check_varied,
    rows,
)
from robustxai.concepts.cav import CAV
from robustxai.concepts.fourier import Painting, augmented

Images = Float[Tensor, "n channel height width"]
Others = Float[Tensor, "m channel height width"]
Probe = Mapping[str, Tensor]


@dataclass(frozen=True)
class Rendered:
    """Pictures (n, C, H, W) in [0, 1]; the unit's activation (n,) and the facet term (n,), without transformations."""

    images: Images
    activation: Float[Tensor, " n"]
    facet: Float[Tensor, " n"]


def facet_probe(
    model: nn.Module,
    layers: Sequence[str],
    theme: Images,
    generic: Sequence[Others],
    *,
    cav: CAV | None = None,
) -> dict[str, Tensor]:
    """Weights of a probe per layer, in the shape of the layer's map and of length 1: theme against generic pictures.

    generic: one or more sets; the probe is the mean of the CAVs. cav: logistic on all positions by default.
    Raises ValueError for pictures of several sizes, no generic set, and a probe that pools.
    """
    check_model(model, layers)
    check_images("theme", theme)
    if not len(generic):
        raise ValueError("generic is empty; accepted are one or more sets of pictures")
    for i, g in enumerate(generic):
        check_images(f"generic set {i}", g)
        check_size(f"generic set {i}", g, "theme", theme)
    cav = cav or CAV("logistic", test_share=0)
    if cav.pool:
        raise ValueError("cav pools positions; accepted are probes of all positions, CAV(pool=False)")
    here = activations(model, theme, layers)
    there = [activations(model, g, layers) for g in generic]
    found = {}
    for name in layers:
        check_varied(f"theme at layer {name!r}", here[name])
        w = cav.fit(rows(here[name], pool=False), [rows(g[name], pool=False) for g in there]).vectors.mean(0)
        found[name] = (w / w.norm()).reshape(here[name].shape[1:])
    return found


class FacetedVisualization:
    """Feature visualisation of one output with a facet term, in Fourier space with decorrelated colours (spec 3.2).

    model: images in [0, 1] to logits. target: the class; or, with `layer`, the channel of that layer, whose spatial
    mean is maximised. strength: of the facet term; the released code has 5 with probes of its own length, ours have
    length 1, so that it depends on the network: try 5 to 1,000, until the unit's activation falls. ramp: along the
    batch it grows from 0.1 to 1 times that, as released. size: pixels.
    steps, lr: of Adam. penalty: weight of mean (x - 1/2)^2. jitter, scale, rotate: transformations in pixels,
    shares and degrees; all 0 for none. rectify: keep the positive part of the gradient only, as released.
    """

    def __init__(
        self,
        model: nn.Module,
        target: int,
        *,
        layer: str | None = None,
        strength: float | int = 5.0,
        ramp: bool = False,
        size: int = 64,
        steps: int = 128,
        lr: float = 0.05,
        penalty: float | int = 10.0,
        jitter: int = 4,
        scale: float | int = 0.1,
        rotate: float | int = 10.0,
        rectify: bool = True,
    ) -> None:
        if steps < 1 or size < 4 or strength < 0:
            raise ValueError(
                f"steps, size and strength are {steps}, {size} and {strength}; accepted are 1, 4 and 0 on"
            )
        check_model(model, [layer] if layer is not None else [next(n for n, _ in model.named_modules() if n)])
        self.model, self.target, self.layer, self.strength, self.ramp = model, target, layer, strength, ramp
        self.size, self.steps, self.lr, self.penalty = size, steps, lr, penalty
        self.moves, self.rectify = (jitter, float(scale), float(rotate)), rectify

    def render(self, probe: Probe | None = None, *, n: int = 8, seed: int = 0) -> Rendered:
        """n pictures from n initial spectra; the same seed gives the same start and transformations for any probe.

        probe: weights by layer (see `facet_probe`); None, or weights of zero, is plain feature visualisation.
        Raises ValueError for no pictures, and a probe that is empty or does not fit its layer.
        """
        if n < 1:
            raise ValueError(f"n is {n}; accepted are 1 and more pictures")
        if probe is not None:
            check_probe(probe)
            check_model(self.model, list(probe))
        probe = dict(probe or {})
        device = next(self.model.parameters()).device
        generator = torch.Generator().manual_seed(seed)
        painting = Painting(n, self.size, generator=generator, device=device)
        rule = torch.optim.Adam([painting.spectrum], lr=self.lr)
        share = (
            torch.linspace(0.1, 1, n, device=device) if self.ramp and n > 1 else torch.ones(n, device=device)
        )
        with torch.inference_mode(False), torch.enable_grad():
            for _ in range(self.steps):
                x = painting.images()
                seen = augmented(x, *self.moves, generator=generator)
                unit, facet = self.terms(seen, probe)
                value = (
                    unit + self.strength * share * facet - self.penalty * (x - 0.5).square().mean((1, 2, 3))
                )
                (painting.spectrum.grad,) = torch.autograd.grad(-value.sum(), painting.spectrum)
                rule.step()
            images = painting.images().detach()
            unit, facet = self.terms(images, probe)
        return Rendered(images, unit.detach(), facet.detach())

    def terms(self, x: Images, probe: Probe) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """The unit's activation, and the facet term: mean over layers of sum a * ReLU(stopgrad da) * w."""
        maps: dict[str, Tensor] = {}

        def keeper(name: str):
            def hook(_module, _inputs, output):
                maps[name] = output
                return output.clone()  # an in-place operation after the layer must not change it

            return hook

        x = x if x.requires_grad else x.detach().requires_grad_()
        names = [*probe, *([self.layer] if self.layer and self.layer not in probe else [])]
        handles = [self.model.get_submodule(name).register_forward_hook(keeper(name)) for name in names]
        try:
            logits = self.model(x)
        finally:
            for handle in handles:
                handle.remove()
        outputs = logits if self.layer is None else maps[self.layer]
        if not -1 < self.target < outputs.shape[1]:
            raise ValueError(f"target is {self.target}; accepted are 0 to {outputs.shape[1] - 1}")
        unit = outputs[:, self.target]
        if self.layer is not None:
            unit = unit.relu().flatten(1).mean(1)
        if not probe:
            return unit, torch.zeros_like(unit)
        gradients = torch.autograd.grad(unit.sum(), [maps[name] for name in probe], retain_graph=True)
        total = torch.zeros_like(unit)
        for (name, w), g in zip(probe.items(), gradients, strict=True):
            g = g.relu() if self.rectify else g
            total = total + (maps[name] * g * fitted_to(w, maps[name])).flatten(1).sum(1)
        return unit, total / len(probe)


def facet_score(model: nn.Module, x: Images, probe: Probe) -> Float[Tensor, " n"]:
    """How much of the theme a picture holds: cosine of f_l(x) and the probe, mean over layers, in [-1, 1]."""
    check_probe(probe)
    maps = activations(model, x, list(probe))
    parts = [
        nn.functional.cosine_similarity(a.flatten(1), fitted_to(probe[name], a).flatten(1))
        for name, a in maps.items()
    ]
    return torch.stack(parts).mean(0)


def check_probe(probe: Probe) -> None:
    """Raises ValueError for a probe without layers or with weights that are no finite map (C, h, w)."""
    if not probe:
        raise ValueError("probe is empty; accepted are weights by layer, or None for no facet")
    for name, w in probe.items():
        if w.ndim not in (1, 3) or not bool(w.isfinite().all()):
            raise ValueError(
                f"probe at layer {name!r} has shape {tuple(w.shape)} or weights that are not finite; accepted are "
                "finite weights (channels, height, width) or (features,), as `facet_probe` gives"
            )


def fitted_to(w: Tensor, a: Tensor) -> Tensor:
    """Probe weights (C, h, w) resized bilinearly to the current size of a layer's map (n, C, H, W)."""
    if a.ndim != w.ndim + 1 or w.shape[0] != a.shape[1]:
        raise ValueError(
            f"probe has weights {tuple(w.shape)} for a layer that gives {tuple(a.shape[1:])}; accepted are weights "
            "of as many channels"
        )
    w = w.to(a)[None]
    if w.shape[2:] == a.shape[2:]:
        return w
    return nn.functional.interpolate(w, a.shape[2:], mode="bilinear", align_corners=False)
