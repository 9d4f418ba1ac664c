"""Activations and class gradients at hidden layers: one forward, and one backward for all layers together.

A forward pass stops at the last layer that is asked for. Works on any model in eval mode whose layers run once a
pass. Leaves parameters, their gradients, modes and hooks as they were. Knows nothing about concepts.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

Images = Float[Tensor, "n channel height width"]
Maps = dict[str, Tensor]
CLASS_SCORES = ("logit", "log_prob")
CHUNK = 256
ROUNDING = 1e-5  # of pixels at 0 and 1


class _Enough(Exception):
    """Raised by a hook when everything asked for has been seen."""


def check_model(model: nn.Module, layers: Sequence[str]) -> None:
    """The public door's contract: layers exist, are named once, and the model is in eval mode."""
    names = dict(model.named_modules())
    if isinstance(layers, str) or not layers or len(set(layers)) < len(layers):
        raise ValueError(
            f"layers is {layers!r}; accepted is a sequence of one or more different module names"
        )
    for layer in layers:
        if not layer or layer not in names:
            near = get_close_matches(layer, names, n=5, cutoff=0.3) or [n for n in names if n][-5:]
            raise ValueError(f"layer {layer!r} is not in the model; near names are {', '.join(near)}")
    training = [n or "the model" for n, m in model.named_modules() if m.training and not any(m.children())]
    if training:
        raise ValueError(
            f"model is in training mode ({training[0]} and {len(training) - 1} more); call model.eval() first"
        )


def check_images(name: str, x: Tensor) -> None:
    """Images (n, C, H, W) in [0, 1], floating, one or more. Raises ValueError that names the argument."""
    if not isinstance(x, Tensor) or x.ndim != 4 or not len(x) or not x.is_floating_point():
        shape = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{name} is {shape}; accepted are floating-point images (n, C, H, W), n 1 or more")
    low, high = map(float, x.aminmax())  # NaN wins in both, and no mask of the images' size is made
    if not (isfinite(low) and isfinite(high)):
        raise ValueError(f"{name} holds NaN or infinite pixels; accepted are finite images in [0, 1]")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(f"{name} holds pixels from {low:.3g} to {high:.3g}; accepted are images in [0, 1]")


def check_size(name: str, x: Tensor, other: str, y: Tensor) -> None:
    """One size for both. Raises ValueError that names the arguments."""
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"{name} has images of shape {tuple(x.shape[1:])} and {other} {tuple(y.shape[1:])}; "
            "accepted is one size for all"
        )


def check_varied(name: str, a: Tensor) -> None:
    """Activations (n, *shape) that are not the same for all images. Raises ValueError."""
    if len(a) > 1 and bool((a == a[:1]).all()):
        raise ValueError(
            f"{name} has the same activations for all images; accepted are different images, and a layer that "
            "depends on them"
        )


@contextmanager
def _seen(model: nn.Module, layers: Sequence[str], *, leaf: bool, stop: bool) -> Iterator[Maps]:
    """Collects the outputs of `layers`; leaf: the graph begins at the first of them that runs."""
    seen: Maps = {}

    def hook(name: str):
        def at_layer(_module, _inputs, output):
            if name in seen:
                raise ValueError(f"layer {name!r} runs more than once in a forward pass; choose another")
            if not isinstance(output, Tensor) or output.ndim < 2:
                raise ValueError(f"layer {name!r} gives no tensor with a batch axis; choose another")
            if leaf and not output.requires_grad:
                torch.set_grad_enabled(True)  # from here on only; the surrounding block restores the mode
                output = output.detach().requires_grad_()
            seen[name] = output
            if stop and len(seen) == len(layers):
                raise _Enough
            return output.clone()  # an in-place operation after the layer must not change what was seen

        return at_layer

    handles = [model.get_submodule(name).register_forward_hook(hook(name)) for name in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def forward_to(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Maps:
    """The maps of `layers` for a batch `x`, with the graph from x where x asks for one; the pass stops there."""
    with _seen(model, layers, leaf=False, stop=True) as seen:
        try:
            model(x)
        except _Enough:
            pass
    for name in layers:
        if name not in seen:
            raise ValueError(f"layer {name!r} does not run in the model's forward pass; choose one that does")
    return {name: seen[name] for name in layers}


@torch.no_grad()
def activations(model: nn.Module, x: Images, layers: Sequence[str], *, chunk: int = CHUNK) -> Maps:
    """Activations f_l(x), by layer: (n, *shape), shape as the layer gives it (spec section 2)."""
    parts = [forward_to(model, part, layers) for part in x.split(chunk)]
    return {name: torch.cat([p[name] for p in parts]) for name in layers}


def class_gradients(
    model: nn.Module, x: Images, target: int, layers: Sequence[str], *, of: str = "logit", chunk: int = CHUNK
) -> Maps:
    """Gradients g_k^l(x) of the class's logit with respect to each layer (spec 3.1), one backward a batch.

    of: "logit", or "log_prob" as the reference implementation does (an ablation). Raises ValueError when the
    logit does not depend on a layer or has no such class.
    """
    if of not in CLASS_SCORES:
        raise ValueError(f"of is {of!r}; accepted are {', '.join(CLASS_SCORES)}")
    parts: list[Maps] = []
    for part in x.split(chunk):
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            _seen(model, layers, leaf=True, stop=False) as seen,
        ):
            logits = model(part)
            for name in layers:
                if name not in seen:
                    raise ValueError(f"layer {name!r} does not run in the model's forward pass")
            if not isinstance(logits, Tensor) or logits.ndim != 2 or not -1 < target < logits.shape[1]:
                size = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                raise ValueError(
                    f"target is {target} and the model gives {size}; accepted is a class of (n, C)"
                )
            with torch.enable_grad():
                score = logits if of == "logit" else logits.log_softmax(1)
                if not score.requires_grad:
                    raise ValueError(
                        f"layers {', '.join(layers)} have no gradient to the logit; choose others"
                    )
                maps = [seen[name] for name in layers]
                found = torch.autograd.grad(score[:, target].sum(), maps, allow_unused=True)
        for name, g in zip(layers, found, strict=True):
            if g is None:
                raise ValueError(f"layer {name!r} has no gradient to the logit; choose a layer it depends on")
        parts.append({name: g for name, g in zip(layers, found, strict=True) if g is not None})
    return {name: torch.cat([p[name] for p in parts]) for name in layers}


def rows(a: Tensor, *, pool: bool) -> Float[Tensor, "n feature"]:
    """Activations as rows: flattened over channels and positions, or the mean over positions."""
    return a.flatten(2).mean(2) if pool and a.ndim > 2 else a.flatten(1)


def gradient_rows(g: Tensor, *, pool: bool) -> Float[Tensor, "n feature"]:
    """Gradients as rows that go with `rows`: pooled, the derivative for moving all positions alike."""
    return g.flatten(2).sum(2) if pool and g.ndim > 2 else g.flatten(1)


def state_of(model: nn.Module) -> tuple[tuple[int, int], ...]:
    """Which tensors a model holds and how often each was changed in place: a key for caches."""
    return tuple((id(t), t._version) for t in (*model.parameters(), *model.buffers()))


class Cache:
    """Values by image tensor and words; forgotten when the tensor or the model's weights were changed."""

    def __init__(self) -> None:
        self._held: dict[tuple[object, ...], tuple[object, object]] = {}
        self._state: object = None

    def get(self, model: nn.Module, x: Tensor, words: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """The stored value for this very tensor, or `make()`, stored."""
        state = state_of(model)
        if state != self._state:
            self._held.clear()
            self._state = state
        key = (id(x), x._version, *words)
        if key not in self._held:
            self._held[key] = (x, make())  # holding x keeps its id from being used again
        return self._held[key][1]


Memory = Callable[[nn.Module], Cache]
"""Where what is known of a network is kept: `fresh` forgets it with the tool that asked."""


def fresh(_model: nn.Module) -> Cache:
    """An empty cache."""
    return Cache()
