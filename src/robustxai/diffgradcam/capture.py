"""One forward pass, cut open at the explained layer.

The backbone runs without a graph and the head with one, from a fresh leaf A; `attached` keeps the graph of the whole
network instead, for attacks. If the head is global average pooling followed by a linear layer, its weights are
returned and no graph is needed at all. Works on any model whose layer gives (N, K, h, w), or tokens that `reshape`
makes such maps of.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.capture import CallCounter, Layer, observed
from robustxai.checks import shown
from robustxai.explainers.reshape import Reshape
from robustxai.models import is_logits, logits_of


class Cut(NamedTuple):
    """What one forward pass leaves: `activations` A (N, K, h, w), `logits` (N, C), head `weight` or None.

    `raw`: what the layer gave, from which `reshape` makes A; None where they are the same. `x`: the images.
    `attached`: the graph reaches back to the images and the weights. `layer`: where it was cut.
    """

    activations: Float[Tensor, "batch channel height width"]
    logits: Float[Tensor, "batch classes"]
    weight: Float[Tensor, "classes channel"] | None
    raw: Tensor | None = None
    reshape: Reshape | None = None
    x: Tensor | None = None
    attached: bool = False
    layer: Layer | None = None


def find_layer(model: nn.Module, layer: nn.Module | str | Layer | None) -> Layer:
    """The explained layer; None is the one that the model, or what it wraps, names as `gap_layer`.

    Raises ValueError that lists near names.
    """
    if isinstance(layer, Layer):
        return layer
    if layer is not None:
        return Layer(model, layer)
    named = ((path, getattr(m, "gap_layer", None)) for path, m in model.named_modules())
    path, name = next(((p, n) for p, n in named if isinstance(n, str)), ("", None))
    if name is None:
        raise ValueError(
            "layer is missing and the model names no gap_layer; pass the module that enters global "
            "average pooling"
        )
    return Layer(model, f"{path}.{name}" if path else name)


def cut(
    model: nn.Module,
    layer: nn.Module | str | Layer,
    x: Tensor,
    *,
    attached: bool = False,
    reshape: Reshape | None = None,
) -> Cut:
    """Run `model` on `x` (N, C, H, W) and cut it open at `layer`.

    Args:
        attached: keep the graph of the whole network (fooling losses, attacks on inputs); otherwise A is a leaf and
            only the head has one.
        reshape: from what the layer gives to (N, K, h, w), for tokens and channels-last maps.

    Returns:
        A Cut; `weight` is the head's when logits = weight @ mean(A) + bias on this batch, else None.

    Raises:
        ValueError: the layer did not run, ran more than once, or did not give (N, K, h, w); x does not fit the model;
            the model returns no logits.
    """
    found = _run(model, find_layer(model, layer), x, reshape, attached=attached, graph=attached)
    if found.weight is None and not found.logits.requires_grad:
        # a forward that turns gradients off for its backbone also forgets that they were turned on at the layer
        found = _run(model, find_layer(model, layer), x, reshape, attached=attached, graph=True)
    return found


def _run(
    model: nn.Module, layer: Layer, x: Tensor, reshape: Reshape | None, *, attached: bool, graph: bool
) -> Cut:
    """One pass; `graph`: with gradients enabled from the start, and not from the layer on only."""
    calls, seen, linear = CallCounter(layer), dict[str, Tensor](), list[tuple[nn.Linear, Tensor, Tensor]]()
    reaches: list[bool] = []

    def at_layer(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if not calls.wanted():
            return None
        first = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(first, Tensor) or first.ndim < 3:
            raise ValueError(f"layer must give a convolutional map (N, K, h, w), got {shown(first)}")
        reached = attached and first.requires_grad
        reaches.append(reached)
        if not reached:
            torch.set_grad_enabled(
                True
            )  # from here on only; the surrounding block restores the caller's mode
            first = first.detach().requires_grad_()
        seen["raw"], seen["a"] = first, _as_map(first, x, reshape)
        kept = first.clone()  # an in-place operation after the layer must not change A
        return (kept, *output[1:]) if isinstance(output, tuple) else kept

    def at_linear(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Linear)
        linear.append((module, inputs[0], output))

    heads = [(m, at_linear) for m in model.modules() if isinstance(m, nn.Linear) and m is not layer.module]
    mode = torch.enable_grad() if graph else torch.no_grad()
    with torch.inference_mode(False), mode, observed((layer.module, at_layer), *heads):
        logits = logits_of(model, x.clone() if x.is_inference() else x, twice=attached)
    calls.check()
    a, raw = seen["a"], None if reshape is None else seen["raw"]
    return Cut(a, logits, _closed_form(linear, a, logits), raw, reshape, x, reaches[0], layer)


def _as_map(output: Tensor, x: Tensor, reshape: Reshape | None) -> Tensor:
    """A layer's output as (N, K, h, w); ValueError for tokens and channels-last maps without a `reshape`."""
    a = output if reshape is None else reshape(output)
    if a.ndim != 4 or len(a) != len(x):
        hint = (
            "" if reshape is not None else "; of tokens (N, T, D) make one by reshape=, such as reshape='vit'"
        )
        raise ValueError(
            f"layer must give a convolutional map (N, K, h, w), got shape {tuple(a.shape)}{hint}"
        )
    if reshape is None and looks_channels_last(a, x):
        raise ValueError(
            f"layer gives {tuple(a.shape)}, which looks like a channels-last map (N, h, w, K); "
            "pass reshape='channels_last', or a function that gives (N, K, h, w)"
        )
    return a


def looks_channels_last(a: Tensor, x: Tensor) -> bool:
    """Whether a layer's output (N, ., ., .) has the proportions of the images x (N, C, H, W) in its middle axes only.

    >>> looks_channels_last(torch.zeros(1, 7, 7, 768), torch.zeros(1, 3, 224, 224))
    True
    """
    return _fits(a.shape[1], a.shape[2], x) and not _fits(a.shape[2], a.shape[3], x)


def _fits(rows: int, columns: int, x: Tensor) -> bool:
    """Whether a map of this size has the proportions of the images, to one row or column."""
    height, width = x.shape[2:]
    return abs(rows * width - columns * height) <= max(height, width)


def _closed_form(linear: list[tuple[nn.Linear, Tensor, Tensor]], a: Tensor, logits: Tensor) -> Tensor | None:
    """The weight of the layer whose output is the logits, if its input is exactly the mean activation; else None."""
    for module, pooled, output in reversed(linear):
        if not is_logits(output, logits):
            continue
        with torch.no_grad():
            mean = a.mean((2, 3))
            if pooled.shape == mean.shape and torch.allclose(
                pooled, mean, rtol=1e-4, atol=1e-6 * float(mean.abs().max())
            ):
                return module.weight
    return None
