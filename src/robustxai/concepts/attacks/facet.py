"""The attack on faceted feature visualisation: exemplars of a theme pushed at the layers of its probe (spec 4.9).

The attacker changes only the theme's exemplars and knows the network and the probe's layers. Towards a decoy theme's
exemplars the facet is replaced, towards generic pictures it is destroyed. Knows nothing about rendering.
"""

from collections.abc import Sequence

from robustxai.concepts.attacks.multi_layer import MultiLayerPushing


class FacetAttack(MultiLayerPushing):
    """Token pushing at all layers of a facet's probe, 40 steps; `perturb(model, theme, towards)` as its parent's.

    layers: those of the probe. Other arguments as in `TokenPushing`.
    """

    def __init__(
        self,
        layers: Sequence[str],
        *,
        variant: str = "full",
        eps: float | int = 8 / 255,
        step: float | None = None,
        steps: int = 40,
        start: str = "zero",
        chunk: int = 128,
    ) -> None:
        super().__init__(layers, variant=variant, eps=eps, step=step, steps=steps, start=start, chunk=chunk)
