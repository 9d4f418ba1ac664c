"""One forward pass, cut open at the explained layer.

The backbone runs without a graph; the head runs with one, from a fresh leaf A. If the head is global average
pooling followed by a linear layer, its weights are returned and no graph is needed at all. Works on any
model whose chosen layer runs once per forward pass and gives (N, K, h, w). Knows nothing about maps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Cut(NamedTuple):
    """What one forward pass leaves: `activations` A (N, K, h, w), `logits` (N, C), head `weight` or None."""

    activations: Float[Tensor, "batch channel height width"]
    logits: Float[Tensor, "batch classes"]
    weight: Float[Tensor, "classes channel"] | None


def find_layer(model: nn.Module, layer: nn.Module | str | None) -> nn.Module:
    """The explained layer by module or dotted name; None is the one that the model names as `gap_layer`.

    Raises ValueError that lists near names.
    """
    if isinstance(layer, nn.Module):
        if all(layer is not m for m in model.modules()):
            raise ValueError(
                f"layer is a {type(layer).__name__} that is not part of the model; accepted are its modules"
            )
        return layer
    names = dict(model.named_modules())
    name = getattr(model, "gap_layer", None) if layer is None else layer
    if name in names and name:
        return names[name]
    if layer is None:
        raise ValueError(
            "layer is missing and the model names no gap_layer; pass the module that enters global "
            "average pooling"
        )
    near = get_close_matches(layer, names, n=5, cutoff=0.3) or [n for n in names if n][-5:]
    raise ValueError(f"layer {layer!r} is not in the model; near names are {', '.join(near)}")


def find_head(model: nn.Module) -> nn.Linear | None:
    """The last linear layer of the model, in order of registration, or None."""
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    return linear[-1] if linear else None


@contextmanager
def hooks(*pairs: tuple[nn.Module, object]) -> Iterator[None]:
    """Forward hooks that are gone when the block ends, however it ends."""
    handles = [module.register_forward_hook(fn) for module, fn in pairs]  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def cut(model: nn.Module, layer: nn.Module, x: Tensor, *, attached: bool = False) -> Cut:
    """Run `model` on `x` (N, C, H, W) and cut it open at `layer`.

    Args:
        attached: keep the graph of the whole network (fooling losses); otherwise A is a leaf and only the
            head has one.

    Returns:
        A Cut; `weight` is the head's when logits = weight @ mean(A) + bias on this batch, else None.

    Raises:
        ValueError: the layer did not run, ran more than once, or did not give (N, K, h, w).
    """
    seen: dict[str, Tensor] = {}
    head = find_head(model)

    def at_layer(_module, _inputs, output):
        if "a" in seen:
            raise ValueError("layer runs more than once in a forward pass; choose a module that runs once")
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"layer gives {shape}; accepted is a convolutional map (N, K, h, w)")
        if not attached:
            # from here on only; the surrounding no_grad block restores the caller's mode
            torch.set_grad_enabled(True)
            output = output.detach().requires_grad_()
        seen["a"] = output
        return output.clone()  # an in-place operation after the layer must not change A

    def at_head(_module, inputs, output):
        seen["pooled"], seen["out"] = inputs[0], output

    pairs = [(layer, at_layer)] + ([(head, at_head)] if head is not None else [])
    mode = torch.enable_grad() if attached else torch.no_grad()
    with torch.inference_mode(False), mode, hooks(*pairs):
        logits = model(x)
    if "a" not in seen:
        raise ValueError("layer does not run in the model's forward pass; choose one that does")
    if logits.ndim == 1:
        logits = logits.unsqueeze(-1)
    return Cut(seen["a"], logits, _closed_form(head, seen, logits))


def _closed_form(head: nn.Linear | None, seen: dict[str, Tensor], logits: Tensor) -> Tensor | None:
    """The head's weight if the logits are exactly this linear layer of the mean activation, else None."""
    pooled, out = seen.get("pooled"), seen.get("out")
    if head is None or pooled is None or out is None or out.shape != logits.shape:
        return None
    with torch.no_grad():
        mean = seen["a"].mean((2, 3))
        same = pooled.shape == mean.shape and torch.equal(out, logits)
        if same and torch.allclose(pooled, mean, rtol=1e-4, atol=1e-6 * float(mean.abs().max())):
            return head.weight
    return None


def check_images(model: nn.Module, x: Tensor) -> None:
    """The public door's contract: x (N, C, H, W) finite, of the model's channels; the model in eval mode."""
    if x.ndim != 4:
        raise ValueError(f"x has shape {tuple(x.shape)}; accepted is a batch of images (N, C, H, W)")
    if not x.is_floating_point():
        raise ValueError(f"x has dtype {x.dtype}; accepted are floating-point images in [0, 1]")
    if not torch.isfinite(x).all():
        raise ValueError("x holds NaN or infinite pixels; accepted are finite images in [0, 1]")
    conv = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if conv is not None and conv.in_channels != x.shape[1]:
        raise ValueError(
            f"x has {x.shape[1]} channels; the model's first convolution takes {conv.in_channels}"
        )
    training = [n or "the model" for n, m in model.named_modules() if m.training and not any(m.children())]
    if training:
        raise ValueError(
            f"model is in training mode ({training[0]} and {len(training) - 1} more); call model.eval() "
            "first, else batch norm makes the samples of a batch depend on each other"
        )
