"""Encoders and decoders, whatever they are: run with one sentence where they do not fit, and curves of codes decoded.

A decoder is any callable from codes (n, *latent) to images (n, *image) that treats its samples independently.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_callable, check_count, shown
from robustxai.explainers.path_checks import check_curve
from robustxai.models import fitting

Decoder = Callable[[Tensor], Tensor]
Codes = Float[Tensor, "n *latent"]
Latents = Float[Tensor, "points n *latent"]
PathImages = Float[Tensor, "points n *image"]


def run_network(network: Callable[[Tensor], Any], x: Tensor, name: str) -> Any:
    """network(x) for an encoder or a decoder; ValueError where x does not fit it. Classifiers: `models.logits_of`."""
    check_callable(name, network)
    with fitting(name, x):
        return network(x)


def decode(decoder: Decoder, latents: Latents, *, batch_size: int | None = None) -> PathImages:
    """The images of all points of all curves, `batch_size` codes at a time (None: all at once).

    Raises ValueError when the decoder does not run on the codes or does not return one image for each.
    """
    check_curve("latents", latents, least=1)
    size = None if batch_size is None else check_count("batch_size", batch_size)
    flat = latents.flatten(0, 1)
    parts = flat.split(size) if size else (flat,)
    images = [run_network(decoder, part, "decoder") for part in parts]
    for part, image in zip(parts, images, strict=True):
        if not isinstance(image, Tensor) or image.ndim < 2 or len(image) != len(part):
            raise ValueError(
                f"decoder must give one image a code, got {shown(image)} for codes of shape {tuple(part.shape)}"
            )
    return torch.cat(images).unflatten(0, latents.shape[:2])


def like(images: Tensor, x: Tensor) -> Tensor:
    """The images (points, n, *image), where these are of the shape of the samples x; ValueError otherwise."""
    if images.shape[2:] != x.shape[1:]:
        raise ValueError(
            f"decoder must give images of the shape of x, {tuple(x.shape[1:])}, got {tuple(images.shape[2:])}"
        )
    return images
