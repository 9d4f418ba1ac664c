"""Concept-based explanations (TCAV, faceted feature visualisation) and attacks on their exemplars.

    tcav = TCAV(model, ["b3", "b4"], cav=CAV("ridge"))
    result = tcav.score(zebras, zebra, {"striped": stripes}, random_sets())
    result["striped", "b4"].state          # important, anti-important or not significant

Images are in [0, 1], (n, C, H, W); a layer is named by its module path. An attack changes only the exemplars.
"""

from .attacks import (
    ClassGradientPush,
    MultiLayerPushing,
    Perturbed,
    TokenPushing,
    Universal,
    UniversalPushing,
    controls,
    sign_noise,
)
from .cav import CAV, FittedCAVs, Negatives
from .exemplars import CONCEPTS, concept_sets, random_sets, scored_images
from .facet_probes import facet_probe, facet_score
from .facets import FacetedVisualization, Rendered
from .results import Cell, TCAVResult
from .tcav import TCAV
from .verdicts import corrected, permutation_test, state, t_test
from .world import CLASSES, NAMES

__all__ = [
    "CAV",
    "CLASSES",
    "CONCEPTS",
    "NAMES",
    "TCAV",
    "Cell",
    "ClassGradientPush",
    "FacetedVisualization",
    "FittedCAVs",
    "MultiLayerPushing",
    "Negatives",
    "Perturbed",
    "Rendered",
    "TCAVResult",
    "TokenPushing",
    "Universal",
    "UniversalPushing",
    "concept_sets",
    "controls",
    "corrected",
    "facet_probe",
    "facet_score",
    "permutation_test",
    "random_sets",
    "scored_images",
    "sign_noise",
    "state",
    "t_test",
]
