"""LatentPathIG (EIG): Integrated Gradients along a decoded line of codes, straight or bent.

Encoder and decoder are any callables, x -> code -> image.
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_callable, check_count, check_name
from robustxai.explainers.decoder import Decoder, Latents, decode, like
from robustxai.explainers.path_explainer import PathExplainer, PathIntegral
from robustxai.manifold_ig import paths
from robustxai.manifold_ig.geodesic import Geodesic
from robustxai.manifold_ig.path_cache import Recall
from robustxai.manifold_ig.sine_curves import line
from robustxai.shapes import Target

CodeMemory = dict[bytes, Any]


class LatentPathIG(PathExplainer):
    """Enhanced Integrated Gradients (Jha et al. 2020): the decoded straight line of codes (spec 3.8, item 3).

    Args:
        encoder, decoder: x -> code (n, *latent) and code -> image of the shape of x, any callables.
        endpoint: "recon" ends at the reconstruction, "bridge" goes on to the raw image on a straight line of
            `bridge_points`, "anchor" puts the raw images in place of the ends (spec 3.5).
        bend: (n_steps + 1, n, *latent), added to the line of codes of n images: a frozen geodesic.
        memory: a dictionary that keeps the paths by their ends. A path knows the decoder and not the classifier:
            explainers of several classifiers on one autoencoder that share a dictionary find each path once.

    Raises ValueError for an unknown endpoint, fewer than 1 bridge point, or a bend of another length; at a call for
    images whose codes do not fit the bend.

    >>> import torch
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    >>> encode, decode = (lambda x: x.flatten(1)[:, :4]), (lambda z: z.repeat(1, 3).sigmoid().unflatten(1, (3, 2, 2)))
    >>> explain = LatentPathIG(net, encode, decode, n_steps=4)
    >>> explain.attribute(torch.rand(2, 3, 2, 2), target=1).shape
    torch.Size([2, 3, 2, 2])
    """

    def __init__(
        self,
        model: nn.Module,
        encoder: Decoder,
        decoder: Decoder,
        *,
        endpoint: str = "recon",
        bridge_points: int = 1,
        bend: Tensor | None = None,
        memory: CodeMemory | None = None,
        **options: Any,
    ):
        super().__init__(model, **options)
        check_name("endpoint", endpoint, paths.ENDPOINTS)
        for name, network in (("encoder", encoder), ("decoder", decoder)):
            check_callable(name, network)
        if bend is not None and (bend.ndim < 3 or len(bend) != self.n_steps + 1):
            raise ValueError(
                f"bend must be ({self.n_steps + 1}, n, ...), a point a step and one, got shape {tuple(bend.shape)}"
            )
        self.encoder, self.decoder, self.bend = encoder, decoder, bend
        self.endpoint, self.memory = endpoint, memory
        self.bridge_points = check_count("bridge_points", bridge_points)

    def _codes(self, x: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of `start` and of `x`; a start that all share is encoded once."""
        one = start[:1] if bool((start == start[:1]).all()) else start
        z0 = self._encoded_in_passes(one)
        return z0.expand(len(start), *z0.shape[1:]), self._encoded_in_passes(x)

    def latents(self, x: Tensor, start: Tensor) -> Latents:
        """The codes along the path from `start` to `x`, bent where there is a bend."""
        latents = line(*self._codes(x, start), self.n_steps + 1)
        if self.bend is None:
            return latents
        if self.bend.shape != latents.shape:
            raise ValueError(
                f"bend must have shape {tuple(latents.shape)} for these images, got {tuple(self.bend.shape)}"
            )
        return latents + self.bend

    def _integrate(self, x: Tensor, start: Tensor, target: Target) -> PathIntegral:
        return self._decoded(self.latents(x, start), x, start, target)

    def _recalled(self, kind: str, make: Callable[[], Any], *codes: Tensor) -> Any:
        """What `make` made for these codes before, if there is a memory."""
        if self.memory is None:
            return make()
        key = sha256(kind.encode())
        for z in codes:
            key.update(z.detach().cpu().numpy().tobytes())
        name = key.digest()
        if isinstance(self.memory, Recall):
            return self.memory.made(name, make)
        if name not in self.memory:
            self.memory[name] = make()
        return self.memory[name]

    def images(self, latents: Latents) -> Float[Tensor, "points n *image"]:
        """The decoded points of a path; from the memory, where there is one and no graph is wanted."""
        assert self.decoder is not None
        make = partial(decode, self.decoder, latents, batch_size=self.batch_size)
        return make() if latents.requires_grad else self._recalled("images", make, latents)

    def _decoded(
        self, latents: Tensor, x: Tensor, start: Tensor, target: Target, found: Geodesic | None = None
    ) -> PathIntegral:
        """Integrate along decoded codes; the images that the solver left are used where no graph is wanted."""
        assert self.decoder is not None
        if found is not None and found.images.shape[2:] == x.shape[1:] and not latents.requires_grad:
            images = found.images
        else:
            images = self.images(latents)
        path = paths.endpoints(like(images, x), start, x, self.endpoint, points=self.bridge_points)
        return self._along(path, target, found)
