"""Defences of maps that need no training: a smoother network, an average, another score, a reconstruction.

Each takes an explainer and gives one, which an attack differentiates itself; what the attacker does about a defence is
part of its registration. Trained defences are other networks, and enter as such.
"""

import copy
from typing import Any

from torch import Tensor

from robustxai.arena.readouts import Wrapped
from robustxai.arena.registry import Parts, defence
from robustxai.diffgradcam.contrastive_cams import ContrastiveCAM
from robustxai.explainers.base import Explainer
from robustxai.explainers.decoder import Decoder, run_network
from robustxai.explainers.noise import Noise
from robustxai.nets.softplus import softplus_copy
from robustxai.scores.explained import check_score

_READ = ("cam", "pixel", "path", "forward-only", "manifold")
"""Families whose maps read the network."""
BETAS = (20, 5, 2, 0.5)
NOISY = (4, 16)


class Smoothed(Wrapped):
    """The mean of an explainer's signed attributions over noisy copies of the image (Smilkov et al. 2017).

    samples, std: as of `robustxai.explainers.noise.Noise`; the same noise at every call, so it can be attacked.

    >>> from robustxai.explainers.gradient import Saliency
    >>> net, x = torch.nn.Linear(3, 2), torch.zeros(1, 3)
    >>> bool(torch.allclose(Smoothed(Saliency(net), 4)(x, 0), Saliency(net)(x, 0), atol=1e-2))
    True
    """

    def __init__(self, inner: Explainer, samples: int, std: float | int = 0.1):
        super().__init__(inner)
        self.noise = Noise(samples, std)

    def attribute(self, x: Tensor, target: Any = None) -> Tensor:
        """The mean attribution; `target` None is the class that is predicted for each noisy copy."""
        noise = self.noise.draw(x)
        many = (x + noise).flatten(0, 1)
        again = target.repeat(len(noise)) if isinstance(target, Tensor) and target.ndim else target
        signed = getattr(self.inner, "signed", self.inner.attribute)
        return signed(many, again).unflatten(0, (len(noise), len(x))).mean(0)


class Purified(Wrapped):
    """The map of an image's reconstruction by an autoencoder (encoder, decoder), for the class of the image.

    >>> from robustxai.explainers.gradient import Saliency
    >>> halved = Purified(Saliency(torch.nn.Linear(3, 2)), (lambda x: x, lambda z: z / 2))
    >>> halved(torch.ones(1, 3), 0).shape
    torch.Size([1, 3])
    """

    def __init__(self, inner: Explainer, autoencoder: tuple[Decoder, Decoder]):
        super().__init__(inner)
        self.encoder, self.decoder = autoencoder

    def attribute(self, x: Tensor, target: Any = None) -> Tensor:
        """The attribution of the reconstruction. ValueError where it is not like x."""
        rebuilt = run_network(self.decoder, run_network(self.encoder, x, name="encoder"), name="decoder")
        if rebuilt.shape != x.shape:
            raise ValueError(f"decoder must give images like x, {tuple(x.shape)}, got {tuple(rebuilt.shape)}")
        return self.inner.attribute(rebuilt, target)


def rescored(explain: Explainer, score: str) -> Explainer:
    """The same explainer of another score. ValueError for an explainer that explains none, and an unknown score.

    >>> from robustxai.explainers.gradient import Saliency
    >>> rescored(Saliency(torch.nn.Linear(3, 2)), "lse").score
    'lse'
    """
    check_score("score", score)
    field = "contrast" if isinstance(explain, ContrastiveCAM) else "score"
    if not isinstance(getattr(explain, field, None), str):
        raise ValueError(f"explain must have a score to replace, got {type(explain).__name__}")
    other = copy.copy(explain)
    setattr(other, field, score)
    return other


def _softplus(beta: float | int):
    return lambda explain, parts: explain.on(softplus_copy(explain.model, beta))


def _smoothed(samples: int):
    return lambda explain, parts: Smoothed(explain, samples)


def _rescored(score: str):
    return lambda explain, parts: rescored(explain, score)


for beta in BETAS:
    defence(
        f"softplus({beta:g})", families=_READ, paper="Dombrowski et al. 2019",
        adaptive="Differentiates the map of the smooth network, which has curvature everywhere.",
    )(_softplus(beta))  # fmt: skip
for samples in NOISY:
    defence(
        f"SmoothGrad({samples})", families=("cam", "pixel"), paper="Smilkov et al. 2017",
        adaptive="Differentiates through every noisy copy; the noise is fixed and known.",
    )(_smoothed(samples))  # fmt: skip
for name, score in {"contrast (lse)": "lse", "contrast (mean)": "mean", "centred head": "centred"}.items():
    defence(
        name, families=("cam", "pixel", "path"), paper="Piland, Sweet & Czajka 2025",
        adaptive="Differentiates the contrast, other logits included.",
    )(_rescored(score))  # fmt: skip


@defence(
    "purification",
    needs=("autoencoder",),
    families=_READ,
    adaptive="Differentiates through encoder and decoder.",
)
def purification(explain: Explainer, parts: Parts) -> Explainer:
    """The map of the reconstruction."""
    assert parts.autoencoder is not None
    return Purified(explain, parts.autoencoder)
