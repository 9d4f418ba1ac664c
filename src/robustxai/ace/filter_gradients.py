"""The class gradient through the filter: the full one, and the two cheaper ways to get one (spec 3.8).

Knows one evaluation; knows nothing about steps, distances or the result.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.ace.diffusion_filter import DiffusionFilter, NoiseImages, check_filter, check_noise
from robustxai.ace.frozen_parameters import frozen_parameters
from robustxai.ace.losses import LOSSES, class_loss
from robustxai.checks import check_images, check_name
from robustxai.eval_mode import check_calm
from robustxai.metrics import similarity
from robustxai.models import Network, logits_of
from robustxai.shapes import Images, Logits

ROUTES = ("full", "one-step", "shortcut")
"""full: through every denoising step. one-step: the same noise level, filter and gradient of one step. shortcut:
all steps forwards and none backwards, the gradient at the filtered image over sqrt(abar) (that of DiME)."""


def class_gradient(
    classifier: Network,
    filter: DiffusionFilter | None,
    x: Images,
    target: Int[Tensor, " n"],
    noise: NoiseImages | None = None,
    *,
    route: str = "full",
    loss: str = "ce",
) -> tuple[Images, Logits]:
    """Gradient in `x` of the summed `class_loss` of classifier(F(x)) for the target, and the logits on F(x).

    filter: None for the classifier alone. noise: of the filter's call, such as `filter.noise(x)`. Parameters are
    left out of the graph. Raises ValueError for images, classes and noise that do not fit, and a filter without noise.

    >>> brightness = lambda x: x.mean((1, 2, 3))[:, None]
    >>> gradient, logits = class_gradient(brightness, None, torch.full((1, 1, 2, 2), 0.5), torch.tensor([1]))
    >>> bool((gradient < 0).all()), logits
    (True, tensor([[0.5000]]))
    """
    check_name("route", route, ROUTES)
    check_name("loss", loss, LOSSES)
    check_calm("classifier", classifier)
    check_images("x", x, low=None, high=None)
    if filter is not None and filter.tau:
        check_noise(noise, x, filter.tau)
    with torch.enable_grad(), frozen_parameters(classifier):
        x = x.detach().requires_grad_()
        if filter is None or noise is None or filter.tau == 0:  # without noise: nothing visits the filter
            seen, wrt, scale = x, x, 1.0
        elif route == "shortcut":
            with torch.no_grad():
                seen = filter.run(x, noise)
            seen.requires_grad_()
            assert filter.schedule is not None
            wrt, scale = seen, 1 / float(filter.schedule.alpha_bar[-1].sqrt())
        else:
            if route == "one-step":
                filter, noise = filter.fewer(1), noise[:, :1]
            seen, wrt, scale = filter.run(x, noise), x, 1.0
        logits = logits_of(classifier, seen, name="classifier")
        if not logits.requires_grad:
            raise ValueError("classifier must be differentiable in its images, got logits without a gradient")
        (gradient,) = torch.autograd.grad(class_loss(logits, target, loss).sum(), wrt)
    return scale * gradient, logits.detach()


def passes(filter: DiffusionFilter | None, route: str) -> tuple[int, int]:
    """Forwards and backwards of the denoising network that one `class_gradient` of one image costs.

    >>> passes(None, "full")
    (0, 0)
    """
    check_name("route", route, ROUTES)
    check_filter(filter)
    tau = 0 if filter is None else filter.tau
    if route == "shortcut" or tau == 0:
        return tau, 0
    tau = 1 if route == "one-step" else tau
    return tau * (2 if filter is not None and filter.checkpoint else 1), tau


def gradient_cosine(a: Images, b: Images) -> Float[Tensor, " n"]:
    """Cosine between two gradients of each image, such as those of two routes; NaN where one is zero."""
    found = torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1))
    return found.masked_fill(similarity.cosine(a, b).isnan(), torch.nan)
