"""Concept-based explanations (TCAV, faceted feature visualisation) and attacks on their exemplars.

    tcav = TCAV(model, ["b3", "b4"], cav=CAV("ridge"))
    result = tcav.score(zebras, zebra, {"striped": stripes}, random_sets())
    result["striped", "b4"].state          # important, anti-important or not significant

Images are in [0, 1], (n, C, H, W); a layer is named by its module path. An attack changes only the exemplars.
"""

# attacks on exemplars and their controls
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

# concept activation vectors
from robustxai.concepts.cav import CAV, FittedCAVs, Negatives as Negatives

# sets of exemplars
from robustxai.concepts.exemplars import CONCEPTS as CONCEPTS, concept_sets, random_sets, scored_images

# probes of a facet
from robustxai.concepts.facet_probes import facet_probe, facet_score

# faceted feature visualisation
from robustxai.concepts.facets import FacetedVisualization, Rendered

# classes with known concepts
from robustxai.concepts.rendered_classes import CLASSES as CLASSES, NAMES as NAMES

# tests and verdicts
from robustxai.concepts.significance import corrected, permutation_test, state, t_test

# TCAV
from robustxai.concepts.tcav import TCAV

# what TCAV returns
from robustxai.concepts.tcav_result import Cell, TCAVResult

__all__ = [
    "CAV",
    "TCAV",
    "Cell",
    "ClassGradientPush",
    "FacetedVisualization",
    "FittedCAVs",
    "MultiLayerPushing",
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
