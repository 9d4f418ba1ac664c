"""Attributions of Captum as explainers of ours. The way back is in `exports`.

Nothing is imported from Captum: an object is used by what it has, so that it remains optional. What comes out is
an `Explainer`: attacks take it as `explain=`, measures read it, networks may return what `logits_of` understands.

A single logit z is two classes with the scores -z and z. Captum's `target=0` of such a network is our class 1.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from robustxai.checks import as_target, check_batch
from robustxai.eval_mode import check_calm
from robustxai.explainers.base import Explainer, GradientExplainer
from robustxai.explainers.exports import CaptumAttribution
from robustxai.models import logits_of

FOLLOWED = ("Saliency", "InputXGradient", "IntegratedGradients")
"""Captum's methods that are functions of input gradients and nothing else. With the graph of those kept they have a
derivative. All others cut their graph, or keep a part of it, whose derivative is not that of the attribution."""


def from_captum(attribution: Any, **attribute_options: Any) -> Explainer:
    """A Captum `Attribution` as an explainer of ours: `from_captum(LayerGradCam(net, layer), relu_attributions=True)`.

    Args:
        attribution: any object with `forward_func` and `attribute(inputs, target=...)`, for networks of one input.
        attribute_options: what each call of its `attribute` is given besides inputs and target.

    The result's `model` is the `forward_func`, of which None explains the predicted class. What a layer gives is
    resized to the image, as our CAMs are. `differentiable` is True for `FOLLOWED`; others come out without a graph.
    Methods that draw random numbers do so from the global generators, as in Captum. What `to_captum` made is
    unwrapped.

    Raises:
        ValueError: no such object, one that explains no class, `return_convergence_delta`.

    >>> from captum.attr import IntegratedGradients
    >>> explain = from_captum(IntegratedGradients(nn.Linear(3, 2)), n_steps=8)
    >>> explain.attribute(torch.ones(4, 3), target=1).shape
    torch.Size([4, 3])
    """
    if isinstance(attribution, CaptumAttribution) and not attribute_options:
        return attribution.explain
    if not (callable(getattr(attribution, "attribute", None)) and hasattr(attribution, "forward_func")):
        raise ValueError(
            "attribution must be a Captum Attribution, with `forward_func` and `attribute`, "
            f"got {type(attribution).__name__}"
        )
    kinds = inspect.signature(attribution.attribute).parameters
    if "target" not in kinds and not any(p.kind is p.VAR_KEYWORD for p in kinds.values()):
        raise ValueError(
            f"attribution must explain a class, got {type(attribution).__name__}, whose attribute takes no target"
        )
    if taken := {"inputs", "target", "return_convergence_delta"} & set(attribute_options):
        raise ValueError(
            f"attribute_options must be other than inputs, target and return_convergence_delta, got {min(taken)}"
        )
    return CaptumExplainer(attribution, attribute_options)


class CaptumExplainer(GradientExplainer):
    """What `from_captum` makes; its copies of the Captum object are made anew for each call.

    >>> from captum.attr import Occlusion, Saliency
    >>> model = nn.Linear(3, 2)
    >>> gradients, changed = CaptumExplainer(Saliency(model), {}), CaptumExplainer(Occlusion(model), {})
    >>> gradients.differentiable, changed.differentiable
    (True, False)
    """

    def __init__(self, attribution: Any, options: dict[str, Any]):
        self.attribution, self.options = attribution, options
        self.model = attribution.forward_func
        kind = type(attribution)
        self.differentiable = (
            kind.__module__.startswith("captum.")
            and kind.__name__ in FOLLOWED
            and options.get("internal_batch_size") is None  # its parts are detached
        )

    def attribute(self, x: Tensor, target: Any = None) -> Tensor:
        """Captum's attribution of class `target`, signed where the method is. Raises ValueError."""
        check_batch("x", x)
        check_calm("model", self.model)
        follow = self.differentiable and x.requires_grad and torch.is_grad_enabled()
        scores = Classes(self.model)
        with torch.inference_mode(False), torch.enable_grad():
            v = x if follow else x.detach().clone().requires_grad_()
            with torch.no_grad():
                t = as_target(target, scores(v, *_several(self.options.get("additional_forward_args"))))
            theirs = _replaced(self.attribution, lambda part: scores if part is self.model else part)
            if follow:
                theirs.gradient_func = gradients_with_graph
            found = _one(theirs.attribute(v, target=t, **self.options), len(x), type(theirs).__name__)
            if found.ndim == x.ndim == 4 and found.shape[2:] != x.shape[2:]:
                found = interpolate(found, x.shape[2:], mode="bilinear", align_corners=False)
        return found if follow else found.detach()

    def on(self, model: nn.Module) -> "CaptumExplainer":
        """The same method of another network that names its layers alike. Raises ValueError where it does not."""
        own = self.model.named_modules() if isinstance(self.model, nn.Module) else ()
        names = {module: name for name, module in own}
        if not names and isinstance(getattr(self.attribution, "layer", None), nn.Module):
            raise ValueError("model must be a network with named layers, got a function as forward_func")

        def swap(part: Any) -> Any:
            if part is self.model:
                return model
            if isinstance(part, Explainer):
                return part.on(model)
            return _counterpart(model, names[part]) if isinstance(part, nn.Module) and part in names else part

        return CaptumExplainer(_replaced(self.attribution, swap), self.options)

    def guide(self, x: Tensor, *, beta: float | int = 10.0) -> Explainer:
        """The same method of a softplus copy, where it has a derivative and the network kinks; else itself."""
        known = self.differentiable and isinstance(self.model, nn.Module)
        return super().guide(x, beta=beta) if known else self


class Classes(nn.Module):
    """A network as Captum wants it: logits (n, C), C >= 2, whatever the network returns; a single logit z is (-z, z).

    >>> Classes(lambda x: {"logits": x.sum(1)})(torch.ones(1, 3))
    tensor([[-3.,  3.]])
    """

    def __init__(self, net: Callable[..., Any]):
        super().__init__()
        self.net = net
        self.training = getattr(net, "training", False)

    def forward(self, x: Tensor, *more: Any) -> Float[Tensor, "n classes"]:
        """The logits of x (n, ...); `more` is handed to the network."""
        logits = logits_of(lambda v: self.net(v, *more), x, name="forward_func")
        return logits if logits.shape[1] > 1 else torch.cat((-logits, logits), 1)


def gradients_with_graph(
    forward_fn: Callable[..., Tensor],
    inputs: Any,
    target_ind: Any = None,
    additional_forward_args: Any = None,
) -> tuple[Tensor, ...]:
    """Captum's `compute_gradients` with `create_graph`, for class indices: what an attack needs.

    >>> x = torch.ones(1, 2, requires_grad=True)
    >>> (found,) = gradients_with_graph(lambda v: v.square(), (x,), torch.tensor([1]))
    >>> found.tolist(), found.requires_grad
    ([[0.0, 2.0]], True)
    """
    with torch.enable_grad():
        logits = forward_fn(*_several(inputs), *_several(additional_forward_args))
        picked = logits.gather(1, target_ind.reshape(-1, 1).expand(len(logits), 1))
        return torch.autograd.grad(picked.sum(), inputs, create_graph=True)


def _several(values: Any) -> tuple[Any, ...]:
    """Captum's arguments: nothing, one, or a tuple."""
    return values if isinstance(values, tuple) else () if values is None else (values,)


def _replaced(attribution: Any, swap: Callable[[Any], Any]) -> Any:
    """A copy of a Captum object, and of those inside it, with each part swapped."""

    def new(part: Any) -> Any:
        if isinstance(part, (list, tuple)):
            return type(part)(map(new, part))
        return _replaced(part, swap) if hasattr(part, "forward_func") else swap(part)

    other = copy.copy(attribution)
    vars(other).update({name: new(part) for name, part in vars(attribution).items()})
    return other


def _counterpart(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        raise ValueError(
            f"model must have a layer {name!r} as the explained network, got none of this name"
        ) from None


def _one(found: Any, n: int, method: str) -> Tensor:
    """The attribution of one input at one layer."""
    found = found[0] if isinstance(found, tuple) and len(found) == 1 else found
    if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != n:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"attribution must give one tensor (n, ...) for {n} samples, got {shape} of {method}"
        )
    return found
