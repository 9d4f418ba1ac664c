"""How far a geodesic has come, and what its attribution looks like on the way; and what an autoencoder keeps.

Rows for tables and curves, one value an image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustxai.data.scenes import Scenes
from robustxai.explainers.decoder import Decoder
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.manifold_ig.geodesic_path import ManifoldIG
from robustxai.manifold_ig.latent_path import LatentPathIG
from robustxai.manifold_ig.path_cache import Recall
from robustxai.manifold_ig.path_diagnostics import curve_ratios
from robustxai.manifold_ig.saliency_maps import saliency
from robustxai.metrics import bootstrap_interval, pearson
from robustxai.records import Row
from robustxai.runtime import side_by_side


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
    Pearson correlations of its map with those of EIG and of IG between the reconstructions, and whether the solver's
    stop rule held; (n,) each.

    options: of all explainers, `solver` among them. One evaluation decodes all points of the path once.
    """
    solver = options.pop("solver", None)
    own = {name: value for name, value in options.items() if name != "memory"}
    options.setdefault("memory", Recall())  # a path is found once, for its energy and for its map
    parts = (classifier, encoder, decoder)
    eig = saliency(LatentPathIG(*parts, **options).explain(x, target, baseline).values)
    pixels = saliency(IntegratedGradients(*parts, **own).explain(x, target, baseline).values)
    start = torch.full_like(x, baseline)
    line = ManifoldIG(*parts, evaluations=0, **options).geodesic(x, start).images

    def at(budget: int) -> dict[str, Tensor]:
        method = ManifoldIG(*parts, evaluations=budget, solver=solver if budget else None, **options)
        path = method.geodesic(x, start)
        ratios = curve_ratios(path.images, line)
        map_ = saliency(method.attribute(x, target, baseline))  # pyright: ignore[reportArgumentType]
        return {
            "E / E_lin": ratios.energy,
            "bound / E_lin": ratios.bound * ratios.energy,
            "PCC with EIG": pearson(map_, eig),
            "PCC with IG-recon": pearson(map_, pixels),
            "converged": path.converged.to(x),
        }

    rows = side_by_side(at, sorted(budgets, reverse=True))[::-1]  # the long ones first
    order = [sorted(budgets).index(budget) for budget in budgets]
    return {name: [rows[i][name] for i in order] for name in rows[0]}


def part_errors(scenes: Scenes, rebuilt: Tensor, parts: Sequence[str]) -> list[Row]:
    """What a reconstruction loses of each rendered part: the mean squared error inside its mask over the variance of
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
