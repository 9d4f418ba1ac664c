"""Neighbouring contrastive and class-agnostic CAMs, as comparison targets.

Most are a score under the GradCAM weighting; the rest are one short function each.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.diffgradcam.capture import Cut, check_images, cut, find_layer
from robustxai.diffgradcam.explainers import ContrastiveCAM, Images, Maps
from robustxai.diffgradcam.maps import gradient
from robustxai.diffgradcam.scores import as_target, score_coefficients
from robustxai.diffgradcam.shift import center_head


class SoftmaxGradCAM(ContrastiveCAM):
    """GradCAM of p_c (Wang & Wang 2022): shift invariant, but the gradient underflows for p_c near 1."""

    contrast = "prob"


class FinerCAM(ContrastiveCAM):
    """Finer-CAM (CVPR 2025) as pytorch-grad-cam has it: y_c minus the weighted mean of the 3 nearest logits,
    gradient of the weights included.
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
    """GradCAM of the ReST target of ShapleyCAM, y_c + log p_c: not shift invariant."""

    contrast = "rest"


class CentredGradCAM(ContrastiveCAM):
    """GradCAM after the head is centred, W <- W - W_bar: shift invariant for linear heads."""

    contrast = "logit"

    def __init__(
        self, model: nn.Module, layer: nn.Module | str | None = None, contrast: str | None = None, **options
    ):
        name = next(n for n, m in model.named_modules() if m is find_layer(model, layer))
        super().__init__(center_head(model), name, contrast, **options)


class CASE(ContrastiveCAM):
    """CASE (arXiv 2506.07327): GradCAM weights of c minus their projection on those of its rivals.

    The rivals are the mean weights of the `k` most confused classes. Not shift invariant.
    """

    contrast = "logit"

    def __init__(
        self,
        model: nn.Module,
        layer: nn.Module | str | None = None,
        contrast: str | None = None,
        *,
        k: int = 5,
        **options,
    ):
        super().__init__(model, layer, contrast, **options)
        if k < 1:
            raise ValueError(f"k is {k}; accepted is at least 1 confused class")
        self.k = k

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        y = c.logits.detach()
        rest = y.scatter(1, target[:, None], -torch.inf).topk(min(self.k, y.shape[1] - 1), 1).indices
        w = self._weights(c, y, target)
        confused = torch.stack([self._weights(c, y, j) for j in rest.unbind(1)]).mean(0)
        along = (w * confused).sum(1, keepdim=True) / confused.square().sum(1, keepdim=True).clamp_min(1e-12)
        return torch.einsum("nk,nkhw->nhw", w - along * confused, c.activations.detach())

    def _weights(self, c: Cut, y: Tensor, target: Tensor) -> Tensor:
        return gradient(c, score_coefficients(y, target, "logit")).mean((2, 3)).detach()


class EigenCAM(ContrastiveCAM):
    """Eigen-CAM: first principal component of A over space, with a positive mean; ignores the class."""

    contrast = "logit"

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        a = c.activations.detach().flatten(2).transpose(1, 2)  # (N, Z, K)
        centred = a - a.mean(1, keepdim=True)
        v = torch.linalg.svd(centred, full_matrices=False).Vh[:, 0]
        m = torch.einsum("nzk,nk->nz", a, v)
        return (m * torch.where(m.mean(1, keepdim=True) < 0, -1.0, 1.0)).unflatten(1, c.activations.shape[2:])


class AblationCAM(ContrastiveCAM):
    """Ablation-CAM for GAP + linear heads: w_k = (S - S without channel k) / |S|, in closed form.

    S - S without channel k = (aW)_k mean(A_k).

    With score 'logit' it is not shift invariant; with a contrast it is.
    """

    contrast = "logit"

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        if c.weight is None:
            raise ValueError(
                "Ablation-CAM needs a head that is global average pooling + linear; this model's is not"
            )
        a = c.activations.detach()
        coefficients = score_coefficients(c.logits.detach(), target, self.contrast, **self.options)
        drop = (coefficients @ c.weight.detach()) * a.mean((2, 3))
        score = (coefficients * c.logits.detach()).sum(1, keepdim=True)
        return torch.einsum("nk,nkhw->nhw", drop / score.abs().clamp_min(1e-8), a)


class ScoreCAM(ContrastiveCAM):
    """Score-CAM: each channel, resized and scaled to [0, 1], masks the image.

    Its weight is the softmax over channels of the masked image's score minus the black image's.

    The score is S = sum_j a_j y_j with the coefficients of the unmasked image: 'logit' is the usual form, not
    shift invariant; a contrast makes it so. Costs K forward passes per image.
    """

    contrast = "logit"

    @torch.no_grad()
    def attribute(self, x: Images, target: int | Tensor | None = None) -> Maps:
        check_images(self.model, x)
        c = cut(self.model, self.layer, x)
        target = as_target(target, c.logits)
        coefficients = score_coefficients(c.logits.detach(), target, self.contrast, **self.options)
        masks = torch.nn.functional.interpolate(
            c.activations.detach(), x.shape[2:], mode="bilinear", align_corners=False
        )
        low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
        masks = (masks - low) / (high - low).clamp_min(1e-8)
        black = (coefficients * self.model(torch.zeros_like(x))).sum(1)
        gain = torch.stack(
            [(coefficients * self.model(x * m[:, None])).sum(1) - black for m in masks.unbind(1)], 1
        )
        maps = torch.einsum("nk,nkhw->nhw", gain.softmax(1), c.activations.detach())
        return self._finish(maps[:, None], x)


class SigmoidBranch(ContrastiveCAM):
    """CAM of a second, sigmoid head trained on the frozen features (the idea of arXiv 2511.05590):
    one-vs-rest logistic regression, so its weights never pass through the softmax whose shift is free.

    Args:
        features: pooled features (M, K) and `labels` (M,) to fit the branch on, e.g. of the training set.
        l2: weight penalty.
    """

    contrast = "logit"

    def __init__(
        self,
        model: nn.Module,
        features: Float[Tensor, "sample channel"],
        labels: Tensor,
        layer: nn.Module | str | None = None,
        *,
        l2: float = 1e-3,
        **options,
    ):
        super().__init__(model, layer, "logit", **options)
        self.branch = fit_sigmoid_branch(features.detach(), labels, l2=l2)

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        return torch.einsum("nk,nkhw->nhw", self.branch[target], c.activations.detach())


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
