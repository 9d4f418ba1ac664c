"""Faceted feature visualisation: what an output looks for, steered towards a theme by a probe (spec 3.2).

The image that maximises f(g(x)) + strength * sum over layers of a * ReLU(df/da) * w, with the gradient held fixed,
as released; w are the weights of a linear probe that tells the theme's images from generic ones. Works on any
classifier in eval mode.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_count, check_module, check_number, check_positive
from robustxai.concepts.activations import check_model, class_index, observe, one_class
from robustxai.concepts.facet_probes import Probe, check_probe, fitted_to
from robustxai.concepts.fourier import Painting, augmented
from robustxai.eval_mode import check_calm
from robustxai.models import logits_of
from robustxai.shapes import Images


@dataclass(frozen=True)
class Rendered:
    """Images (n, C, H, W) in [0, 1]; the unit's activation (n,) and the facet term (n,), without transformations.

    >>> Rendered(torch.zeros(2, 3, 8, 8), torch.tensor([1.0, 3.0]), torch.zeros(2)).activation.mean()
    tensor(2.)
    """

    images: Images
    activation: Float[Tensor, " n"]
    facet: Float[Tensor, " n"]


class FacetedVisualization:
    """Feature visualisation of one output with a facet term, in Fourier space with decorrelated colours (spec 3.2).

    model: images in [0, 1] to logits; of a single logit z, class 0 is -z and class 1 is z. target: the class; or, with
    `layer`, the channel of that layer, whose spatial mean is maximised. strength: of the facet term; the released code
    has 5 with probes of its own length, ours have length 1, so that it depends on the network: try 5 to 1,000, until
    the unit's activation falls. ramp: along the batch it grows from 0.1 to 1 times that, as released. size: pixels.
    steps, lr: of Adam. penalty: weight of mean (x - 1/2)^2. jitter, scale, rotate: transformations in pixels,
    shares and degrees; all 0 for none. rectify: keep the positive part of the gradient only, as released.
    13 parameters, as each is a setting of the released code. Raises ValueError for an option out of range, an unknown
    layer and a model in training mode.

    >>> from robustxai.nets import PlainConvNet
    >>> net = PlainConvNet(11, widths=(4, 6, 8, 8, 8), generator=torch.Generator().manual_seed(0)).eval()
    >>> FacetedVisualization(net, 1, size=16, steps=2).render(n=2).images.shape
    torch.Size([2, 3, 16, 16])
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
        check_calm("model", model)
        if layer is not None:
            layer = check_model(model, [layer])[0]
        self.model, self.layer, self.ramp, self.rectify = model, layer, ramp, rectify
        self.target, self.steps = check_count("target", target, 0), check_count("steps", steps)
        self.size, self.lr = check_count("size", size, 4), check_positive("lr", lr)
        self.strength, self.penalty = check_number("strength", strength), check_number("penalty", penalty)
        self.moves = (
            check_count("jitter", jitter, 0), check_number("scale", scale, high=0.99), check_number("rotate", rotate)
        )  # fmt: skip

    def render(self, probe: Probe | None = None, *, n: int = 8, seed: int = 0) -> Rendered:
        """n images from n initial spectra; the same seed gives the same start and transformations for any probe.

        probe: weights by layer (see `facet_probe`); None, or weights of zero, is plain feature visualisation.
        Raises ValueError for no images, and a probe that is empty or does not fit its layer.
        """
        n, seed = check_count("n", n), check_count("seed", seed, 0)
        check_module("model", self.model)
        check_calm("model", self.model)
        if probe is not None:
            check_probe(probe)
            check_model(self.model, list(probe))
        probe = dict(probe or {})
        like = next(self.model.parameters(), torch.zeros((), device="cpu"))
        device = like.device
        generator = torch.Generator("cpu").manual_seed(seed)
        with torch.inference_mode(False), torch.enable_grad():
            painting = Painting(n, self.size, generator=generator, device=device)
            rule = torch.optim.Adam([painting.spectrum], lr=self.lr)
            share = torch.ones(n, device=device)
            if self.ramp and n > 1:
                share = torch.linspace(0.1, 1, n, device=device)
            for _ in range(self.steps):
                x = painting.images().to(like.dtype)
                seen = augmented(x, *self.moves, generator=generator)
                unit, facet = self.terms(seen, probe)
                value = (
                    unit + self.strength * share * facet - self.penalty * (x - 0.5).square().mean((1, 2, 3))
                )
                (painting.spectrum.grad,) = torch.autograd.grad(-value.sum(), painting.spectrum)
                with torch.device(device):  # Adam makes its own tensors on the default one
                    rule.step()
            images = painting.images().detach().to(like.dtype)
            unit, facet = self.terms(images, probe)
        return Rendered(images, unit.detach(), facet.detach())

    def terms(self, x: Images, probe: Probe) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """The unit's activation, and the facet term: mean over layers of sum a * ReLU(stopgrad da) * w."""
        x = x if x.requires_grad else x.detach().requires_grad_()
        names = [*probe, *([self.layer] if self.layer and self.layer not in probe else [])]
        if names:
            maps, logits = observe(self.model, x, names)
        else:
            maps, logits = {}, logits_of(self.model, x)
        assert logits is not None
        if self.layer is None:
            unit = one_class(logits, self.target)
        else:
            channels = maps[self.layer]
            unit = channels[:, class_index(self.target, channels.shape[1])].relu().flatten(1).mean(1)
        if not unit.requires_grad:
            raise ValueError(
                "model must be differentiable in its images, got no gradient to the image from target "
                f"{self.target}: the model detaches what leads to it or computes it under torch.no_grad()"
            )
        if not probe:
            return unit, torch.zeros_like(unit)
        leaves = [maps[name] for name in probe if maps[name].requires_grad]
        gradients = iter(torch.autograd.grad(unit.sum(), leaves, retain_graph=True, allow_unused=True))
        total = torch.zeros_like(unit)
        for name, w in probe.items():
            g = next(gradients) if maps[name].requires_grad else None
            if g is None:
                raise ValueError(
                    f"probe must have layers that lead to target {self.target}, got layer {name!r}"
                )
            g = g.relu() if self.rectify else g
            total = total + (maps[name] * g * fitted_to(w, maps[name])).flatten(1).sum(1)
        return unit, total / len(probe)
