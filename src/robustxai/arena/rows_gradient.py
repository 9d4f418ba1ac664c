"""Input gradients and integrals along paths of pixels as rows. All explain the logit."""

from torch import nn

from robustxai.arena.registry import explainer
from robustxai.explainers.base import Explainer
from robustxai.explainers.gradient import GradientTimesInput, Saliency, SmoothGrad
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.manifold_ig import BlurIG, GuidedIG
from robustxai.nets.resnet import Normalize

_AFFINE = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Flatten,
    nn.Unflatten, nn.Identity, Normalize, nn.Dropout, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
)  # fmt: skip
"""Modules that are affine maps in eval mode."""


def is_affine(model: nn.Module) -> bool:
    """Whether a network is seen to be one affine map: a chain, also nested, of modules that are. False may be wrong. A
    wrapper says of itself what it is a `chain` of.

    >>> is_affine(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))), is_affine(nn.Sequential(nn.Linear(4, 2), nn.ReLU()))
    (True, False)
    """
    parts = model if type(model) is nn.Sequential else getattr(model, "chain", None)
    return type(model) in _AFFINE if parts is None else all(map(is_affine, parts))


def one_gradient(explain: Explainer) -> str | None:
    """Why the gradient of an affine network's logit cannot be moved; None for other networks and scores."""
    if getattr(explain, "score", None) == "logit" and is_affine(explain.model):
        return "The network is one linear map, so the gradient of its logit is the same everywhere."
    return None


@explainer("Saliency", family="pixel", paper="Simonyan et al. 2014", proof=one_gradient)
def saliency_row(model):
    """|gradient| of the logit."""
    return Saliency(model, score="logit")


@explainer("Gradient x Input", family="pixel", paper="Shrikumar et al. 2017")
def gradient_times_input_row(model):
    """|gradient x input| of the logit."""
    return GradientTimesInput(model, score="logit")


def _smooth_grad(samples: int):
    return lambda model: SmoothGrad(model, score="logit", samples=samples, std=0.1)


for copies in (4, 16):
    explainer(
        f"SmoothGrad ({copies})", family="pixel", paper="Smilkov et al. 2017", cost=copies, proof=one_gradient
    )(_smooth_grad(copies))


def _integrated(n_steps: int):
    return lambda model: IntegratedGradients(model, n_steps=n_steps)


for count in (6, 20):
    explainer(f"IG ({count})", family="path", paper="Sundararajan et al. 2017", cost=count)(
        _integrated(count)
    )


@explainer("BlurIG (6)", family="path", paper="Xu et al. 2020", cost=6)
def blur_ig(model):
    """From the blurred image to the image."""
    return BlurIG(model, n_steps=6)


@explainer("GuidedIG (20)", family="path", paper="Kapishnikov et al. 2021", cost=20)
def guided_ig(model):
    """Small gradients first: the path comes from comparisons, so the attacker borrows the derivative of IG."""
    return GuidedIG(model, n_steps=20)
