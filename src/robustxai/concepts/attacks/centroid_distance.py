"""How far the activations of exemplars are from a centroid: the three variants of token pushing (spec 4.2)."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from robustxai.checks import check_name
from robustxai.concepts.activations import CHUNK, forward_to
from robustxai.concepts.rows import check_channels

VARIANTS = ("full", "cosine", "pooled")
"""full: squared l2 distance of whole maps. cosine: maps with unit channel vectors at every position. pooled: of the
means over positions."""


def check_variant(variant: str) -> None:
    """Raises ValueError for a variant that does not exist."""
    check_name("variant", variant, VARIANTS)


def embedded(a: Float[Tensor, " n *shape"], variant: str) -> Float[Tensor, " n *embedded"]:
    """The activations as the variant compares them."""
    if variant == "full" or a.ndim == 2:
        return a
    check_channels(a)
    return F.normalize(a, dim=1) if variant == "cosine" else a.flatten(2).mean(2)


@torch.no_grad()
def centroids(model: nn.Module, x: Tensor, layers: Sequence[str], variant: str = "full") -> dict[str, Tensor]:
    """mu_T of each layer over images x (n, C, H, W)."""
    sums: dict[str, Tensor] = {}
    for part in x.split(CHUNK):
        for name, a in forward_to(model, part, layers).items():
            total = embedded(a, variant).sum(0)
            sums[name] = sums[name] + total if name in sums else total
    return {name: total / len(x) for name, total in sums.items()}


def squared_distances(
    model: nn.Module, x: Tensor, centres: Mapping[str, Tensor], variant: str = "full"
) -> dict[str, Float[Tensor, " n"]]:
    """|f_l(x) - mu|^2 of each layer, with the graph from x."""
    maps = forward_to(model, x, list(centres))
    return {
        name: (embedded(a, variant) - centres[name]).flatten(1).square().sum(1) for name, a in maps.items()
    }
