"""The loss of the paper's VAE: KL + mean squared error + perceptual distance, for `robustxai.nets.fit`.

The perceptual distance compares what the first convolutions of a frozen network give for an image and its
reconstruction, before their activation.
"""

from collections.abc import Callable
from urllib.error import URLError

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.capture import observed
from robustxai.checks import (
    check_batch,
    check_callable,
    check_count,
    check_images,
    check_module,
    check_number,
)
from robustxai.nets import ConvVAE
from robustxai.nets.adapters import IMAGENET_MEAN, IMAGENET_STD
from robustxai.nets.resnet import Normalize

FeatureMaps = Callable[[Tensor], list[Tensor]]
VGG19 = "VGG19_Weights.IMAGENET1K_V1"
SQUARE = sum(s**2 for s in IMAGENET_STD) / 3  # of a step of 1 in normalised images, in [0, 1]


class _Enough(Exception):
    """Raised inside the network as soon as the last wanted convolution has run."""


class ConvFeatures:
    """The outputs of a network's first `layers` convolutions, before batch norm and activation.

    The rest of the network does not run. The network is used as it is: freeze it and put it in eval mode.
    Raises ValueError when it has fewer convolutions.

    >>> features = ConvFeatures(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval(), layers=2)
    >>> [f.shape[1] for f in features(torch.rand(1, 3, 8, 8))]
    [4, 2]
    """

    def __init__(self, network: nn.Module, layers: int = 5) -> None:
        check_module("network", network)
        check_count("layers", layers, 0)
        self.network = network
        self.convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)][:layers]
        if layers < 1 or len(self.convolutions) < layers:
            raise ValueError(f"layers must be in [1, {len(self.convolutions)}], got {layers}")

    def __call__(self, x: Tensor) -> list[Tensor]:
        check_images("x", x, low=None, high=None)
        seen: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            seen.append(output)
            if len(seen) == len(self.convolutions):
                raise _Enough

        try:
            with observed(*((conv, keep) for conv in self.convolutions)):
                self.network(x)
        except _Enough:
            pass
        return seen


class VAELoss:
    """kl * KL + mse * MSE + perceptual * mean over layers of the features' MSE (spec 3.1).

    KL = -1/2 mean over all latent numbers of (1 + log var - mean^2 - var); MSE is the mean over all pixels.
    The paper weighs all three with 1; the weight of KL here is chosen for images in [0, 1], as the sum over
    pixels of the squared error + 0.05 * the sum over latent numbers of KL would have it (spec 10.2). The code
    is drawn from torch's default generator, which `fit` seeds for each step. Without `features` the third
    term is left out. Raises ValueError for weights that are negative or not finite.

    >>> x = torch.rand(2, 3, 16, 16)
    >>> VAELoss()(ConvVAE(widths=(4, 4), latent=2), x, x).shape
    torch.Size([])
    """

    def __init__(
        self,
        features: FeatureMaps | None = None,
        *,
        kl: float | int = 1e-3,
        mse: float | int = 1.0,
        perceptual: float | int = 0.01,
    ) -> None:
        if features is not None:
            check_callable("features", features)
        self.features = features
        self.kl, self.mse = check_number("kl", kl), check_number("mse", mse)
        self.perceptual = check_number("perceptual", perceptual)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch of images; `y` is not looked at."""
        if not isinstance(model, ConvVAE):
            raise ValueError(f"model must be a ConvVAE, got {type(model).__name__}")
        mean, log_variance = model.moments(x)
        images = model.decode(mean + torch.randn_like(mean) * (0.5 * log_variance).exp())
        loss = self.kl * divergence(mean, log_variance) + self.mse * (images - x).square().mean()
        return (
            loss
            if self.features is None
            else loss + self.perceptual * feature_distance(self.features, images, x)
        )


def paper_loss(device: torch.device | str = "cpu", weights: str | None = VGG19) -> VAELoss:
    """The paper's own terms: the perceptual one from all 16 convolutions of VGG-19, and weights that are 1 where images
    are normalised as ImageNet's, here all divided by the same number so that the squared error is that of [0, 1].

    weights: a torchvision enum's name (downloaded once), or None for random ones. Raises ValueError where they cannot
    be fetched.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            vgg = torchvision.models.vgg19(weights=weights, **({} if weights else {"init_weights": False}))
    except URLError as error:
        raise ValueError(
            f"weights must be None offline, got {weights}, which could not be fetched ({error.reason})"
        ) from error
    body = vgg.features.requires_grad_(False)
    for module in body.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # the features are taken before it
    judge = nn.Sequential(Normalize(IMAGENET_MEAN, IMAGENET_STD), body).eval().to(device)
    return VAELoss(ConvFeatures(judge, layers=16), kl=SQUARE, mse=1.0, perceptual=SQUARE)


def divergence(mean: Float[Tensor, " n *latent"], log_variance: Float[Tensor, " n *latent"]) -> Tensor:
    """KL from the standard normal, per latent number: 0 for mean 0 and log variance 0."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean()


def feature_distance(features: FeatureMaps, images: Tensor, x: Tensor) -> Tensor:
    """Mean over layers of the mean squared difference of features; only `images` gets a gradient."""
    with torch.no_grad():
        goal = features(x)
    pairs = zip(features(images), goal, strict=True)
    return torch.stack([(a - b).square().mean() for a, b in pairs]).mean()


@torch.no_grad()
def reconstruction_error(
    model: nn.Module, x: Tensor, y: Tensor | None = None, *, batch_size: int = 128
) -> float:
    """Mean squared error per pixel of decode(encode(x)) in eval mode: a `measure` for `fit`; modes put back."""
    check_batch("x", x)
    check_count("batch_size", batch_size)
    check_module("model", model)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        total = sum(float((model(part) - part).square().sum()) for part in x.split(batch_size))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return total / x.numel()
