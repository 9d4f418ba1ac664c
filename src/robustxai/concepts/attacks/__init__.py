"""Attacks on the exemplars of a concept; each leaves model, class images and random sets as they are."""

from .class_gradient import ClassGradientPush
from .common import Perturbed, pgd
from .controls import CONTROLS, controls, negated, permuted, shuffled, sign_noise
from .multi_layer import MultiLayerPushing
from .token_pushing import TokenPushing
from .universal import Universal, UniversalPushing

__all__ = [
    "CONTROLS",
    "ClassGradientPush",
    "MultiLayerPushing",
    "Perturbed",
    "TokenPushing",
    "Universal",
    "UniversalPushing",
    "controls",
    "negated",
    "permuted",
    "pgd",
    "shuffled",
    "sign_noise",
]
