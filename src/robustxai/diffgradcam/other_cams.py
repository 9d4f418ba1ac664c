"""Neighbouring contrastive and class-agnostic CAMs, as comparison targets.

Most are a score under the GradCAM weighting; the rest are one short function each.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_count, check_finite, check_floats, check_length, check_number
from robustxai.diffgradcam.capture import Cut
from robustxai.diffgradcam.contrastive_cams import ContrastiveCAM
from robustxai.diffgradcam.raw_maps import score_gradient
from robustxai.diffgradcam.weightings import combine
from robustxai.scores.explained import score_coefficients, two_columns

MOST_CLASSES = 100_000
"""Classes that a branch may have: a label beyond is a mistake."""


class SoftmaxGradCAM(ContrastiveCAM):
    """GradCAM of p_c (Wang & Wang 2022): shift invariant, but the gradient underflows for p_c near 1.

    >>> from robustxai.nets import CompactResNet
    >>> SoftmaxGradCAM(CompactResNet(classes=4).eval()).attribute(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast = "prob"


class FinerCAM(ContrastiveCAM):
    """Finer-CAM (CVPR 2025) as pytorch-grad-cam has it: y_c minus the weighted mean of the 3 nearest logits,
    gradient of the weights included.

    >>> from robustxai.nets import CompactResNet
    >>> FinerCAM(CompactResNet(classes=4).eval()).attribute(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast = "topm-pw"

    def __init__(
        self,
        model: nn.Module,
        layer: nn.Module | str | None = None,
        contrast: str | None = None,
        *,
        detached: bool = False,
        **options,
    ):
        super().__init__(model, layer, contrast, detached=detached, **options)


class ReST(ContrastiveCAM):
    """GradCAM of the ReST target of ShapleyCAM, y_c + log p_c: not shift invariant.

    >>> from robustxai.nets import CompactResNet
    >>> ReST(CompactResNet(classes=4).eval()).attribute(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast = "rest"


class CentredGradCAM(ContrastiveCAM):
    """GradCAM after the head is centred, W <- W - W_bar: shift invariant for linear heads.

    The logit of a centred head is y_c minus the mean of all logits, so no network is changed for it. Equal to GradCAM
    of `centre_head(model)`, and of a single logit to GradCAM: its rows -w and w are centred.

    >>> from robustxai.nets import CompactResNet
    >>> CentredGradCAM(CompactResNet(classes=4).eval())(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast = "centred"


class CASE(ContrastiveCAM):
    """CASE (arXiv 2506.07327): GradCAM weights of c minus their projection on those of its rivals.

    The rivals are the mean weights of the `k` most confused classes. Not shift invariant. Of a single logit the only
    rival is its opposite, and the map is zero.

    >>> from robustxai.nets import CompactResNet
    >>> CASE(CompactResNet(classes=4).eval(), k=2)(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast = "logit"

    def __init__(self, *args: Any, k: int = 5, **options: Any):
        super().__init__(*args, **options)
        self.k = check_count("k", k)

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        y = two_columns(c.logits)
        rest = y.scatter(1, target[:, None], -torch.inf).topk(min(self.k, y.shape[1] - 1), 1).indices
        w = self._weights(c, target)
        confused = torch.stack([self._weights(c, j) for j in rest.unbind(1)]).mean(0)
        along = (w * confused).sum(1, keepdim=True) / confused.square().sum(1, keepdim=True).clamp_min(1e-12)
        return combine(w - along * confused, c.activations)

    def _weights(self, c: Cut, target: Tensor) -> Tensor:
        a = score_coefficients(c.logits, target, "logit")
        return score_gradient(c, a, attached=torch.is_grad_enabled()).mean((2, 3))


class EigenCAM(ContrastiveCAM):
    """Eigen-CAM (Muhammad & Yeasin 2020): A projected on its first right singular vector over channels, as the paper
    has it: not centred. Its sign is chosen so that the mean is positive; it ignores the class.

    >>> from robustxai.nets import CompactResNet
    >>> EigenCAM(CompactResNet(classes=4).eval())(torch.rand(2, 3, 56, 56)).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast = "logit"

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        a = c.activations.flatten(2).transpose(1, 2)  # (N, Z, K)
        wide = a.float() if a.dtype in (torch.float16, torch.bfloat16) else a
        m = wide @ principal(wide)[:, :, None]
        m = m[..., 0] * torch.where(m.mean(1) < 0, -1.0, 1.0)
        return m.unflatten(1, c.activations.shape[2:]).to(a.dtype)


def principal(a: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n columns"]:
    """The first right singular vector v of each matrix a, with its derivative where a has a graph.

    That of a library's SVD divides by the differences of all singular values. Of a^T a = M, whose largest eigenvalue
    is lam, dv solves (lam (1 + v v^T) - M) dv = (1 - v v^T) dM v.
    """
    fixed = a.detach()
    v = torch.linalg.svd(fixed, full_matrices=False).Vh[:, 0, :, None]
    if not a.requires_grad:
        return v[..., 0]
    m, one = fixed.mT @ fixed, torch.eye(a.shape[2], dtype=a.dtype, device=a.device)
    lam = v.mT @ m @ v
    moved = a.mT @ (a @ v)
    tiny = 100 * torch.finfo(a.dtype).eps * lam + torch.finfo(a.dtype).tiny
    step = torch.linalg.solve(lam * (one + v @ v.mT) - m + tiny * one, moved - v @ (v.mT @ moved))
    return (v + step - step.detach())[..., 0]


class SigmoidBranch(ContrastiveCAM):
    """CAM of a second, sigmoid head trained on the frozen features (the idea of arXiv 2511.05590):
    one-vs-rest logistic regression, so its weights never pass through the softmax whose shift is free.

    Args:
        features: pooled features (M, K) and `labels` (M,) to fit the branch on, e.g. of the training set.
        l2: weight penalty.

    >>> from robustxai.nets import CompactResNet
    >>> model, x, labels = CompactResNet(classes=4).eval(), torch.rand(8, 3, 56, 56), torch.arange(8) % 4
    >>> features = torch.rand(8, model.head.in_features)  # yours: what enters the head
    >>> SigmoidBranch(model, features, labels).attribute(x, labels).shape
    torch.Size([8, 1, 56, 56])
    """

    contrast = "logit"

    def __init__(
        self,
        model: nn.Module,
        features: Float[Tensor, "sample channel"],
        labels: Tensor,
        layer: Any = None,
        *,
        l2: float = 1e-3,
        **options: Any,
    ):
        super().__init__(model, layer, "logit", **options)
        check_finite("features", check_floats("features", features, "n", "channels"), "features")
        whole = (
            isinstance(labels, Tensor) and labels.dtype == torch.int64 and labels.ndim == 1 and len(labels)
        )
        if not whole or not 0 <= int(labels.min()) <= int(labels.max()) < MOST_CLASSES:
            raise ValueError(
                f"labels must be class numbers (n,) from 0 to {MOST_CLASSES - 1}, got {type(labels).__name__}"
                f"{f' of shape {tuple(labels.shape)}' if isinstance(labels, Tensor) else ''}"
            )
        check_length("labels", labels, "features", len(features))
        self.branch = fit_sigmoid_branch(features.detach(), labels, l2=check_number("l2", l2))

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        if self.branch.shape[1] != c.activations.shape[1]:
            raise ValueError(
                f"features must have the {c.activations.shape[1]} channels of the layer, got {self.branch.shape[1]}"
            )
        if int(target.max()) >= len(self.branch):
            raise ValueError(
                f"target must be classes in [0, {len(self.branch) - 1}], as labels, got class {int(target.max())}"
            )
        return combine(self.branch[target].to(c.activations), c.activations)


def fit_sigmoid_branch(features: Tensor, labels: Tensor, *, l2: float) -> Float[Tensor, "classes channel"]:
    """Weights (C, K) of one-vs-rest logistic regressions on pooled features (M, K), by full-batch L-BFGS."""
    classes = int(labels.max()) + 1
    onehot = torch.nn.functional.one_hot(labels, classes).to(features.dtype)
    w = torch.zeros(
        classes, features.shape[1], dtype=features.dtype, device=features.device, requires_grad=True
    )
    b = torch.zeros(classes, dtype=features.dtype, device=features.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([w, b], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = (
            torch.nn.functional.binary_cross_entropy_with_logits(features @ w.T + b, onehot)
            + l2 * w.square().sum()
        )
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    return w.detach()
