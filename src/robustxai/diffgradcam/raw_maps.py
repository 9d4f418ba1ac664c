"""From a cut-open forward pass to class activation maps: fast path, general path, all classes at once.

`raw_maps` is the whole method in three lines: coefficients of the score, gradient at the layer, weighting.
Everything else here is about not computing more than that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.diffgradcam.capture import Cut
from robustxai.diffgradcam.weightings import Weighting, gradcam, gradcampp, hirescam, plusplus
from robustxai.scores.explained import score_coefficients
from robustxai.scores.registry import others

CONFIDENT = 1e-3  # below this 1 - p_c the O(C) identity cancels and the masked softmax is used instead


def score_gradient(c: Cut, coefficients: Tensor, *, attached: bool = False) -> Tensor:
    """g = dS/dA for score coefficients a (N, C).

    GAP + linear heads: (a W) / Z, shape (N, K, 1, 1), no backward pass. Other heads: one vector-Jacobian
    product through the head, shape (N, K, h, w); `attached` builds its graph (double backprop, for attacks).
    ValueError where the logits do not depend on the layer.
    """
    if c.weight is not None:
        return (coefficients @ c.weight / c.activations[0, 0].numel())[:, :, None, None]
    return _pulled(c, coefficients, create_graph=attached)


def _pulled(c: Cut, coefficients: Tensor, **options: Any) -> Tensor:
    """The vector-Jacobian product of the logits with a (..., N, C), as a map like A."""
    leaf = c.activations if c.raw is None else c.raw
    g = None
    if c.logits.requires_grad:
        (g,) = torch.autograd.grad(
            c.logits, leaf, coefficients, retain_graph=True, allow_unused=True, **options
        )
    if g is None:
        raise ValueError(
            "layer has no way to the logits, so they have no gradient there; choose another layer"
        )
    if c.reshape is None:
        return g
    return c.reshape(g) if g.ndim == leaf.ndim else torch.stack([c.reshape(one) for one in g])


def raw_maps(
    c: Cut, target: Int[Tensor, " batch"], weighting: Weighting, contrast: str = "lse", **options
) -> Float[Tensor, "batch height width"]:
    """Map of `target` before ReLU: weighting(A, VJP(y wrt A, a)), a = score_coefficients(y, target, ...).

    With a graph where the cut is attached and gradients are enabled, without one otherwise.
    """
    with following(c) as follow:
        a = score_coefficients(c.logits, target, contrast, **options)
        return weighting(c.activations, score_gradient(c, a, attached=follow))


@contextmanager
def following(c: Cut) -> Iterator[bool]:
    """Gradients are enabled inside the block if they are outside and the cut is attached; says which."""
    follow = c.attached and torch.is_grad_enabled()
    with torch.set_grad_enabled(follow):
        yield follow


def all_gradients(c: Cut, contrast: str, **options) -> Float[Tensor, "batch classes channel"]:
    """dS_c/dA of every class c of a GAP + linear head, (N, C, K).

    'logit', 'lse', 'pw', 'mean' and 'max' need no (N, C, C) coefficient tensor: with u = W / Z,
        lse:  u_c - (sum_j p_j u_j - p_c u_c) / (1 - p_c) = (u_c - u_bar) / (1 - p_c),   u_bar = sum_j p_j u_j
        mean: C / (C - 1) (u_c - mean_j u_j)            max:  u_c - u_runner-up(c)
    """
    y, w = c.logits, c.weight
    if w is None:
        raise ValueError(
            "model must have a head of global average pooling + linear for the closed form, got another"
        )
    u = w / c.activations[0, 0].numel()
    n, classes = y.shape
    if contrast == "logit" and classes > 1:
        return u.expand(n, -1, -1)
    if contrast in ("lse", "pw") and classes > 1:
        return _all_lse(y, u)
    if contrast == "mean" and classes > 1:
        return ((u - u.mean(0)) * (classes / (classes - 1))).expand(n, -1, -1)
    if contrast == "max" and classes > 1:
        best, second = y.topk(2).indices.unbind(-1)
        is_best = torch.arange(classes, device=y.device) == best[:, None]
        return u - torch.where(is_best[..., None], u[second][:, None], u[best][:, None])
    a = coefficients_of_all(y, contrast, **options)
    return a @ u


def _all_lse(y: Tensor, u: Tensor) -> Tensor:
    p = torch.softmax(y, -1)
    g = (u - (p @ u)[:, None]) / (1 - p).clamp_min(CONFIDENT)[..., None]
    i, k = (1 - p < CONFIDENT).nonzero(as_tuple=True)
    if len(i):
        hot = torch.nn.functional.one_hot(k, y.shape[-1]).to(y.dtype)
        g[i, k] = u[k] - others(y[i], hot) @ u
    return g


def coefficients_of_all(logits: Tensor, contrast: str, **options) -> Float[Tensor, "batch target classes"]:
    """Coefficients of every class as the target, (N, C, C): row c explains class c (C = 1: two rows)."""
    n, classes = logits.shape
    targets = torch.arange(max(classes, 2), device=logits.device).repeat(n)
    flat = logits.repeat_interleave(max(classes, 2), 0)
    return score_coefficients(flat, targets, contrast, **options).view(n, -1, classes)


def all_maps(
    c: Cut, weighting: Weighting, contrast: str = "lse", *, batch_size: int = 64, **options
) -> Float[Tensor, "batch classes height width"]:
    """Raw maps of every class, (N, C, h, w).

    GAP + linear heads use `all_gradients`; other heads batch `batch_size` vector-Jacobian products at a time.
    """
    with following(c) as follow:
        a = c.activations
        if c.weight is not None:
            g = all_gradients(c, contrast, **options)
            if weighting is gradcampp:
                g = plusplus(g, a.sum((2, 3))[:, None]) * a[0, 0].numel()
            if weighting in (gradcam, hirescam, gradcampp):  # channel weights, so a map is a matrix product
                return (g @ a.flatten(2)).unflatten(-1, a.shape[2:])
            n, _, k = g.shape
            blocks = []
            for part in g.split(batch_size, 1):
                flat = part.reshape(-1, k, 1, 1)
                tiled = a.repeat_interleave(part.shape[1], 0)
                blocks.append(weighting(tiled, flat).unflatten(0, (n, -1)))
            return torch.cat(blocks, 1)
        coefficients = coefficients_of_all(c.logits, contrast, **options)
        blocks = []
        for part in coefficients.transpose(0, 1).split(batch_size):
            g = _pulled(c, part, is_grads_batched=True, create_graph=follow)
            blocks += [weighting(a, one) for one in g]
        return torch.stack(blocks, 1)
