"""How an honest and a manipulated network are compared: same images, same class, native maps.

The class is the honest network's prediction for both, and only images on which both agree count; their share
is reported.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from robustxai.diffgradcam.capture import cut, find_layer
from robustxai.diffgradcam.raw_maps import raw_maps
from robustxai.diffgradcam.weightings import WEIGHTINGS
from robustxai.metrics import (
    accuracy,
    border_mass,
    cosine,
    dead,
    entropy,
    kl,
    mae,
    pearson,
    spearman,
    topn_iou,
)

METHODS: dict[str, tuple[str, str]] = {
    "GradCAM": ("logit", "gradcam"),
    "DiffGradCAM": ("lse", "gradcam"),
    "DiffGradCAM max": ("max", "gradcam"),
    "DiffGradCAM mean": ("mean", "gradcam"),
    "GradCAM++": ("logit", "gradcam++"),
    "DiffGradCAM++": ("lse", "gradcam++"),
}


class Comparison(NamedTuple):
    """`accuracy` (honest, manipulated), `agree` share of equal predictions, mean `kl` (honest ||
    manipulated), and per method a dict of per-image values (M,): r_base, r_sham, spearman, cosine, mae, iou,
    border_mass, entropy, dead. The M images are those of `same` (n,), on which both networks agree.
    """

    accuracy: tuple[float, float]
    agree: float
    kl: float
    methods: dict[str, dict[str, Float[Tensor, " image"]]]
    same: Bool[Tensor, " image"]

    def mean(self, method: str, metric: str) -> float:
        """Mean over images, undefined ones (dead or constant maps) left out."""
        return float(self.methods[method][metric].nanmean())


def native_maps(
    model: nn.Module,
    x: Float[Tensor, "batch channel height width"],
    target: Int[Tensor, " batch"] | None = None,
    methods: dict[str, tuple[str, str]] = METHODS,
    *,
    layer: nn.Module | str | None = None,
    batch_size: int = 256,
) -> tuple[Float[Tensor, "batch classes"], dict[str, Float[Tensor, "batch 1 h w"]]]:
    """Logits and the ReLU map of each (score, weighting) in `methods`: one forward pass for all methods."""
    logits, maps = [], {name: [] for name in methods}
    module = find_layer(model, layer)
    for i in range(0, len(x), batch_size):
        c = cut(model, module, x[i : i + batch_size])
        t = c.logits.argmax(-1) if target is None else target[i : i + batch_size]
        logits.append(c.logits.detach())
        for name, (contrast, weighting) in methods.items():
            maps[name].append(raw_maps(c, t, WEIGHTINGS[weighting], contrast).detach().relu()[:, None])
    return torch.cat(logits), {name: torch.cat(parts) for name, parts in maps.items()}


def compare(
    honest: nn.Module,
    manipulated: nn.Module,
    x: Float[Tensor, "batch channel height width"],
    y: Int[Tensor, " batch"],
    pattern: Float[Tensor, "h w"],
    methods: dict[str, tuple[str, str]] = METHODS,
) -> Comparison:
    """Compare the maps of two networks on held-out images x with labels y and the fake `pattern` (h, w).

    Raises ValueError if they agree on no image.
    """
    y0, maps0 = native_maps(honest, x, None, methods)
    target = y0.argmax(-1)
    y1, maps1 = native_maps(manipulated, x, target, methods)
    same = y1.argmax(-1) == target
    if not same.any():
        raise ValueError(
            "manipulated must agree with honest on an image of x, as maps are compared only there, got none"
        )
    fake = pattern.expand(int(same.sum()), 1, -1, -1)
    ones = int(pattern.sum())
    table = {}
    for name in methods:
        a, b = maps1[name][same], maps0[name][same]
        table[name] = {
            "r_base": pearson(a, b),
            "r_sham": pearson(a, fake),
            "spearman": spearman(a, b),
            "cosine": cosine(a, b),
            "mae": mae(a, b),
            "iou": topn_iou(a, b, ones),
            "border_mass": border_mass(a, fake),
            "entropy": entropy(a),
            "dead": dead(a).to(a.dtype),
        }
    return Comparison(
        (accuracy(y0, y), accuracy(y1, y)), float(same.float().mean()), float(kl(y0, y1).mean()), table, same
    )
