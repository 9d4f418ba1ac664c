"""How a measure queries an explainer, ours or a foreign one, for the attributions of one class.

An explainer is a callable explain(x, target), or an object with `.attribute`, as Captum's have. Its attributions are
read as they are, signed or not: what is compared is the explainer with itself. Knows nothing about any measure.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.checks import as_target
from robustxai.eval_mode import check_calm
from robustxai.models import logits_of

NETWORKS = ("model", "forward_func")
"""Where explainers keep their network: ours, and Captum's."""


def asking(explain: Any, x: Tensor, target: Any = None, name: str = "explain") -> Callable[[Tensor], Tensor]:
    """From inputs like `x` to attributions (n, ...) of `target`, detached where gradients are off.

    Captum's explainers get the class that is predicted on `x` where target is None; a single logit has no class there.
    Raises ValueError for what is no explainer or gives no attributions, for its network in training mode, and for a
    target that is not one class a sample.

    >>> asking(lambda x, target: 2 * x, torch.ones(1, 2))(torch.ones(1, 2))
    tensor([[2., 2.]])
    """
    attribute = explain if callable(explain) else getattr(explain, "attribute", None)
    if not callable(attribute):
        raise ValueError(f"{name} must be a callable explain(x, target), got {type(explain).__name__}")
    owner = getattr(attribute, "__self__", attribute)
    for net in (owner, *(getattr(owner, key, None) for key in NETWORKS)):
        if callable(net):
            check_calm("model", net)
    foreign = not callable(explain) or callable(getattr(owner, "forward_func", None))
    chosen = _class(owner, x, target) if foreign else _listed(target, len(x))
    named = _by_name(attribute)

    def ask(inputs: Tensor) -> Tensor:
        if foreign and not inputs.requires_grad:  # Captum warns of inputs that need no gradient
            inputs = inputs.detach().clone().requires_grad_()
        found = attribute(inputs, target=chosen) if named else attribute(inputs, chosen)
        if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != len(inputs) or not found.numel():
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"{name} must give attributions (n, ...) of {len(inputs)} samples, got {got}")
        return found if torch.is_grad_enabled() else found.detach()

    return ask


def _listed(target: Any, n: int) -> Any:
    """The target as explainers take it: None, an int, or integers (n,); which classes there are is theirs to know."""
    if target is None:
        return None
    try:
        t = target if isinstance(target, Tensor) else torch.as_tensor(target, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        t = torch.empty(0, device="cpu")
    if t.is_floating_point() or t.is_complex() or t.dtype == torch.bool or t.shape not in ((), (n,)):
        raise ValueError(f"target must be an int, integers of shape ({n},) or None, got {target!r:.80}")
    if (t < 0).any():
        raise ValueError(f"target must hold classes from 0, got {int(t.min())}")
    return target if isinstance(target, (int, Tensor)) else (t if t.ndim else int(t))


def _class(owner: Any, x: Tensor, target: Any) -> Any:
    """The class for a foreign explainer: of a single logit None, which is its only output."""
    model = next((net for key in NETWORKS if callable(net := getattr(owner, key, None))), None)
    if model is None:
        if target is None:
            raise ValueError("target must be given for an explainer whose network is not known, got None")
        return _listed(target, len(x))
    with torch.no_grad():
        logits = logits_of(model, x)
    chosen = as_target(target, logits)
    return None if logits.shape[1] == 1 else chosen


def _by_name(attribute: Callable[..., Any]) -> bool:
    """Whether `target` is an argument, but not the second one, as in `IntegratedGradients.attribute`."""
    if isinstance(attribute, nn.Module):
        return False
    try:
        names = list(inspect.signature(attribute).parameters)
    except (TypeError, ValueError):
        return False
    return "target" in names[2:]
