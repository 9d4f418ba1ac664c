"""Integrals along decoded paths as rows: they need an autoencoder (encoder, decoder)."""

from robustxai.arena.registry import explainer
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.manifold_ig import LatentPathIG, ManifoldIG

_NEEDS = ("autoencoder",)
_STEPS = 6


@explainer("IG-recon", family="manifold", needs=_NEEDS, paper="Zaher et al. 2024", cost=_STEPS + 2)
def ig_recon(model, autoencoder):
    """The straight line between two reconstructions."""
    return IntegratedGradients(model, *autoencoder, n_steps=_STEPS)


@explainer("EIG", family="manifold", needs=_NEEDS, paper="Jha et al. 2020", cost=2 * _STEPS)
def eig(model, autoencoder):
    """The decoded straight line of codes."""
    return LatentPathIG(model, *autoencoder, n_steps=_STEPS)


@explainer("Manifold IG", family="manifold", needs=_NEEDS, paper="Zaher et al. 2024", cost=10 * _STEPS)
def manifold_ig(model, autoencoder):
    """A geodesic of the decoder; its bend is held where the attacker asks for derivatives."""
    return ManifoldIG(model, *autoencoder, n_steps=_STEPS)
