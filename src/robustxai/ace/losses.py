"""What the attack minimises: per-sample losses of the classifier, and distances to the input (spec 3.4, 3.6).

Sums over an image's pixels and never means over a batch, so that lambda has one meaning at any batch size (P1).
"""

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional

from robustxai.ace.checks import check_image_pair, check_logits, given_class
from robustxai.checks import check_count, check_name
from robustxai.scores.explained import two_columns
from robustxai.shapes import Images, Logits, PerSample

LOSSES = ("ce", "margin")
DISTANCES = ("l1", "l2", "none")
SCHEDULES = ("constant", "step", "linear")


def class_loss(logits: Logits, target: Int[Tensor, " n"], kind: str = "ce") -> PerSample:
    """How far each image is from its `target` class, 0 or more; NaN where its logits are.

    "ce": cross entropy; binary cross entropy for a single logit. "margin": max(0, best other logit - target
    logit), the C&W loss with confidence 0; max(0, -2 s logit) for a single logit, s = 1 or -1 (spec 3.6). Raises
    ValueError for another name, and for classes that the logits do not have.

    >>> class_loss(torch.tensor([[2.0, 5.0]]), torch.tensor([0]), "margin")
    tensor([3.])
    """
    check_name("loss", kind, LOSSES)
    target = given_class(target, check_logits(logits))
    if kind == "ce":
        return functional.cross_entropy(two_columns(logits), target, reduction="none")
    if logits.shape[1] == 1:
        return (-2 * (2 * target - 1) * logits[:, 0]).relu()
    wanted = logits.gather(1, target[:, None])[:, 0]
    others = logits.scatter(1, target[:, None], -torch.inf)
    return (others.amax(1) - wanted).relu()


def target_probability(logits: Logits, target: Int[Tensor, " n"]) -> PerSample:
    """Probability of the `target` class; a single logit is a sigmoid. NaN where the logits are.

    >>> target_probability(torch.tensor([[0.0], [0.0]]), torch.tensor([0, 1]))
    tensor([0.5000, 0.5000])
    """
    target = given_class(target, check_logits(logits))
    return two_columns(logits).softmax(1).gather(1, target[:, None])[:, 0]


def distance(x: Images, moved: Images, kind: str = "l1") -> PerSample:
    """Distance of each `moved` image to `x`: the sum of |difference|, its l2 norm (not squared), or 0.

    >>> distance(torch.zeros(1, 1, 1, 2), torch.tensor([[[[3.0, -4.0]]]]), "l2")
    tensor([5.])
    """
    check_name("distance", kind, DISTANCES)
    check_image_pair(x, moved, name="moved")
    difference = (moved - x).flatten(1)
    if kind == "l1":
        return difference.abs().sum(1)
    return difference.norm(dim=1) if kind == "l2" else 0 * difference.sum(1)


def distance_gradient(x: Images, moved: Images, kind: str = "l1") -> Images:
    """Gradient of `distance` in `moved`; 0 at `moved` = `x`, where l1 and l2 have none.

    >>> distance_gradient(torch.zeros(1, 1, 1, 2), torch.tensor([[[[3.0, -4.0]]]]))
    tensor([[[[ 1., -1.]]]])
    """
    check_name("distance", kind, DISTANCES)
    check_image_pair(x, moved, name="moved")
    difference = (moved - x).detach()
    if kind == "l1":
        return difference.sign()
    if kind == "none":
        return torch.zeros_like(difference)
    norm = difference.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return difference / torch.where(norm > 0, norm, 1)


def distance_weight(step: Int[Tensor, " n"], steps: int, kind: str = "constant") -> PerSample:
    """w_k of the distance at step k of `steps`: 1; 0 up to half and 1 after it ("step"); or (k + 1) / steps.

    step: integers (n,) from 0 to `steps`. Raises ValueError for others.

    >>> distance_weight(torch.tensor([0, 3]), 4, "linear")
    tensor([0.2500, 1.0000])
    """
    check_name("schedule", kind, SCHEDULES)
    steps = check_count("steps", steps)
    if not isinstance(step, Tensor) or step.ndim != 1 or step.is_floating_point() or step.dtype == torch.bool:
        raise ValueError(f"step must be a tensor of integers, got {step!r:.40}")
    if step.numel() and not (0 <= int(step.min()) and int(step.max()) <= steps):
        raise ValueError(f"step must be integers in [0, {steps}], got {int(step.min())} to {int(step.max())}")
    k = step.to(torch.get_default_dtype())
    if kind == "step":
        return (k > steps / 2).to(k)
    return (k + 1) / steps if kind == "linear" else torch.ones_like(k)
