"""Watching a network's layers while it runs, without leaving anything on it that another thread or a copy can see.

torch's own hooks live on the modules: a second thread that runs the same network runs them too, and a deep copy keeps
them. Here one hook of the process looks up what the *calling thread* watches; it is there only while somebody watches.
Knows modules and calls; knows nothing about what is done with what was seen.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from robustxai.checks import check_module, check_sequence, shown

Hook = Callable[[nn.Module, tuple[Any, ...], Any], Any]
"""watch(module, inputs, output): None, or what takes the place of the output."""


class _Thread(threading.local):
    """What this thread watches: one dictionary from module to function for each open `observed`."""

    def __init__(self) -> None:
        self.frames: list[dict[nn.Module, Hook]] = []


_thread = _Thread()
_lock = threading.Lock()
_open: list[Any] = [
    0,
    None,
]  # how many `observed` are open in all threads, and the handle of the process's hook


def _dispatch(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    for frame in tuple(_thread.frames):
        watch = frame.get(module)
        if watch is not None:
            changed = watch(module, inputs, output)
            output = output if changed is None else changed
    return output


@contextmanager
def observed(*pairs: tuple[nn.Module, Hook]) -> Iterator[None]:
    """Inside the block, each module's function is called after the module in this thread, however the block ends.

    >>> net, seen = nn.Sequential(nn.Linear(2, 3), nn.ReLU()), []
    >>> import torch
    >>> with observed((net[0], lambda module, inputs, output: seen.append(output.shape))):
    ...     _ = net(torch.zeros(1, 2))
    >>> seen
    [torch.Size([1, 3])]
    """
    frame = dict(pairs)
    with _lock:
        if _open[0] == 0:
            _open[1] = register_module_forward_hook(_dispatch)
        _open[0] += 1
    _thread.frames.append(frame)
    try:
        yield
    finally:
        _thread.frames = [f for f in _thread.frames if f is not frame]
        with _lock:
            _open[0] -= 1
            if _open[0] == 0:
                _open[1].remove()


class Layer:
    """A layer by module, dotted name, or name and call: "act:3" is what the module `act` gives the third time it runs.

    Raises ValueError that lists near names, and for a network whose layers cannot be watched.
    """

    def __init__(self, model: nn.Module, layer: nn.Module | str):
        check_module("model", model)
        if isinstance(model, torch.jit.ScriptModule):
            raise ValueError(
                "model must be the nn.Module it was made from, got a torch.jit module, whose layers cannot be watched"
            )
        self.call: int | None = None
        if isinstance(layer, nn.Module):
            names = [n for n, m in model.named_modules() if m is layer]
            if not names:
                raise ValueError(
                    f"layer must be a module of the model, got a {type(layer).__name__} that is not part of it"
                )
            self.name, self.module = names[0], layer
            return
        modules = dict(model.named_modules())
        name, _, call = layer.partition(":") if isinstance(layer, str) else ("", "", "")
        if (
            not name
            or name not in modules
            or (":" in str(layer) and not (call.isdecimal() and int(call) > 0))
        ):
            near = get_close_matches(str(layer), modules, n=5, cutoff=0.3) or [n for n in modules if n][-5:]
            raise ValueError(
                f"layer must be a module of the model, got {layer!r}; near names are {', '.join(near)}"
            )
        self.name, self.module = name, modules[name]
        self.call = int(call) if call else None

    def __repr__(self) -> str:
        return self.name if self.call is None else f"{self.name}:{self.call}"


class CallCounter:
    """Counts the calls of one layer in a pass and says which of them is wanted."""

    def __init__(self, layer: Layer):
        self.layer, self.n = layer, 0

    def wanted(self) -> bool:
        """Called once a call: whether this is the one."""
        self.n += 1
        return self.n == (self.layer.call or 1)

    def check(self) -> None:
        """After the pass: ValueError where the layer did not run, or ran several times and no call was named."""
        name, call = self.layer.name, self.layer.call
        if self.n < (call or 1):
            times = "does not run" if self.n == 0 else f"runs {self.n} times"
            raise ValueError(
                f"layer {str(self.layer)!r} {times} in the model's forward pass; choose one that does"
            )
        if self.n > 1 and call is None:
            raise ValueError(
                f"layer {name!r} runs more than once in a forward pass; name one of its {self.n} calls, "
                f"'{name}:1' to '{name}:{self.n}', or another layer"
            )


def find_layers(model: nn.Module, layers: Sequence[nn.Module | str]) -> list[Layer]:
    """One or more different layers. Raises ValueError."""
    if isinstance(layers, nn.Module):
        raise ValueError(f"layers must be a sequence of layers, got one {type(layers).__name__}")
    check_sequence("layers", layers, "module names")
    found = [Layer(model, layer) for layer in layers]
    if len({(one.module, one.call) for one in found}) < len(found):
        raise ValueError(f"layers must be one or more different module names, got {shown(layers)}")
    return found
