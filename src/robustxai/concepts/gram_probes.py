"""Linear probes in the Gram matrix: many probes of one concept against many negative sets as one batched problem.

Every estimator gives a weight vector that is a combination of its rows, w = X' alpha, so all work is on
(runs, m, m) matrices of inner products, m = 2 n, in float64 on the CPU, as not every device has float64. The first half
of the rows are the concept (label +1), the second half the negatives (-1).
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import SGDClassifier
from torch import Tensor
from torch.nn import functional as F

Gram = Float[Tensor, "runs m m"]
Duals = tuple[Float[Tensor, "runs m"], Float[Tensor, " runs"]]


def grams(
    positive: Float[Tensor, "n d"], negatives: Float[Tensor, "runs n d"], own: Tensor | None = None
) -> Gram:
    """Inner products of [positive; negatives[r]] for every run r; `own` (runs, n, n) saves the negatives' block."""
    runs, n, d = negatives.shape
    cross = (positive @ negatives.reshape(-1, d).T).reshape(n, runs, n).transpose(0, 1).cpu().double()
    own = own_grams(negatives) if own is None else own
    first = (positive @ positive.T).cpu().double().expand(runs, n, n)
    return torch.cat((torch.cat((first, cross), 2), torch.cat((cross.mT, own), 2)), 1)


def own_grams(negatives: Float[Tensor, "runs n d"]) -> Float[Tensor, "runs n n"]:
    """Inner products within each negative set."""
    return torch.bmm(negatives, negatives.mT).cpu().double()


def sign_labels(k: Tensor) -> Float[Tensor, " m"]:
    """+1 for the first half of the rows, -1 for the second."""
    half = k.shape[-1] // 2
    return torch.cat((k.new_ones(half), -k.new_ones(half)))


def centred(k: Gram) -> Gram:
    """The Gram matrix of rows with their mean taken away."""
    return k - k.mean(1, keepdim=True) - k.mean(2, keepdim=True) + k.mean((1, 2), keepdim=True)


def midpoint(k: Gram, alpha: Tensor) -> Float[Tensor, " runs"]:
    """The intercept that puts the boundary half-way between the projected class means."""
    f = torch.einsum("rij,rj->ri", k, alpha)
    half = f.shape[1] // 2
    return -(f[:, :half].mean(1) + f[:, half:].mean(1)) / 2


def mean_difference(k: Gram, *, strength: float = 0.0, seed: int = 0) -> Duals:
    """w = mean of the concept - mean of the negatives."""
    alpha = (sign_labels(k) / (k.shape[1] // 2)).expand(k.shape[:2])
    return alpha, midpoint(k, alpha)


def ridge(k: Gram, *, strength: float = 1.0, seed: int = 0) -> Duals:
    """alpha = (Kc + lambda mean(diag Kc) I)^-1 y, the closed form of spec section 9; strength is lambda."""
    kc = centred(k)
    scale = kc.diagonal(dim1=1, dim2=2).mean(1).reshape(-1, 1, 1)
    eye = torch.eye(k.shape[1], dtype=k.dtype, device=k.device)
    factor = torch.linalg.cholesky(kc + strength * scale * eye)
    y = sign_labels(k).reshape(1, -1, 1).expand(len(k), -1, 1)
    alpha = torch.cholesky_solve(y, factor)[..., 0]
    return alpha, -torch.einsum("rij,rj->ri", k, alpha).mean(1)


def logistic(k: Gram, *, strength: float = 1.0, seed: int = 0, iterations: int = 50) -> Duals:
    """Minimises |w|^2 / 2 + C sum log(1 + exp(-y f)), C = strength, by batched Newton steps with halving."""
    kc, y, c = centred(k), sign_labels(k), strength
    alpha, b = torch.zeros_like(k[:, 0]), torch.zeros_like(k[:, 0, 0])
    eye = torch.eye(k.shape[1], dtype=k.dtype, device=k.device)

    def outputs(a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("rij,rj->ri", kc, a) + b[:, None]

    def objective(a: Tensor, b: Tensor) -> Tensor:
        f = outputs(a, b)
        return (a * (f - b[:, None])).sum(1) / 2 + c * F.softplus(-y * f).sum(1)

    for _ in range(iterations):
        f = outputs(alpha, b)
        right = torch.sigmoid(y * f).clamp(1e-12, 1 - 1e-12)  # probability of the row's own label
        root = (c * right * (1 - right)).sqrt()
        factor = torch.linalg.cholesky(eye + root[:, :, None] * kc * root[:, None, :])

        ahead = torch.stack((root * f + y * (c * (1 - right) / right).sqrt(), root), 2)
        s1, s2 = (root[:, :, None] * torch.cholesky_solve(ahead, factor)).unbind(2)
        new_b = s1.sum(1) / s2.sum(1)
        new = s1 - new_b[:, None] * s2
        now, step = objective(alpha, b), torch.ones_like(b)
        for _ in range(20):
            worse = objective(alpha + step[:, None] * (new - alpha), b + step * (new_b - b)) > now + 1e-12
            if not worse.any():
                break
            step = torch.where(worse, step / 2, step)
        moved = (step[:, None] * (new - alpha)).abs().amax(1) / new.abs().amax(1).clamp_min(1e-300)
        alpha, b = alpha + step[:, None] * (new - alpha), b + step * (new_b - b)
        if float(moved.max()) < 1e-8:
            break
    return alpha, b - torch.einsum("rij,rj->ri", k, alpha).mean(1)


def sgd(k: Gram, *, strength: float = 0.01, seed: int = 0) -> Duals:
    """scikit-learn's SGDClassifier (hinge, alpha = strength, 1,000 epochs, tol 1e-3), as the reference tool.

    SGD on linear losses sees inner products only, so it runs on m coordinates of the rows instead of d.
    """
    values, vectors = torch.linalg.eigh(k)
    root = values.clamp_min(0).sqrt()
    root = torch.where(root > 1e-7 * root[:, -1:], root, 0)
    y = sign_labels(k).cpu().numpy()
    coefficients, intercepts = [], []
    for points in (vectors * root[:, None, :]).cpu().numpy():
        probe = SGDClassifier(alpha=strength, max_iter=1000, tol=1e-3, random_state=seed).fit(points, y)
        found = vars(probe)
        coefficients.append(found["coef_"][0])
        intercepts.append(found["intercept_"][0])
    inverse = torch.where(root > 0, 1 / root, 0)
    weights = torch.from_numpy(np.stack(coefficients)).to(k)
    alpha = torch.einsum("rij,rj->ri", vectors * inverse[:, None, :], weights)
    return alpha, torch.from_numpy(np.array(intercepts)).to(k)


def median(k: Gram, *, strength: float = 0.0, seed: int = 0, iterations: int = 50) -> Duals:
    """w = geometric median of the concept - that of the negatives (Weiszfeld): a few odd rows weigh little."""
    half = k.shape[1] // 2
    parts = []
    for block in (k[:, :half, :half], k[:, half:, half:]):
        weight = torch.full_like(block[:, 0], 1 / half)
        square = block.diagonal(dim1=1, dim2=2)
        for _ in range(iterations):
            inner = torch.einsum("rij,rj->ri", block, weight)
            distance = (square - 2 * inner + (weight * inner).sum(1, keepdim=True)).clamp_min(1e-12).sqrt()
            weight = (1 / distance) / (1 / distance).sum(1, keepdim=True)
        parts.append(weight)
    alpha = torch.cat((parts[0], -parts[1]), 1)
    return alpha, midpoint(k, alpha)


ESTIMATORS: dict[str, tuple[Callable[..., Duals], float]] = {
    "ridge": (ridge, 1.0),
    "sgd": (sgd, 0.01),
    "logistic": (logistic, 1.0),
    "mean": (mean_difference, 0.0),
    "median": (median, 0.0),
}
"""Estimators by name, with the default of their strength: lambda, alpha, C, none, none."""
