"""Which layer class activation maps are read at, when the user names none: found by running the network.

A map is a tensor (n, K, h, w) with h, w > 1. The last one before the logits is taken, unless tokens (n, T, D) come
after it, as in a vision transformer, whose only such map is the cut into patches. Knows modules; knows no explainer.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.capture import Layer, observed
from robustxai.diffgradcam.capture import looks_channels_last
from robustxai.explainers.reshape import Reshape, find_reshape
from robustxai.models import logits_of


@dataclass(frozen=True)
class FoundLayer:
    """The layer's name, None where there is none, the size of its map, and a sentence on how it was found.

    channels_last: its output is (n, h, w, K), from which `with_map` makes a map.

    >>> FoundLayer(None, None, "the network has no such map").name is None
    True
    """

    name: str | None
    size: tuple[int, int] | None
    words: str
    channels_last: bool = False


def trace_layer(model: nn.Module, x: Tensor, layer: str | None = None) -> FoundLayer:
    """The layer that class activation maps of `model` are read at, on images x (n, C, H, W).

    layer: a module's name, `name:k` for its k-th call; None: the one that the network names as `gap_layer`, else the
    last map before the logits. Raises ValueError, with near names, for a layer that the network has not.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    >>> trace_layer(net, torch.rand(2, 3, 8, 8)).name
    '1'
    """
    calls = _calls(model, x)
    if layer is not None:
        found = Layer(model, layer)
        shape = next((c.shape for c in reversed(calls) if c.name == found.name), None)
        size = (shape[2], shape[3]) if shape is not None and len(shape) == 4 else None
        return FoundLayer(str(found), size, f"Class activation maps are read at layer {found}, as you asked.")
    named = [(p, getattr(m, "gap_layer", None)) for p, m in model.named_modules()]
    for path, name in named:
        if isinstance(name, str):
            full = f"{path}.{name}" if path else name
            shape = next((c.shape for c in reversed(calls) if c.name == full), None)
            if shape is not None and len(shape) == 4:
                words = f"Class activation maps are read at layer {full}, which the network itself names."
                return FoundLayer(full, (shape[2], shape[3]), words)
    return _last_map(calls)


@dataclass(frozen=True)
class _Call:
    """One call of a module: its name, the shape of its output, which call of the module it was, and whether a leaf."""

    name: str
    shape: tuple[int, ...]
    number: int
    leaf: bool
    data: int
    channels_last: bool


def _calls(model: nn.Module, x: Tensor) -> list[_Call]:
    """Every call of a module in one pass, in the order in which they ended."""
    found: list[_Call] = []
    count: Counter[str] = Counter()
    names = {m: n for n, m in reversed(list(model.named_modules())) if n}

    def see(module: nn.Module, _inputs: Any, output: Any) -> None:
        name = names[module]
        count[name] += 1
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor):
            last = first.ndim == 4 and looks_channels_last(first, x)
            leaf = next(module.children(), None) is None
            found.append(_Call(name, tuple(first.shape), count[name], leaf, first.data_ptr(), last))

    with torch.no_grad(), observed(*((module, see) for module in names)):
        logits_of(model, x)
    return found


def _last_map(calls: list[_Call]) -> FoundLayer:
    """The last map before the logits, with `:k` for a module that runs more than once."""
    maps = [i for i, c in enumerate(calls) if len(c.shape) == 4 and min(_sides(c)) > 1]
    if not maps:
        return FoundLayer(
            None,
            None,
            "The network has no layer with a map (n, K, h, w), so there are no class activation maps.",
        )
    at = maps[-1]
    later = [c for c in calls[at + 1 :] if len(c.shape) == 3 and c.shape[1] > 1]
    if later:
        words = (
            f"After its last map, at layer {calls[at].name}, the network works on tokens, so there are no class "
            "activation maps: name a layer and how its tokens become a map (layer and reshape) to have them."
        )
        return FoundLayer(None, None, words)
    inside = [
        i
        for i in maps
        if calls[i].leaf and calls[i].data == calls[at].data and calls[i].shape == calls[at].shape
    ]
    call = calls[inside[-1] if inside else at]
    runs = max(c.number for c in calls if c.name == call.name)
    name = call.name if runs == 1 else f"{call.name}:{call.number}"
    height, width = _sides(call)
    words = f"Class activation maps are read at layer {name} ({height} x {width}), the last map before the logits."
    return FoundLayer(name, (height, width), words, call.channels_last)


def _sides(call: _Call) -> tuple[int, int]:
    """Height and width of a map."""
    return (call.shape[1], call.shape[2]) if call.channels_last else (call.shape[2], call.shape[3])


class TokensAsMaps(nn.Module):
    """A layer that gives tokens or a channels-last map, with the map (n, K, h, w) of them visible as the layer `map`.

    The output is the layer's own, up to the bits: places go through the map and back, other tokens stay. reshape: see
    `robustxai.explainers.reshape`. Raises ValueError for a reshape that loses or changes numbers.

    >>> layer = TokensAsMaps(nn.Identity(), "vit")
    >>> layer(torch.rand(2, 5, 3)).shape
    torch.Size([2, 5, 3])
    """

    def __init__(self, layer: nn.Module, reshape: Reshape | str):
        super().__init__()
        found = find_reshape(reshape)
        if found is None:
            raise ValueError("reshape must be a name or a function, got None")
        self.layer, self.map, self.reshape = layer, nn.Identity(), found

    def forward(self, *inputs: Any, **options: Any) -> Any:
        output = self.layer(*inputs, **options)
        first = output[0] if isinstance(output, tuple) else output
        places = self.reshape(torch.arange(first.numel(), device="cpu").double().reshape(first.shape))
        maps = self.map(self.reshape(first))
        back = first.flatten().index_put((places.long().flatten(),), maps.flatten()).reshape(first.shape)
        return (back, *output[1:]) if isinstance(output, tuple) else back


def with_map(model: nn.Module, layer: str, reshape: Reshape | str) -> str:
    """Put a `TokensAsMaps` in the place of a layer of `model`, which is changed; returns the name of the map.

    >>> net = nn.Sequential(nn.Identity(), nn.Flatten())
    >>> with_map(net, "0", "vit"), net(torch.rand(2, 5, 3)).shape
    ('0.map', torch.Size([2, 15]))
    """
    found = Layer(model, layer)
    parent, _, name = found.name.rpartition(".")
    holder = model.get_submodule(parent)
    holder._modules[name] = TokensAsMaps(found.module, reshape)
    return f"{found.name}.map"
