"""Every public class of the chapters, with how it is made: a new explainer, attack or result is one row here.

`EXPLAINERS` and `ATTACKS` are walked by `tests/test_contract.py` over all kinds of networks. `OTHERS` names what is
neither, and why. A public class that stands nowhere fails the test.
"""

from collections.abc import Callable
from typing import Any

import torch
from contract_models import Kind
from torch import Tensor, nn

import robustxai.concepts as C
import robustxai.diffgradcam as D
import robustxai.manifold_ig as M
import robustxai.ranking as R
from robustxai.diffgradcam.capture import cut
from robustxai.explainers.reshape import find_reshape

Make = Callable[[nn.Module, Kind], Any]


class Encoder(nn.Module):
    """Images (n, channels, 16, 16) to codes (n, 5)."""

    def __init__(self, kind: Kind):
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(kind.channels * 256, 5), nn.Tanh()).to(kind.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Decoder(nn.Module):
    """Codes (n, 5) to images in (0, 1)."""

    def __init__(self, kind: Kind):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, kind.channels * 256), nn.Sigmoid()
        )
        self.inner.to(kind.dtype)
        self.channels = kind.channels

    def forward(self, z: Tensor) -> Tensor:
        return self.inner(z).unflatten(1, (self.channels, 16, 16))


def coded(kind: Kind) -> tuple[nn.Module, nn.Module]:
    """The same autoencoder each time."""
    state = torch.random.get_rng_state()
    torch.manual_seed(1)
    parts = Encoder(kind).eval(), Decoder(kind).eval()
    torch.random.set_rng_state(state)
    return parts


def cam(name: str) -> Make:
    return lambda net, kind: getattr(D, name)(net, kind.layer, reshape=kind.reshape)


def branch(net: nn.Module, kind: Kind) -> Any:
    with torch.no_grad():
        c = cut(net, kind.layer, kind.images(2), reshape=find_reshape(kind.reshape))
    channels = c.activations.shape[1]
    features = torch.randn(24, channels, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(24) % kind.classes
    return D.SigmoidBranch(net, features, labels, kind.layer, reshape=kind.reshape, relu=False)


CAMS = (
    "CAM", "CASE", "AblationCAM", "CentredGradCAM", "ContrastiveCAM", "DiffGradCAM", "DiffGradCAMPlusPlus", "EigenCAM",
    "FinerCAM", "GradCAM", "GradCAMPlusPlus", "HiResCAM", "LayerCAM", "ReST", "ScoreCAM", "SoftmaxGradCAM", "XGradCAM",
)  # fmt: skip
EXPLAINERS: dict[str, Make] = {
    **{f"diffgradcam.{name}": cam(name) for name in CAMS},
    "diffgradcam.SigmoidBranch": branch,
    "diffgradcam.FullGrad": lambda net, kind: D.FullGrad(net),
    "diffgradcam.GuidedGradCAM": lambda net, kind: D.GuidedGradCAM(net, kind.layer, reshape=kind.reshape),
    "ranking.Saliency": lambda net, kind: R.Saliency(net),
    "ranking.GradientTimesInput": lambda net, kind: R.GradientTimesInput(net),
    "ranking.SmoothGrad": lambda net, kind: R.SmoothGrad(net, samples=3),
    "ranking.IntegratedGradients": lambda net, kind: R.IntegratedGradients(net, n_steps=3, score="prob"),
    "manifold_ig.IntegratedGradients": lambda net, kind: M.IntegratedGradients(net, n_steps=4),
    "manifold_ig.SmoothGradIG": lambda net, kind: M.SmoothGradIG(net, n_steps=3, samples=2),
    "manifold_ig.GradientSHAP": lambda net, kind: M.GradientSHAP(net, samples=4),
    "manifold_ig.BlurIG": lambda net, kind: M.BlurIG(net, n_steps=3),
    "manifold_ig.GuidedIG": lambda net, kind: M.GuidedIG(net, n_steps=4),
    "manifold_ig.LatentPathIG": lambda net, kind: M.LatentPathIG(net, *coded(kind), n_steps=3),
    "manifold_ig.EvenPathIG": lambda net, kind: M.EvenPathIG(net, *coded(kind), n_steps=3),
    "manifold_ig.ManifoldIG": lambda net, kind: M.ManifoldIG(net, *coded(kind), n_steps=4, evaluations=5),
    "manifold_ig.SaliencyOf": lambda net, kind: M.SaliencyOf(M.IntegratedGradients(net, n_steps=3)),
    "manifold_ig.BPDA": lambda net, kind: M.BPDA(
        M.GuidedIG(net, n_steps=4), M.IntegratedGradients(net, n_steps=4)
    ),
}

EPS = 0.1


def goal(x: Tensor) -> Tensor:
    return torch.linspace(0, 1, x[0, 0].numel())


ATTACKS: dict[str, Callable[[Tensor], Any]] = {
    "ranking.RankingAttack": lambda x: R.RankingAttack(20, EPS, norm="linf", steps=4, clip=(0, 1)),
    "ranking.MSEAttack": lambda x: R.MSEAttack(EPS, norm="linf", steps=4, clip=(0, 1)),
    "ranking.TopKAttack": lambda x: R.TopKAttack(20, EPS, steps=4, clip=(0, 1)),
    "ranking.TargetRegionAttack": lambda x: R.TargetRegionAttack(
        (goal(x) > 0.7).float(), EPS, steps=4, clip=(0, 1)
    ),
    "ranking.MassCentreAttack": lambda x: R.MassCentreAttack(EPS, steps=4, clip=(0, 1)),
    "ranking.TargetMapAttack": lambda x: R.TargetMapAttack(
        goal(x), eps=EPS, norm="linf", steps=4, lr=0.02, betas=None, clip=(0, 1)
    ),
    "manifold_ig.AttributionAttack": lambda x: M.AttributionAttack(
        maps=goal(x), eps=EPS, steps=4, lr=0.02, refresh=2
    ),
}
"""Gradient attacks on inputs: `perturb(model, x, target, explain=...)`, within EPS in the largest norm and [0, 1]."""
CONTROLS: dict[str, Callable[[Tensor], Any]] = {
    "ranking.RandomDirections": lambda x: R.RandomDirections(EPS, norm="linf", clip=(0, 1)),
    "manifold_ig.ShuffledChange": lambda x: M.ShuffledChange(
        (x + EPS * (x.roll(1, 3) - 0.5).sign()).clamp(0, 1)
    ),
}
"""Changes of an attack's size that search nothing."""


class TowardsClass:
    """`ClassGradientPush` with the call of the other attacks on exemplars."""

    def __init__(self, layer: str):
        self.push = C.ClassGradientPush(layer, eps=8 / 255, steps=3)

    def perturb(self, net: nn.Module, x: Tensor, towards: Tensor) -> Any:
        return self.push.perturb(net, x, towards, 1)


EXEMPLARS: dict[str, Callable[[str], Any]] = {
    "concepts.TokenPushing": lambda layer: C.TokenPushing(layer, eps=8 / 255, steps=3),
    "concepts.UniversalPushing": lambda layer: C.UniversalPushing(layer, eps=8 / 255, steps=3),
    "concepts.MultiLayerPushing": lambda layer: C.MultiLayerPushing([layer], eps=8 / 255, steps=3),
    "concepts.ClassGradientPush": TowardsClass,
}
"""Attacks on exemplars of a concept: on the grid of bytes, within 8/255."""
COUNTERFACTUALS = ("ace.PGD", "ace.GD", "ace.CW", "ace.ACE")
"""Attacks that want another class; walked over kinds of networks through `ACE` without a filter."""

OTHERS = {
    "a result: what an attack, a method or a study found": (
        "ranking.Attacked ranking.ThicknessBounds ranking.Break ranking.Counterexample ranking.DecisionFlip "
        "ranking.Fitted ranking.Measured ranking.SettingRow ranking.SelectionScore ranking.Selection "
        "ranking.SensitivityEstimates ranking.Table manifold_ig.Attacked manifold_ig.Attribution "
        "manifold_ig.EnergyBounds manifold_ig.Geodesic manifold_ig.ReleasedPath "
        "ace.Counterfactual concepts.Cell concepts.FittedCAVs concepts.Perturbed concepts.Rendered concepts.TCAVResult "
        "concepts.Universal concepts.Negatives"
    ),
    "a base class, or a protocol": "ranking.GradientAttack ranking.Regulariser manifold_ig.PathExplainer ace.Attack",
    "a loss on weights: diffgradcam/test_attacks.py and ranking/test_regularisers.py": (
        "diffgradcam.FoolingLoss diffgradcam.HeoActive diffgradcam.HeoCentreMass diffgradcam.HeoLocation "
        "diffgradcam.HeoTopK diffgradcam.ShamLoss ranking.AdversarialTraining ranking.CachedBatch ranking.ExactHessian "
        "ranking.FDHessian ranking.Gap ranking.RegularisedLoss ranking.R2ET ranking.SSR manifold_ig.VAELoss "
        "manifold_ig.ConvFeatures"
    ),
    "an attack on weights that is a network": "diffgradcam.ShiftAttack",
    "a monitor, a setting, a schedule or a network": (
        "diffgradcam.EntropyMonitor ranking.Method ranking.Setting manifold_ig.AggregatedPosterior "
        "manifold_ig.KnownManifold manifold_ig.Solver manifold_ig.VarianceDecoder ace.Calls ace.Chunks "
        "ace.DiffusionFilter ace.Fast ace.Schedule"
    ),
    "a concept's explanation, of sets and not of images: concepts/": (
        "concepts.CAV concepts.TCAV concepts.FacetedVisualization"
    ),
}
"""Public classes that are no explainer and no attack on inputs, by what they are."""
