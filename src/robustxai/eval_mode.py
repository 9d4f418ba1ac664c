"""The one rule of eval mode: nothing that reads its mode may be in training mode where a network is explained."""

import functools
import inspect
from collections.abc import Iterator
from types import CodeType

import torch
from torch import nn

from robustxai.checks import check_callable


def check_calm(name: str, net: object) -> None:
    """Nothing in `net` that reads its mode is in training mode: no batch norm, dropout, or layer of any type like them.

    A module counts if the code of its class reads `training`, so wrappers, convolutions and activations do not. Of a
    bound method its module is checked; other callables and None have no mode; the rest is refused.
    """
    if net is None:
        return
    check_callable(name, net)
    module = getattr(net, "__self__", net)
    if not isinstance(module, nn.Module):
        return
    found = [path or type(m).__name__ for path, m in module.named_modules() if m.training and _has_modes(m)]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise ValueError(
            f"{name} must be in eval mode, got training mode ({found[0]}{more}), where a batch or chance changes a "
            f"sample's result: call {name}.eval()"
        )


def _has_modes(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    return _reads_mode(type(module)) or isinstance(module, torch.jit.ScriptModule)


@functools.cache
def _reads_mode(kind: type) -> bool:
    """Whether any function of a module's class, up to `nn.Module`, names `training`."""
    own = [c for c in kind.__mro__ if issubclass(c, nn.Module) and c is not nn.Module]
    functions = (inspect.unwrap(f) for c in own for f in vars(c).values() if inspect.isfunction(f))
    return any("training" in code.co_names for f in functions for code in _codes(f.__code__))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
