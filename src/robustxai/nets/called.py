"""Which activation functions the code of a module calls: `F.relu(x)`, `x.relu()`, `self.act = F.relu`.

Read from the bytecode of the module's class and of the Python functions that it calls, torch's own left out; nothing is
run. Knows nothing about what is done with the answer.
"""

import dis
import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

FUNCTIONAL_ACTIVATIONS = (
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "rrelu_", "hardtanh", "hardtanh_",
    "hardswish", "hardsigmoid",
)  # fmt: skip


def functions_called(module: nn.Module) -> frozenset[str]:
    """Names of the activations that a module's own code calls as functions, its children left out.

    >>> class Net(nn.Module):
    ...     def forward(self, x):
    ...         return F.relu(x)
    >>> sorted(functions_called(Net())), sorted(functions_called(nn.ReLU()))
    (['relu'], [])
    """
    if isinstance(module, torch.jit.ScriptModule):
        return frozenset()
    held = {name for value in vars(module).values() if (name := _name(value))}
    return _of_class(type(module)) | held


def _name(value: Any) -> str | None:
    """The name of an activation function, None for any other value."""
    return (
        _known().get(value)
        if callable(value) and not isinstance(value, nn.Module) and _hashable(value)
        else None
    )


@functools.cache
def _known() -> dict[Any, str]:
    return {
        f: name
        for name in FUNCTIONAL_ACTIVATIONS
        for home in (torch, F, torch.Tensor)
        if (f := getattr(home, name, None))
    }


def _hashable(value: Any) -> bool:
    return type(value).__hash__ is not None


@functools.cache
def _of_class(kind: type[nn.Module]) -> frozenset[str]:
    own = [c for c in kind.__mro__ if issubclass(c, nn.Module) and c.__module__.partition(".")[0] != "torch"]
    found: set[str] = set()
    seen: set[CodeType] = set()
    for function in (inspect.unwrap(f) for c in own for f in vars(c).values() if inspect.isfunction(f)):
        found |= _of_function(function, seen)
    return frozenset(found)


def _of_function(function: FunctionType, seen: set[CodeType]) -> set[str]:
    found: set[str] = set()
    for code in _codes(function.__code__):
        if code in seen:
            continue
        seen.add(code)
        found |= set(_attributes(code))
        for name in code.co_names:
            value = function.__globals__.get(name)
            if inspect.isfunction(value) and (value.__module__ or "").partition(".")[0] != "torch":
                found |= _of_function(inspect.unwrap(value), seen)
            elif known := _name(value):
                found.add(known)
    return found


def _attributes(code: CodeType) -> Iterator[str]:
    """Attributes with the name of an activation that are read from anything but `self`, whose are modules."""
    myself = code.co_varnames[:1]
    before: Any = None
    for step in dis.get_instructions(code):
        if (
            step.opname in ("LOAD_ATTR", "LOAD_METHOD")
            and step.argval in FUNCTIONAL_ACTIVATIONS
            and not _is_self(before, myself)
        ):
            yield step.argval
        if step.opname not in ("CACHE", "EXTENDED_ARG"):
            before = step


def _is_self(step: Any, myself: tuple[str, ...]) -> bool:
    if step is None or not step.opname.startswith("LOAD_FAST"):
        return False
    names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
    return names[-1:] == myself


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
