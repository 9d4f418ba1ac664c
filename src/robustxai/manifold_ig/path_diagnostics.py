"""How far does a path of images stray, and how steady is the classifier along it (spec 5, item 7)?

Paths have their points first, (points, n, *image); values are per point and path, (points, n), or per path,
(n,). The completeness gap is `Attribution.completeness_gap`; the distance to a manifold that is known is in
`known_manifold`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_count, check_finite
from robustxai.eval_mode import check_calm
from robustxai.explainers.decoder import run_network
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.explainers.path_checks import check_curve, check_rows
from robustxai.explainers.path_explainer import PathExplainer
from robustxai.explainers.path_integral import weighted_gradients
from robustxai.manifold_ig.geodesic_path import ManifoldIG
from robustxai.manifold_ig.latent_path import LatentPathIG
from robustxai.manifold_ig.paths import endpoints, straight
from robustxai.manifold_ig.pullback_metric import curve_bounds, segments
from robustxai.models import Network
from robustxai.shapes import Path, Target

PerPoint = Float[Tensor, "points n"]
PerPath = Float[Tensor, " n"]


class CurveRatios(NamedTuple):
    """energy, length: over those of the reference path. bound: half the squared chord over the energy, 1 for a
    straight line at constant speed, which is the least energy that any decoder allows (spec 3.3, item 6)."""

    energy: PerPath
    length: PerPath
    bound: PerPath


def curve_ratios(path: Path, reference: Float[Tensor, "others n *sample"]) -> CurveRatios:
    """E / E_lin, L / L_lin and the lower-bound ratio of a path beside a reference, the decoded latent line.

    NaN for a sample of which a path holds NaN or infinity. Raises ValueError for other shapes.
    """
    check_curve("path", path, kind="paths")
    check_curve("reference", reference, kind="paths")
    if reference.shape[1:] != path.shape[1:]:
        raise ValueError(
            f"reference must be of samples {tuple(path.shape[1:])}, got {tuple(reference.shape[1:])}"
        )
    ours, line = curve_bounds(path), curve_bounds(reference)
    length = (ours.half_length / line.half_length).sqrt()
    known = ours.energy.isfinite() & line.energy.isfinite()
    ratios = ours.energy / line.energy, length, ours.half_chord / ours.energy
    return CurveRatios(*(ratio.masked_fill(~known, torch.nan) for ratio in ratios))


@torch.no_grad()
def autoencoder_residual(path: Path, autoencoder: Network, *, batch_size: int = 256) -> PerPoint:
    """||y - g(h(y))|| of every image of a path: small where the autoencoder knows such images.

    autoencoder: images to reconstructions, x -> decode(encode(x)). For a path that this decoder has made the
    residual flatters: such images are its own. Raises ValueError where it does not give images like its inputs.

    >>> autoencoder_residual(torch.ones(3, 2, 4), lambda x: 0.5 * x)[0]
    tensor([1., 1.])
    """
    check_calm("autoencoder", autoencoder)
    check_curve("path", path, least=1, kind="paths")
    flat, off = path.flatten(0, 1), []
    for part in flat.split(check_count("batch_size", batch_size)):
        again = run_network(autoencoder, part, "autoencoder")
        if not isinstance(again, Tensor) or again.shape != part.shape:
            shape = tuple(again.shape) if isinstance(again, Tensor) else type(again).__name__
            raise ValueError(
                f"autoencoder must give images like its inputs, {tuple(part.shape)}, got {shape}"
            )
        off.append((part - again).flatten(1).norm(dim=1))
    return torch.cat(off).unflatten(0, path.shape[:2])


def by_length(path: Path, values: Float[Tensor, "inner n"]) -> PerPath:
    """The mean of `values` at the inner points of a path, each weighted with the length of the path around it.

    So a path that dwells on one image counts by the way that it makes there, and not by the time.

    >>> by_length(torch.tensor([[[0.0]], [[1.0]], [[4.0]], [[4.0]]]), torch.tensor([[1.0], [2.0]]))
    tensor([1.4286])
    """
    steps = segments(path)
    if values.shape != (len(path) - 2, path.shape[1]):
        raise ValueError(
            f"values must have shape {(len(path) - 2, path.shape[1])}, got {tuple(values.shape)}"
        )
    around = (steps[:-1] + steps[1:]) / 2
    return (values * around).sum(0) / around.sum(0)


def along_length(path: Path, count: int) -> Float[Tensor, "count n *sample"]:
    """`count` of the inner images of each path, those nearest to equal shares of its length."""
    steps = segments(path)
    at = steps.cumsum(0)[:-1] / steps.sum(0)
    wanted = torch.arange(1, count + 1, device=path.device).to(path) / (count + 1)
    index = 1 + (at[:, None] - wanted[:, None]).abs().argmin(0)
    return path[index, torch.arange(path.shape[1], device=path.device)]


def nearest_distance(path: Path, images: Float[Tensor, " m *sample"]) -> PerPoint:
    """||y - x|| to the nearest of `images`, such as the training set, for every image of a path. NaN stays NaN."""
    check_curve("path", path, least=1, kind="paths")
    check_finite("images", images)
    check_rows("images", images)
    if images.shape[1:] != path.shape[2:]:
        raise ValueError(
            f"images must be like those of path, {tuple(path.shape[2:])}, got {tuple(images.shape[1:])}"
        )
    away = torch.cdist(path.flatten(2).flatten(0, 1), images.flatten(1).to(path))
    return away.amin(1).unflatten(0, path.shape[:2])


def gradient_noise(
    model: Network,
    path: Path,
    target: Target = None,
    *,
    score: str = "logit",
    batch_size: int = 64,
) -> PerPath:
    """Mean of 1 - cos between the classifier's gradients at neighbouring points, in [0, 2]; 0 is steady.

    A pair with a zero gradient does not count; nan where no pair counts, and where a gradient is NaN or infinite.
    Raises ValueError for fewer than 2 points, and as `weighted_gradients`.
    """
    check_curve("path", path, kind="paths")
    integral = weighted_gradients(
        model, path.detach(), path.new_zeros(()).expand_as(path), target, score=score,
        batch_size=batch_size, steady=True,
    )  # fmt: skip
    assert integral.noise is not None
    return integral.noise


@torch.no_grad()
def path_of(
    method: PathExplainer, x: Float[Tensor, " n *sample"], start: Float[Tensor, " n *sample"]
) -> Path:
    """The images along which a method integrates from `start` to `x`, (n_steps + 1, n, *sample).

    For the methods with a straight pixel line or a decoded path; ValueError for others, and for ends that differ in
    shape.
    """
    for name, ends in (("x", x), ("start", start)):
        check_rows(name, ends)
        check_finite(name, ends)
    if start.shape != x.shape:
        raise ValueError(f"start must have the shape of x, {tuple(x.shape)}, got {tuple(start.shape)}")
    if isinstance(method, IntegratedGradients):
        ends = (method._rebuilt(start), method._rebuilt(x)) if method.encoder is not None else (start, x)
        return straight(*ends, method.n_steps + 1)
    if isinstance(method, ManifoldIG):
        path = method.geodesic(x, start).images
    elif isinstance(method, LatentPathIG):
        path = method.images(method.latents(x, start))
    else:
        raise ValueError(
            f"method must be one of IntegratedGradients, LatentPathIG, ManifoldIG, got {type(method).__name__}"
        )
    return endpoints(path, start, x, method.endpoint, points=method.bridge_points)
