"""CAMs whose weights come from changed copies of the image or the map: Score-CAM and Ablation-CAM.

They query the network once for every channel of the layer, some channels at a time, so that memory does not grow with
their number; where a graph is kept, each pass is computed again for its gradient. The score is S = sum_j a_j y_j with
the coefficients of the unchanged image.
"""

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.checkpoint import checkpoint

from robustxai.capture import CallCounter, observed
from robustxai.checks import ROUNDING, check_count
from robustxai.diffgradcam.capture import Cut
from robustxai.diffgradcam.contrastive_cams import ContrastiveCAM
from robustxai.diffgradcam.weightings import combine
from robustxai.models import logits_of
from robustxai.scores.explained import score_coefficients


class _Changed(ContrastiveCAM):
    """A score for every channel: `batch_size` images in one pass of the network."""

    contrast = "logit"

    def __init__(self, *args: Any, batch_size: int = 32, **options: Any):
        super().__init__(*args, **options)
        self.batch_size = check_count("batch_size", batch_size)

    def _each(self, c: Cut, score: Any) -> Tensor:
        """score(channels) -> (n, len(channels)) for all channels, some at a time: (n, K)."""
        width = max(1, self.batch_size // len(c.logits))
        parts = torch.arange(c.activations.shape[1], device=c.logits.device).split(width)
        if torch.is_grad_enabled():
            return torch.cat([checkpoint(score, part, use_reentrant=False) for part in parts], 1)
        return torch.cat([score(part) for part in parts], 1)

    def _score(self, logits: Tensor, coefficients: Tensor, k: int) -> Tensor:
        """S of k copies of every image, in the order (image, copy): (n, k)."""
        return (coefficients.repeat_interleave(k, 0) * logits).sum(1).unflatten(0, (-1, k))


class ScoreCAM(_Changed):
    """Score-CAM (Wang et al. 2020): each channel, resized and scaled to [0, 1], masks the image.

    Its weight is the softmax over channels of the masked image's score minus the black image's. 'logit' is the usual
    form, not shift invariant; a contrast makes it so. Costs K forward passes per image, for K channels.

    Args:
        batch_size: masked images in one pass.

    Images outside [0, 1], such as normalised ones, get a warning: 0 is not black there.

    >>> from robustxai.nets import CompactResNet
    >>> ScoreCAM(CompactResNet(classes=4).eval())(torch.rand(1, 3, 28, 28), 1).shape
    torch.Size([1, 1, 28, 28])
    """

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        x, a = c.x, c.activations
        assert x is not None
        if x.min() < -ROUNDING or x.max() > 1 + ROUNDING:
            warnings.warn(
                "x leaves [0, 1], so the zeros of Score-CAM are no black image", UserWarning, stacklevel=2
            )
        coefficients = score_coefficients(c.logits, target, self.contrast, **self.options)
        black = (coefficients * logits_of(self.model, torch.zeros_like(x))).sum(1, keepdim=True)

        def gain(channels: Tensor) -> Tensor:
            masks = interpolate(a[:, channels], x.shape[2:], mode="bilinear", align_corners=False)
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            masks = (masks - low) / (high - low).clamp_min(1e-8)
            masked = (x[:, None] * masks[:, :, None]).flatten(0, 1)
            return self._score(logits_of(self.model, masked), coefficients, len(channels)) - black

        return combine(self._each(c, gain).softmax(1), a)


class AblationCAM(_Changed):
    """Ablation-CAM (Ramaswamy et al. 2020): w_k = (S - S without channel k) / |S|.

    For GAP + linear heads S - S without channel k = (aW)_k mean(A_k), in closed form; other heads run once for every
    channel. With score 'logit' it is not shift invariant; with a contrast it is.

    Args:
        batch_size: changed maps in one pass.

    >>> from robustxai.nets import CompactResNet
    >>> AblationCAM(CompactResNet(classes=4).eval())(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        a = c.activations
        coefficients = score_coefficients(c.logits, target, self.contrast, **self.options)
        score = (coefficients * c.logits).sum(1, keepdim=True)
        if c.weight is not None:
            drop = (coefficients @ c.weight) * a.mean((2, 3))
        else:
            drop = score - self._each(c, lambda channels: self._without(c, coefficients, channels))
        return combine(drop / score.abs().clamp_min(1e-8), a)

    def _without(self, c: Cut, coefficients: Tensor, channels: Tensor) -> Tensor:
        """S with each of these channels set to zero behind the layer: (n, len(channels))."""
        assert c.x is not None and c.layer is not None
        k, calls = len(channels), CallCounter(c.layer)
        axis = 1 if c.reshape is None else _channel_axis(c)

        def at_layer(_module: Any, _inputs: Any, output: Any) -> Any:
            if not calls.wanted():
                return None
            first = output[0] if isinstance(output, tuple) else output
            keep = torch.ones(k, first.shape[axis], dtype=first.dtype, device=first.device)
            keep[torch.arange(k, device=first.device), channels] = 0
            shape = [1] * first.ndim
            shape[axis] = first.shape[axis]
            changed = first * keep.repeat(len(coefficients), 1).unflatten(1, shape[1:])
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        with observed((c.layer.module, at_layer)):
            logits = logits_of(self.model, c.x.repeat_interleave(k, 0))
        return self._score(logits, coefficients, k)


def _channel_axis(c: Cut) -> int:
    """Where the channels of a layer are that is reshaped to (N, K, h, w): last, for tokens and channels-last maps."""
    assert c.raw is not None
    return c.raw.ndim - 1
