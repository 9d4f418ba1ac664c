"""How far a geodesic has come, and what its attribution looks like on the way; and what an autoencoder keeps.

Rows for tables and curves, one value an image. Knows nothing about notebooks or figures.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustxai.data.scenes import Scenes
from robustxai.manifold_ig.decoded import LatentPathIG, ManifoldIG
from robustxai.manifold_ig.diagnostics import curve_ratios
from robustxai.manifold_ig.explainers import IntegratedGradients
from robustxai.manifold_ig.maps import saliency
from robustxai.manifold_ig.metric import Decoder
from robustxai.metrics import bootstrap_interval, pearson


def convergence(
    classifier: nn.Module,
    encoder: Decoder,
    decoder: Decoder,
    x: Tensor,
    target: Tensor,
    *,
    budgets: Sequence[int],
    baseline: float = 0.0,
    **options,
) -> dict[str, list[Tensor]]:
    """For each budget of decoder evaluations: E / E_lin of the geodesic, the lower bound of spec 3.3.6 over E_lin,
    and Pearson correlations of its map with those of EIG and of IG between the reconstructions; (n,) each.

    options: of all explainers, `solver` among them. One evaluation decodes all points of the path once.
    """
    solver = options.pop("solver", None)
    own = {name: value for name, value in options.items() if name != "memory"}
    options.setdefault("memory", {})  # a path is found once, for its energy and for its map
    parts = (classifier, encoder, decoder)
    eig = saliency(LatentPathIG(*parts, **options).explain(x, target, baseline).values)
    pixels = saliency(IntegratedGradients(*parts, **own).explain(x, target, baseline).values)
    start = torch.full_like(x, baseline)
    line = ManifoldIG(*parts, evaluations=0, **options).geodesic(x, start).images
    found: dict[str, list[Tensor]] = {
        name: [] for name in ("E / E_lin", "bound / E_lin", "PCC with EIG", "PCC with IG-recon")
    }
    for budget in budgets:
        method = ManifoldIG(*parts, evaluations=budget, solver=solver if budget else None, **options)
        path = method.geodesic(x, start).images
        ratios = curve_ratios(path, line)
        map_ = saliency(method.explain(x, target, baseline).values)
        found["E / E_lin"].append(ratios.energy)
        found["bound / E_lin"].append(ratios.bound * ratios.energy)
        found["PCC with EIG"].append(pearson(map_, eig))
        found["PCC with IG-recon"].append(pearson(map_, pixels))
    return found


def part_errors(scenes: Scenes, rebuilt: Tensor, parts: Sequence[str]) -> list[dict[str, object]]:
    """What a reconstruction loses of each drawn part: the mean squared error inside its mask over the variance of
    these pixels around the mean image, per image with an interval. 0: kept; 1: as good as the mean image.
    """
    off = (scenes.images - rebuilt).square().mean(1)
    spread = (scenes.images - scenes.images.mean(0)).square().mean(1)
    rows = []
    for part in parts:
        mask = scenes.mask(part)
        seen = mask.flatten(1).sum(1) > 0
        inside = [(v * mask).flatten(1).sum(1)[seen] for v in (off, spread)]
        rows.append(
            {
                "part": part,
                "share of the image": float(mask.mean()),
                "lost": bootstrap_interval(inside[0] / inside[1]),
            }
        )
    return rows
