"""The attack on faceted feature visualisation: exemplars of a theme pushed at the layers of its probe (spec 4.9).

The attacker changes only the theme's exemplars and knows the network and the probe's layers. Towards a decoy theme's
exemplars the facet is replaced, towards generic pictures it is destroyed. Knows nothing about rendering.
"""

from collections.abc import Sequence
from typing import Any

from robustxai.concepts.attacks.multi_layer import MultiLayerPushing


class FacetAttack(MultiLayerPushing):
    """Token pushing at all layers of a facet's probe, 40 steps; `perturb(model, theme, towards)` as its parent's.

    layers: those of the probe. options: of `MultiLayerPushing`.
    """

    def __init__(
        self,
        layers: Sequence[str],
        *,
        steps: int = 40,
        **options: Any,
    ) -> None:
        super().__init__(layers, steps=steps, **options)
