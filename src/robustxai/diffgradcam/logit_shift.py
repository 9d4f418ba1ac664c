"""The exact, training-free attack on per-logit maps, and the index that gives it away.

Adding one function of the input to all logits changes no probability. Two ways to do it in a network with a
linear head: the same row vector added to every row of W, or one more activation channel with the same weight
for every class.
"""

import copy
import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.capture import observed
from robustxai.checks import check_finite, check_floats, check_images, check_module, check_number
from robustxai.diffgradcam.capture import find_layer
from robustxai.models import find_head, logits_of


class ShiftAttack(nn.Module):
    """`model` with an extra activation channel `pattern`, weighted `strength` for every class.

    Probabilities are the model's for every input; the per-logit GradCAM of every class gains strength *
    pattern / Z. Explain the layer that enters global average pooling, which is now `gap_layer` = 'tap'.

    Args:
        model: any classifier with one global-pooling layer; it is used, not copied or changed.
        pattern: (h, w) map to show, at the native resolution of the layer.
        strength: lambda >= 0, in units of a head weight; 0 is the model itself.
        layer: the layer that enters pooling; None is the model's `gap_layer`.

    Raises:
        ValueError: the pattern does not have the layer's size, or strength is not finite.

    >>> from robustxai.nets import CompactResNet
    >>> model, x = CompactResNet(classes=4).eval(), torch.rand(2, 3, 56, 56)
    >>> fooled = ShiftAttack(model, torch.eye(7), 5.0)
    >>> torch.allclose(fooled(x).softmax(1), model(x).softmax(1), atol=1e-6)
    True
    """

    gap_layer = "tap"
    pattern: Tensor

    def __init__(
        self,
        model: nn.Module,
        pattern: Float[Tensor, "height width"],
        strength: float,
        *,
        layer: nn.Module | str | None = None,
    ):
        super().__init__()
        strength = check_number("strength", strength, low=-math.inf)
        check_finite("pattern", check_floats("pattern", pattern, "h", "w"), "maps")
        self.model, self.strength, self.tap = model, strength, nn.Identity()
        self.layer_name = str(find_layer(model, layer))
        self.register_buffer("pattern", pattern.clone(), persistent=False)
        self.training = model.training
        self.tap.training = model.training

    def forward(self, x: Tensor) -> Tensor:
        """Shifted logits (N, C)."""
        check_images("x", x, low=None, high=None)
        extra: list[Tensor] = []

        def append_channel(_module: nn.Module, _inputs: Any, a: Tensor) -> Tensor:
            if a.shape[2:] != self.pattern.shape:
                raise ValueError(
                    f"pattern must have the size of the layer's maps, {tuple(a.shape[2:])}, "
                    f"got {tuple(self.pattern.shape)}"
                )
            channel = self.pattern.to(a).expand(len(a), 1, *a.shape[2:])
            wide = self.tap(torch.cat((a, channel), 1))
            extra.append(wide[:, -1].mean((1, 2)))
            return wide[:, :-1]

        with observed((find_layer(self.model, self.layer_name).module, append_channel)):
            logits = logits_of(self.model, x)
        return logits + self.strength * extra[0][:, None]


def shift_head(model: nn.Module, v: Float[Tensor, " channel"], *, x: Tensor | None = None) -> nn.Module:
    """A copy of `model` with head W + 1 v^T: same probabilities, every per-logit map plus sum v_k A_k / Z.

    x: images to find the head with, see `robustxai.models.find_head`. Raises ValueError without a linear head, and
    for a v that does not have its width.

    >>> head = nn.Linear(3, 2)
    >>> moved, x = shift_head(head, torch.ones(3)), torch.rand(4, 3)
    >>> torch.allclose(moved(x).softmax(1), head(x).softmax(1), atol=1e-6)
    True
    """
    check_module("model", model)
    with torch.inference_mode(False), torch.no_grad():
        other = copy.deepcopy(model)
        weight = find_head(other, x).weight
        check_finite("v", v, "numbers")
        if v.shape != weight.shape[1:]:
            raise ValueError(
                f"v must have shape ({weight.shape[1]},), one number a feature, got {tuple(v.shape)}"
            )
        weight += v.to(weight)
    return other


def centre_head(model: nn.Module, *, x: Tensor | None = None) -> nn.Module:
    """A copy of `model` with W <- W - 1 W_bar^T: exact, output-preserving repair of a shifted head.

    GradCAM of the result is DiffGradCAM('mean') of the model times (C - 1) / C. Logits lose a common term;
    their differences, hence probabilities and predictions, stay. A single logit is two classes with rows -w and w,
    which are centred. x: as in `shift_head`. Raises ValueError without a linear head.

    >>> from robustxai.nets import CompactResNet
    >>> repaired = centre_head(CompactResNet(classes=4).eval())
    >>> round(shift_index(repaired), 6)
    0.0
    """
    check_module("model", model)
    with torch.inference_mode(False):
        weight = find_head(model, x).weight.detach()
        return shift_head(model, -weight.mean(0) if len(weight) > 1 else torch.zeros_like(weight[0]), x=x)


def shift_index(head: nn.Module | Float[Tensor, "classes channel"], *, x: Tensor | None = None) -> float:
    """||W_bar|| / mean_j ||W_j||, W_bar the mean row of W: 0 for a centred head, 1 for identical rows.

    Cross-entropy with SGD never moves W_bar (sum_j dCE/dW_j = 0), so honest heads keep it small; logit-shift
    manipulation puts mass there. Blind to attacks on the differences themselves. `head` is a model, a linear
    layer or its weight (C, K). A single row w is two classes with rows -w and w: 0. x: as in `shift_head`. Raises
    ValueError for a model without a linear head and a weight of another rank.

    >>> shift_index(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    1.0
    """
    if not isinstance(head, Tensor):
        check_module("head", head)
    w = (head if isinstance(head, Tensor) else find_head(head, x).weight).detach()
    if w.ndim != 2 or not w.numel() or not w.is_floating_point():
        raise ValueError(
            f"head must be a model, a linear layer or its weight (C, K), got shape {tuple(w.shape)}"
        )
    return 0.0 if len(w) == 1 else float(w.mean(0).norm() / w.norm(dim=1).mean())
