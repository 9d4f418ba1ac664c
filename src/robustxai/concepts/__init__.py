"""Concept-based explanations (TCAV, faceted feature visualisation) and attacks on their exemplars.

    tcav = TCAV(model, ["b3", "b4"], cav=CAV("ridge"))
    result = tcav.score(zebras, zebra, {"striped": stripes}, random_sets())
    result["striped", "b4"].state          # important, anti-important or not significant

Images are in [0, 1], (n, C, H, W); a layer is named by its module path. An attack changes only the exemplars.
"""

from robustxai.concepts.attacks import (
    ClassGradientPush,
    MultiLayerPushing,
    Perturbed,
    TokenPushing,
    Universal,
    UniversalPushing,
    controls,
    sign_noise,
)
from robustxai.concepts.cav import CAV, FittedCAVs, Negatives
from robustxai.concepts.exemplars import CONCEPTS, concept_sets, random_sets, scored_images
from robustxai.concepts.facet_probes import facet_probe, facet_score
from robustxai.concepts.facets import FacetedVisualization, Rendered
from robustxai.concepts.rendered_classes import CLASSES, NAMES
from robustxai.concepts.significance import corrected, permutation_test, state, t_test
from robustxai.concepts.tcav import TCAV
from robustxai.concepts.tcav_result import Cell, TCAVResult

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
