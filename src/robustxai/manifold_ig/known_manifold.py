"""The distance of an image to a manifold that is known: that of a renderer from factors to images.

The rendered worlds of `robustxai.data.scenes` are deterministic functions of a few factors, so that the images
that can occur are a known set. How far an image is from it is a minimum over the factors, searched from
several starts: the value found is an upper estimate of the distance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from robustxai.checks import check_callable, check_count, check_floats, check_generator
from robustxai.data.scenes import FactorSpec, render_menagerie, render_portraits
from robustxai.data.scenes.base import uniform_factors
from robustxai.data.scenes.menagerie_factors import FACTORS as MENAGERIE
from robustxai.data.scenes.portraits import FACTORS as PORTRAITS
from robustxai.explainers.path_checks import check_curve
from robustxai.manifold_ig.geodesic_checks import is_count
from robustxai.manifold_ig.lbfgs import minimise
from robustxai.runtime import side_by_side
from robustxai.shapes import Images

FactorVectors = Float[Tensor, "m factor"]
TOGETHER = 12  # images in one search, of several that run in parallel
EDGE = 0.02  # starts are kept this share of the range off its ends, where the search has no gradient


@dataclass(frozen=True)
class KnownManifold:
    """A renderer, (factors (m, f), size) -> images (m, c, size, size), and the ranges of its factors.

    >>> level = FactorSpec("level", 0, 1, "continuous", "brightness")
    >>> greys = KnownManifold(lambda f, size: f[:, :, None, None].expand(-1, 1, size, size), (level,))
    >>> found = nearest_on_manifold(torch.full((1, 1, 4, 4), 0.3), greys, library=20)
    >>> round(float(found.factors), 2)
    0.3
    """

    render: Callable[[Tensor, int], Tensor]
    factors: Sequence[FactorSpec]

    def __post_init__(self) -> None:
        check_callable("render", self.render)
        if not isinstance(self.factors, Sequence) or not all(isinstance(f, FactorSpec) for f in self.factors):
            raise ValueError(f"factors must be FactorSpecs, one a factor, got {self.factors!r:.60}")

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "n factor"]:
        """n factor vectors, independent and uniform in their ranges. Raises ValueError for fewer than 1."""
        check_generator("generator", generator)
        return uniform_factors(tuple(self.factors), check_count("n", n), generator=generator)


PORTRAIT_MANIFOLD = KnownManifold(lambda f, size: render_portraits(f, size)[0], PORTRAITS)
MENAGERIE_MANIFOLD = KnownManifold(lambda f, size: render_menagerie(f, size)[0], MENAGERIE)


@dataclass(frozen=True)
class Projection:
    """The nearest point of the manifold that was found for each image: `distance` (n,) is the Euclidean norm of
    image - `images`, an upper estimate; `factors` (n, f) render `images`.
    """

    distance: Float[Tensor, " n"]
    factors: Float[Tensor, "n factor"]
    images: Images


def nearest_on_manifold(
    images: Images,
    manifold: KnownManifold,
    *,
    library: int = 1000,
    starts: int = 3,
    evaluations: int = 60,
    fit_size: int | None = None,
    hints: FactorVectors | None = None,
    generator: torch.Generator | None = None,
) -> Projection:
    """The nearest image of the manifold to each square image, as far as the search finds it.

    Of `library` random factor vectors and the `hints` (factors that may be near, such as those of the path's
    end) the nearest `starts` are improved: L-BFGS in the continuous factors within their ranges, a third of the
    `evaluations`, then the best value of each discrete factor in turn, then another third; the last third goes
    to the best of them. More of each lowers the estimate. fit_size: side in pixels of shrunken copies for all
    but the last third, which then cost less.

    Raises ValueError for images that are not square or not finite, and numbers below 1.
    """
    check_generator("generator", generator)
    check_floats("images", images)
    if images.ndim != 4 or images.shape[2] != images.shape[3] or not images.isfinite().all():
        raise ValueError(
            f"images must be square and finite, got shape {tuple(images.shape)} "
            f"with {int((~images.isfinite()).sum())} values that are not finite"
        )
    counts = (library, starts, evaluations, 1 if fit_size is None else fit_size)
    if not all(is_count(count, 1) for count in counts) or not counts[3] <= images.shape[2]:
        raise ValueError(
            "library, starts and evaluations must be integers >= 1 and fit_size None or 1 to the image's side, "
            f"got {library}, {starts}, {evaluations} and {fit_size}"
        )
    g = torch.Generator().manual_seed(0) if generator is None else generator
    images, size = images.detach(), fit_size or images.shape[2]
    goal = images if size == images.shape[2] else adaptive_avg_pool2d(images, size)
    many = manifold.sample(library, generator=g).to(images)
    if hints is not None:
        if hints.ndim != 2 or hints.shape[1] != many.shape[1] or not hints.isfinite().all():
            raise ValueError(
                f"hints must be finite factors (m, {many.shape[1]}), got shape {tuple(hints.shape)}"
            )
        many = torch.cat((hints.to(images), many))
    with torch.no_grad():
        away = torch.cdist(goal.flatten(1), manifold.render(many, size).flatten(1))
    count = min(starts, len(many))
    first = away.topk(count, largest=False).indices.flatten()
    search = _Search(manifold, goal.repeat_interleave(count, 0), size)
    found = search.descend(many[first], -(-evaluations // 3))
    found = search.descend(search.switch(found), -(-evaluations // 3))
    whole = _Search(manifold, images, images.shape[2])
    # candidates (n, 2 * count, f): a start stays where the search at another size made it no better
    kept = torch.stack((found, many[first]), 1).unflatten(0, (len(images), count)).flatten(1, 2)
    best = whole.choose(kept)
    best = whole.choose(torch.stack((best, whole.descend(best, -(-evaluations // 3))), 1))
    with torch.no_grad():
        nearest = manifold.render(best, images.shape[2])
    return Projection((images - nearest).flatten(1).norm(dim=1), best, nearest)


def manifold_distance(
    path: Float[Tensor, "points n channel height width"], manifold: KnownManifold, **options: object
) -> Float[Tensor, "points n"]:
    """The upper estimate of the distance of every image of a path to the manifold.

    options: of `nearest_on_manifold`; a `generator` among them draws anew for every `TOGETHER` images.
    """

    def some(images: Tensor) -> Tensor:
        return nearest_on_manifold(images, manifold, **options).distance  # pyright: ignore[reportArgumentType]

    check_curve("path", path, least=1, kind="paths")
    if path.ndim != 5 or path.shape[-1] != path.shape[-2] or not path.isfinite().all():
        raise ValueError(
            f"path must be finite, square images (points, n, C, H, H), got shape {tuple(path.shape)}, NaN or infinity"
        )
    parts = path.flatten(0, 1).split(TOGETHER)
    found = map(some, parts) if options.get("generator") else side_by_side(some, parts)
    return torch.cat(list(found)).unflatten(0, path.shape[:2])


class _Search:
    """Many fits in one batch: row i wants to draw `goal[i]`."""

    def __init__(self, manifold: KnownManifold, goal: Tensor, size: int):
        self.manifold, self.goal, self.size = manifold, goal.flatten(1), size
        specs = manifold.factors
        self.low = goal.new_tensor([float(s.low) for s in specs])
        self.span = goal.new_tensor([float(s.high) for s in specs]) - self.low
        self.free = torch.tensor([s.kind == "continuous" for s in specs], device=goal.device)

    def off(self, factors: Tensor, rows: Tensor) -> Tensor:
        drawn = self.manifold.render(factors, self.size).flatten(1)
        return (drawn - self.goal[rows]).square().sum(1)

    @torch.no_grad()
    def choose(self, candidates: Tensor) -> Tensor:
        """The best of the candidates (n, k, f) of every row."""
        rows = torch.arange(len(candidates), device=candidates.device)
        off = torch.stack([self.off(some, rows) for some in candidates.unbind(1)], 1)
        return candidates[rows, off.argmin(1)]

    def descend(self, factors: Tensor, evaluations: int) -> Tensor:
        """L-BFGS in angles, factor = low + span * sin^2(angle): smooth, and never outside the ranges."""
        free = self.free.nonzero()[:, 0]
        low, span = self.low[free], self.span[free]

        def drawn(angle: Tensor, rows: Tensor) -> Tensor:
            return factors[rows].index_copy(1, free, low + span * angle.sin().square())

        def evaluate(angle: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                angle = angle.detach().requires_grad_()
                value = self.off(drawn(angle, rows), rows)
                return value.detach(), torch.autograd.grad(value.sum(), angle)[0]

        share = ((factors[:, free] - low) / span).clamp(EDGE, 1 - EDGE)
        step = factors.new_full((len(factors),), 0.1)
        best = minimise(
            evaluate, share.sqrt().asin(), evaluations=evaluations, first_step=step, tolerance=1e-3
        )
        return drawn(best.x, torch.arange(len(factors), device=factors.device))

    @torch.no_grad()
    def switch(self, factors: Tensor) -> Tensor:
        """Each discrete factor in turn at the value that draws the goal best."""
        rows = torch.arange(len(factors), device=factors.device)
        best = self.off(factors, rows)
        for column, spec in enumerate(self.manifold.factors):
            if spec.kind != "discrete":
                continue
            for value in range(int(spec.low), int(spec.high) + 1):
                other = factors.clone()
                other[:, column] = value
                off = self.off(other, rows)
                better = off < best
                factors = torch.where(better[:, None], other, factors)
                best = torch.where(better, off, best)
        return factors
