"""Activations and class gradients at hidden layers: one forward, and one backward for all layers together.

A forward pass stops at the last layer that is needed. Works on any model in eval mode; a layer that runs several times
a pass is named with its call, "act:3". Leaves parameters, their gradients, modes and hooks as they were, and several
threads may use one network.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.capture import CallCounter, Layer, find_layers, observed
from robustxai.checks import check_count
from robustxai.concepts.rows import check_channels
from robustxai.eval_mode import check_calm
from robustxai.models import logits_of
from robustxai.scores.explained import check_score, scored
from robustxai.shapes import Images

LayerMaps = dict[str, Tensor]
CHUNK = 256


class _Enough(Exception):
    """Raised when everything needed has been seen."""


def check_model(model: nn.Module, layers: Sequence[str]) -> list[str]:
    """A module in eval mode that has these layers, which are different; returns their names. Raises ValueError."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be an nn.Module, whose layers have names, got a {type(model).__name__}")
    found = find_layers(model, layers)
    check_calm("model", model)
    return list(map(str, found))


def check_runs(model: nn.Module, x: Images, layers: Sequence[str]) -> None:
    """Each layer runs in a pass of one image, and only once where no call of it is named. Raises ValueError.

    A pass that stops early cannot see this.
    """
    with torch.no_grad():
        _passed(model, x[:1], layers)


def check_size(name: str, x: Tensor, other: str, y: Tensor) -> None:
    """One size for both. Raises ValueError that names the arguments."""
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"{name} and {other} must have images of one size, "
            f"got shapes {tuple(x.shape[1:])} and {tuple(y.shape[1:])}"
        )


def check_varied(name: str, a: Tensor) -> None:
    """Activations (n, *shape) that are finite and not the same for all images. Raises ValueError."""
    low, high = a.aminmax()
    if not bool(low.isfinite() & high.isfinite()):
        raise ValueError(f"{name} must have finite activations, got NaN or infinite ones")
    if len(a) > 1 and bool((a == a[:1]).all()):
        raise ValueError(
            f"{name} must be different images with a layer that depends on them, "
            "got the same activations for all images"
        )


def class_index(target: int, classes: int) -> int:
    """`target` as the number of one of so many classes. Raises ValueError."""
    index = check_count("target", target, 0)
    if index >= classes:
        raise ValueError(f"target must be a class in [0, {classes - 1}], got {index}")
    return index


def one_class(logits: Float[Tensor, "n classes"], target: int, score: str = "logit") -> Float[Tensor, " n"]:
    """The score of one class, the same for all images; a single logit z is two classes, -z and z.

    >>> one_class(torch.tensor([[2.0]]), 0)
    tensor([-2.])
    """
    index = class_index(target, max(logits.shape[1], 2))
    return scored(logits, logits.new_full((len(logits),), index, dtype=torch.long), score)


def observe(
    model: nn.Module, x: Tensor, layers: Sequence[str], *, leaf: bool = False, stop: bool = False
) -> tuple[LayerMaps, Float[Tensor, "n classes"] | None]:
    """The outputs of `layers` in a pass of x, by name, and the logits.

    leaf: the graph begins at the first of them that runs. stop: the pass ends at the last of them, without logits.
    Raises ValueError for a layer that does not run, that runs several times without a named call, or that gives no
    floating-point tensor with one row an image.
    """
    maps: LayerMaps = {}
    calls: dict[nn.Module, list[CallCounter]] = {}
    found = find_layers(model, layers)
    for layer in found:
        calls.setdefault(layer.module, []).append(CallCounter(layer))

    def watch(module: nn.Module, _inputs: object, output: Any) -> Tensor | None:
        wanted = [own.layer for own in calls[module] if own.wanted()]
        for layer in wanted:
            maps[str(layer)] = output = _seen(layer, output, len(x), leaf)
        if stop and len(maps) == len(found):
            raise _Enough
        if not wanted:
            return None
        if torch.is_inference_mode_enabled() and output.requires_grad:
            with torch.inference_mode(False):
                return output.clone()
        return output.clone()  # an in-place operation after the layer must not change what was seen

    logits = None
    with observed(*((module, watch) for module in calls)):
        try:
            logits = _run(model, x) if stop else logits_of(model, x)
        except _Enough:
            pass
    for own in calls.values():
        for call in own:
            call.check()
    return {str(layer): maps[str(layer)] for layer in found}, logits


def _seen(layer: Layer, output: Any, n: int, leaf: bool) -> Tensor:
    """A layer's output, checked; without a graph before it if `leaf`."""
    if not isinstance(output, Tensor) or output.ndim < 2 or not output.is_floating_point():
        raise ValueError(
            f"layer must give a tensor with a batch axis, got another output from {str(layer)!r}"
        )
    if len(output) != n:
        raise ValueError(
            f"layer must give one row an image, got {len(output)} rows for {n} images from {str(layer)!r}"
        )
    if leaf and not output.requires_grad:
        torch.set_grad_enabled(True)  # from here on only; the surrounding block restores the mode
        with torch.inference_mode(False):
            output = (output.clone() if output.is_inference() else output.detach()).requires_grad_()
    return output


def _run(model: nn.Module, x: Tensor) -> None:
    """A pass whose output does not matter; an x that does not fit gets the sentence of `logits_of`."""

    def passed(x: Tensor) -> Tensor:
        model(x)
        return x.new_zeros(len(x), 1)

    logits_of(passed, x)


def _passed(model: nn.Module, x: Tensor, layers: Sequence[str]) -> None:
    """A whole pass, whatever it returns, with the calls of `layers` counted."""
    counted = [CallCounter(layer) for layer in find_layers(model, layers)]
    modules = {call.layer.module for call in counted}

    def watch(module: nn.Module, _inputs: object, _output: object) -> None:
        for call in counted:
            if call.layer.module is module:
                call.wanted()

    with observed(*((module, watch) for module in modules)):
        _run(model, x)
    for call in counted:
        call.check()


def forward_to(model: nn.Module, x: Tensor, layers: Sequence[str]) -> LayerMaps:
    """The maps of `layers` for a batch `x`, with the graph from x where x requires one; the pass stops there."""
    return observe(model, x, layers, stop=True)[0]


@torch.no_grad()
def activations(model: nn.Module, x: Images, layers: Sequence[str], *, batch_size: int = CHUNK) -> LayerMaps:
    """Activations f_l(x), by layer: (n, *shape), shape as the layer gives it (spec section 2)."""
    parts = [forward_to(model, part, layers) for part in x.split(batch_size)]
    return {name: torch.cat([p[name] for p in parts]) for name in parts[0]}


def class_gradients(
    model: nn.Module,
    x: Images,
    target: int,
    layers: Sequence[str],
    *,
    score: str = "logit",
    batch_size: int = CHUNK,
) -> LayerMaps:
    """Gradients g_k^l(x) of the class's score with respect to each layer (spec 3.1), one backward a batch.

    score: "logit" (of a single logit z, -z is that of class 0 and z that of class 1), or another of the library's
    scores, such as "logp" as the reference implementation does (an ablation). Raises ValueError when the score does
    not depend on a layer, the model has no such class, or a gradient is not finite.
    """
    check_score("score", score)
    parts: list[LayerMaps] = []
    for part in x.split(batch_size):
        found = _gradients(model, part, target, layers, score, graph=False)
        if any(g is None for g in found.values()):  # the model ran a part of itself under no_grad
            found = _gradients(model, part, target, layers, score, graph=True)
        parts.append({})
        for name, g in found.items():
            if g is None:
                raise ValueError(
                    f"layer {name!r} has no gradient to the logit: nothing leads from it to the logits, or the model "
                    "detaches what does or computes it under torch.no_grad(); choose another layer"
                )
            if not bool(g.isfinite().all()):
                raise ValueError(f"layer {name!r} has gradients to the logit that are NaN or infinite")
            parts[-1][name] = g
    return {name: torch.cat([p[name] for p in parts]) for name in parts[0]}


def _gradients(
    model: nn.Module, x: Tensor, target: int, layers: Sequence[str], score: str, *, graph: bool
) -> dict[str, Tensor | None]:
    """Gradients by layer, None where there are none. graph: record the layers before the first one, too."""
    with torch.inference_mode(False), torch.set_grad_enabled(graph):
        maps, logits = observe(model, x, layers, leaf=True)
        assert logits is not None
        with torch.enable_grad():
            total = one_class(logits, target, score).sum()
            if not total.requires_grad:
                return dict.fromkeys(maps)
            found = torch.autograd.grad(total, list(maps.values()), allow_unused=True)
    return dict(zip(maps, found, strict=True))


def activation_rows(a: Tensor, *, pool: bool) -> Float[Tensor, "n feature"]:
    """Activations as rows: flattened over channels and positions, or the mean over positions. At least float32."""
    a = _single(a)
    if pool:
        check_channels(a)
    return a.flatten(2).mean(2) if pool and a.ndim > 2 else a.flatten(1)


def gradient_rows(g: Tensor, *, pool: bool) -> Float[Tensor, "n feature"]:
    """Gradients as rows that go with `activation_rows`: pooled, the derivative for moving all positions alike."""
    g = _single(g)
    if pool:
        check_channels(g)
    return g.flatten(2).sum(2) if pool and g.ndim > 2 else g.flatten(1)


def _single(a: Tensor) -> Tensor:
    return a.float() if a.element_size() < 4 else a
