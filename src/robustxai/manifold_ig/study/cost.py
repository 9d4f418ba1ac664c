"""What an attribution costs: decoder passes and seconds, counted around one call, without diagnostics.

Nothing is taken from a method's memory of paths.
"""

import copy
from time import perf_counter

from torch import Tensor

from robustxai.explainers.decoder import Decoder
from robustxai.explainers.path_explainer import PathExplainer
from robustxai.manifold_ig.latent_path import LatentPathIG


class Counted:
    """A decoder that counts the images it has made, and those it has been differentiated at."""

    def __init__(self, decoder: Decoder):
        self.decoder, self.forwards, self.backwards = decoder, 0, 0

    def __call__(self, z: Tensor) -> Tensor:
        y = self.decoder(z)
        self.forwards += len(z)
        if y.requires_grad:
            y.register_hook(self._back)
        return y

    def _back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def cost(method: PathExplainer, x: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Decoder images forward and backward, and seconds, per explained image, from black."""
    again = copy.copy(method)
    counted = None if method.decoder is None else Counted(method.decoder)
    again.decoder = counted
    if isinstance(again, LatentPathIG):
        again.memory = None
    begun = perf_counter()
    again.attribute(x, target, 0.0)
    values = perf_counter() - begun, getattr(counted, "forwards", 0), getattr(counted, "backwards", 0)
    names = ("seconds", "decoder forwards", "decoder backwards")
    return {k: x.new_full((len(x),), v / len(x)) for k, v in zip(names, values, strict=True)}
