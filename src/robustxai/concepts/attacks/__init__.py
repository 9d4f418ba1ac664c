"""Attacks on the exemplars of a concept; each leaves model, class images and random sets as they are."""

from robustxai.concepts.attacks.base import Perturbed, pgd
from robustxai.concepts.attacks.class_gradient import ClassGradientPush
from robustxai.concepts.attacks.controls import CONTROLS, controls, negated, permuted, shuffled, sign_noise
from robustxai.concepts.attacks.multi_layer import MultiLayerPushing
from robustxai.concepts.attacks.token_pushing import TokenPushing
from robustxai.concepts.attacks.universal import Universal, UniversalPushing

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
