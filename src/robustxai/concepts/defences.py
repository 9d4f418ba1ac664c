"""What an analyst can do: clean exemplars, fit a steadier probe, query several layers and networks, look for outliers.

Each is a function of exemplars, or of results, so that defences combine. An attacker who knows a defence can aim at
it: measure that too.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

from robustxai.concepts.activations import activation_rows, activations
from robustxai.shapes import Images, OtherImages


def jpeg(x: Images, quality: int = 75) -> Images:
    """Every image stored as JPEG and read again."""
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be in [1, 100], got {quality}")
    pixels = (x * 255).round().to(torch.uint8).cpu()
    found = []
    for picture in pixels.movedim(1, -1).numpy():
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        found.append(np.array(Image.open(file)))
    return torch.from_numpy(np.stack(found)).movedim(-1, 1).to(x) / 255


def blur_on_grid(x: Images, sigma: float | int = 1.0) -> Images:
    """Gaussian blur of standard deviation sigma pixels, on the uint8 grid."""
    size = 2 * round(3 * sigma) + 1
    return (gaussian_blur(x, [size, size], [float(sigma), float(sigma)]) * 255).round() / 255


def fewer_bits(x: Images, bits: int = 4) -> Images:
    """Pixels rounded to 2^bits levels."""
    if bits not in range(1, 9):
        raise ValueError(f"bits must be an integer in [1, 8], got {bits}")
    top = 2**bits - 1
    return (x * top).round() / top


def halved(x: Images, share: float | int = 0.5) -> Images:
    """Made smaller and brought back, bilinearly; differentiable."""
    small = F.interpolate(x, scale_factor=float(share), mode="bilinear", antialias=True)
    return F.interpolate(small, x.shape[2:], mode="bilinear", align_corners=False).clamp(0, 1)


def resized(x: Images, share: float | int = 0.5) -> Images:
    """`halved`, on the uint8 grid."""
    return (halved(x, share) * 255).round() / 255


class Behind(nn.Module):
    """A network behind a cleaner, as an attacker who knows of it sees it; its layers are named "model.<layer>".

    The forward pass has the cleaner itself, the backward pass the gradient of a smooth stand-in.
    """

    def __init__(
        self, model: nn.Module, cleaner: Callable[[Images], Images], smooth: Callable[[Images], Images]
    ) -> None:
        super().__init__()
        self.model, self.cleaner, self.smooth = model, cleaner, smooth
        self.train(model.training)

    def forward(self, x: Images) -> Tensor:
        """Logits of the cleaned images."""
        soft = self.smooth(x)
        return self.model(soft + (self.cleaner(x) - soft).detach())


def noisy_copies(
    x: Images, *, copies: int = 4, sigma: float | int = 0.1, seed: int = 0
) -> Float[Tensor, "many channel height width"]:
    """`copies` noisy versions of every exemplar, (copies * n, ...): a CAV of them is an average over noise.

    Give the negatives as many copies, so that classes stay balanced.
    """
    generator = torch.Generator().manual_seed(seed)
    many = x.repeat(copies, 1, 1, 1)
    noise = torch.randn(many.shape, generator=generator, dtype=x.dtype, device=generator.device).to(x.device)
    return (many + sigma * noise).clamp(0, 1)


CLEANERS: dict[str, Callable[[Images], Images]] = {
    "JPEG 75": jpeg,
    "JPEG 30": lambda x: jpeg(x, 30),
    "blur 1": blur_on_grid,
    "4 bits": fewer_bits,
    "half size": resized,
}
"""Cheap ways to clean exemplars (and random images alike), by name."""


def vote(states: Iterable[str]) -> str:
    """The verdict that more than half of the layers, networks or concept sets give, else "not significant".

    Raises ValueError for no verdicts.

    >>> vote(["important", "important", "anti-important"])
    'important'
    """
    counted = Counter(states)
    if not counted:
        raise ValueError("states must be one verdict or more, got none")
    state, count = counted.most_common(1)[0]
    return state if 2 * count > sum(counted.values()) else "not significant"


def outlier_scores(
    model: nn.Module,
    layer: str,
    exemplars: Images,
    trusted: OtherImages,
    *,
    neighbours: int = 5,
    pool: bool = True,
) -> Float[Tensor, " n"]:
    """How far each exemplar's activation is from its nearest trusted ones, divided by what is usual among these.

    trusted: images that nobody has attacked, such as another source's exemplars of the concept. About 1 for an
    exemplar like them.
    """
    if len(trusted) <= neighbours:
        raise ValueError(f"trusted must hold more images than neighbours, {neighbours}, got {len(trusted)}")
    a, b = (activation_rows(activations(model, x, [layer])[layer], pool=pool) for x in (exemplars, trusted))
    usual = torch.cdist(b, b).topk(neighbours + 1, largest=False).values[:, 1:].mean(1).median()
    return torch.cdist(a, b).topk(neighbours, largest=False).values.mean(1) / usual


def detection_rate(
    suspect: Float[Tensor, " n"], clean: Float[Tensor, " m"], *, false_alarms: float | int = 0.05
) -> float:
    """The share of suspects above the level that `false_alarms` of clean exemplars exceed.

    >>> detection_rate(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0, 2.0]), false_alarms=0.0)
    0.5
    """
    return float((suspect > torch.quantile(clean, 1 - false_alarms)).float().mean())
