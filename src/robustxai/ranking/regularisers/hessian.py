"""Curvature of the explained score in the input: a finite difference of gradients, or the whole Hessian (spec 3.6).

The difference is along a unit vector with a step that float32 can resolve; the released code's step is below it.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_count, check_k, check_name, check_positive
from robustxai.explainers.input_gradient import ranked
from robustxai.metrics.perturbation import unit
from robustxai.ranking.gaps import pair_weights
from robustxai.ranking.regularisers.base import CachedBatch, Labels, Regulariser
from robustxai.ranking.regularisers.gap import weights_like
from robustxai.shapes import Inputs, PerSample

DIRECTIONS = ("sign", "random", "gapdir")
MOST_INPUTS = 256
"""Largest number of input values for which the whole Hessian is built."""


def direction(g: Inputs, kind: str = "sign", k: int | None = None) -> Inputs:
    """Unit vectors, one a sample: the sign of the gradient g, a random one, or the full-pair gap direction.

    gapdir: v_i = (d - k) s_i on the top k and -k s_j elsewhere, so that H v is the exact second-order term of
    all pairs together (spec 3.6). random draws from torch's default generator, which the training loop seeds.
    """
    if kind == "random":
        return unit(torch.randn_like(g))
    if kind == "gapdir":
        return unit(weights_like(pair_weights(ranked(g), k=k or 0), g) * g.sign())
    return nn.functional.normalize(g.sign().flatten(1), dim=1).view_as(g)


class _Curvature(Regulariser):
    """A term that is zero for a network without curvature."""

    def check(self, model: nn.Module, x: Inputs, y: Labels) -> None:
        """ValueError where the exact Hessian is zero, as for a ReLU network and the score 'logit' (P1)."""
        cache = CachedBatch(model, x[:64], y[:64])
        g = cache.gradient(self.score, self.target)
        v = torch.ones_like(g)
        hv = torch.autograd.grad(g, cache.x, v, allow_unused=True)[0] if g.requires_grad else None
        if hv is None or not hv.any():
            raise ValueError(
                f"model must have an input Hessian other than zero, got zero for score={self.score!r}, so that its "
                "penalty does nothing; take score='prob' or 'ce', or a network with softplus in place of ReLU"
            )


class FDHessian(_Curvature):
    """Est-H: the length of (g(x + h v) - g(x)) / h with a unit v, averaged over samples (spec 3.6).

    Args:
        weight, weighting, score, target: as for `Regulariser`.
        h: step in the units of x; 0.1 has a relative error below 1% in float32 on standardised inputs.
        along: 'sign' of the gradient, 'random', or 'gapdir', which needs `k`.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> bool(FDHessian(0.1)(model, torch.ones(3, 4), torch.tensor([0, 1, 0])) > 0)
    True
    """

    def __init__(
        self,
        weight: float | int = 0.1,
        *,
        h: float | int = 0.1,
        along: str = "sign",
        k: int | None = None,
        **options: str,
    ):
        super().__init__(weight, **options)
        check_name("along", along, DIRECTIONS)
        if along == "gapdir" or k is not None:
            check_count("k", 0 if k is None else k)
        self.h, self.along, self.k = check_positive("h", h), along, k

    def check(self, model: nn.Module, x: Inputs, y: Labels) -> None:
        """ValueError for a network without curvature, or a k that does not fit."""
        super().check(model, x, y)
        if self.along == "gapdir" and self.k is not None:
            check_k(self.k, ranked(x[:1]).shape[1])

    def terms(self, cache: CachedBatch) -> PerSample:
        """Length of the difference quotient; the gradient at x is shared, the shifted one costs a pass."""
        g = cache.gradient(self.score, self.target)
        v = direction(g.detach(), self.along, self.k)
        shifted = cache.gradient_at(cache.x.detach() + self.h * v, self.score, self.target)
        return ((shifted - g) / self.h).flatten(1).norm(dim=1)


class ExactHessian(_Curvature):
    """Exact-H: the Frobenius norm of the whole input Hessian, averaged over samples; d products, tables only.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> bool(ExactHessian(0.1)(model, torch.ones(3, 4), torch.tensor([0, 1, 0])) > 0)
    True
    """

    def check(self, model: nn.Module, x: Inputs, y: Labels) -> None:
        """ValueError for a network without curvature, or more than 256 input values."""
        super().check(model, x, y)
        d = x[0].numel()
        if d > MOST_INPUTS:
            raise ValueError(
                f"x must have at most {MOST_INPUTS} values a sample for the exact Hessian, got {d}"
            )

    def terms(self, cache: CachedBatch) -> PerSample:
        """Frobenius norm."""
        return hessian(cache, self.score, self.target).flatten(1).norm(dim=1)


def hessian(cache: CachedBatch, score: str = "prob", target: str = "label") -> Float[Tensor, "n d d"]:
    """The input Hessian of every sample, its rows all at once, in the graph of the weights."""
    g = cache.gradient(score, target)
    n, d = len(g), g[0].numel()
    rows = torch.eye(d, dtype=g.dtype, device=g.device).view(d, 1, *g.shape[1:]).expand(d, *g.shape)
    (h,) = torch.autograd.grad(g, cache.x, rows, create_graph=True, is_grads_batched=True)
    return h.transpose(0, 1).reshape(n, d, d)
