"""Softplus in place of ReLU: the surrogate that gives attacks a curvature, and the SP baseline.

A ReLU is found as a module (`nn.ReLU`, `nn.ReLU6`) and as a function: `F.relu`, `torch.relu`, `x.relu()`, `F.relu6`
and their in-place forms. The functions are replaced while the copy runs, so it need not be traceable. Knows modules
only; which functions a class calls is read in `activations_called`.
"""

import functools
import warnings
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from robustxai.checks import check_module, check_positive
from robustxai.nets.called import functions_called

Module = TypeVar("Module", bound=nn.Module)
RELUS = ("relu", "relu_", "relu6")
OTHER_KINKS = (
    "leaky_relu",
    "leaky_relu_",
    "prelu",
    "rrelu",
    "rrelu_",
    "hardtanh",
    "hardtanh_",
    "hardswish",
    "hardsigmoid",
)
KINKED = (
    nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Hardshrink, nn.Softshrink,
    nn.Threshold,
)  # fmt: skip
"""Activations that are linear in pieces and stay as they are. Max pooling is not counted: it picks, and its kinks lie
where two inputs tie."""


class SmoothReLU(nn.Softplus):
    """A softplus that stands for a ReLU, so that an attack can raise the beta of these and of no others.

    >>> SmoothReLU(5.0)
    SmoothReLU(beta=5.0, threshold=20.0)
    """


class SmoothReLU6(nn.Module):
    """softplus(u) - softplus(u - 6), which stands for min(max(u, 0), 6).

    >>> SmoothReLU6(20)(torch.tensor([-3.0, 3.0, 9.0])).round(decimals=4)
    tensor([0., 3., 6.])
    """

    def __init__(self, beta: float | int = 10.0):
        super().__init__()
        self.beta = float(beta)

    def forward(self, x: Tensor) -> Tensor:
        """The value for inputs of any shape."""
        return F.softplus(x, self.beta) - F.softplus(x - 6, self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


def softplus_copy(model: Module, beta: float | int = 10.0) -> Module:
    """A deep copy of `model` with every ReLU replaced by softplus, log(1 + exp(beta u)) / beta.

    beta -> infinity is ReLU; 0.5 is nearly linear on the usual range (spec 5, SP). A ReLU6 becomes softplus(u) -
    softplus(u - 6). The copy shares no weights with the model and carries none of its hooks, except those with which
    torch makes weights (weight norm, spectral norm, pruning). UserWarning where other kinks remain, such as those of
    LeakyReLU or Hardswish. ValueError if the model holds no ReLU, or if beta is not above 0.

    >>> softplus_copy(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), beta=5)[1]
    SmoothReLU(beta=5.0, threshold=20.0)
    """
    beta = check_positive("beta", beta)
    if not has_kinks(model):
        raise ValueError(
            f"model holds no nn.ReLU, nn.ReLU6 or call of F.relu that softplus could replace; {type(model).__name__} "
            "has none of them"
        )
    holder = nn.ModuleList([_without_hooks(deepcopy(model))])
    smooth: dict[nn.Module, nn.Module] = {}  # a module that stands in several places keeps doing so
    # not named_children, which names a module that is used twice only once
    for parent in list(holder.modules()):
        for name, module in list(parent._modules.items()):
            if module is not None and (kind := _replacement(module)) is not None:
                parent._modules[name] = smooth.setdefault(module, kind(beta).train(module.training))
    copy = cast(Module, holder[0])
    for module in copy.modules():
        if _called(module, RELUS):
            module.__class__ = _smoothed(type(module))
            module.__dict__["relu_beta"] = beta
    left = unsmoothed(copy)
    if left:
        warnings.warn(
            f"{', '.join(left)} keep their kinks in the softplus copy of {type(model).__name__}, where second "
            "derivatives are zero in part",
            stacklevel=2,
        )
    return copy


def has_kinks(model: nn.Module) -> bool:
    """Whether `softplus_copy` finds something to replace.

    >>> has_kinks(nn.Sequential(nn.Linear(2, 2), nn.ReLU6())), has_kinks(nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
    (True, False)
    """
    check_module("model", model)
    return any(_replacement(m) is not None or _called(m, RELUS) for m in model.modules())


def set_beta(copy: nn.Module, beta: float | int) -> None:
    """Give every softplus that `softplus_copy` put in the place of a ReLU another beta."""
    beta = check_positive("beta", beta)
    for module in copy.modules():
        if isinstance(module, (SmoothReLU, SmoothReLU6)):
            module.beta = beta
        elif "relu_beta" in module.__dict__:
            module.__dict__["relu_beta"] = beta


class SmoothFunctions(TorchFunctionMode):
    """Inside the block, in this thread, every function that is a ReLU is its softplus.

    >>> with SmoothFunctions(1.0):
    ...     F.relu(torch.zeros(2))
    tensor([0.6931, 0.6931])
    """

    def __init__(self, beta: float | int):
        super().__init__()
        self.beta = float(beta)

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _FUNCTIONS:
            return func(*args, **kwargs)
        x, inplace = _arguments(*args, **kwargs)
        inplace = inplace or func in _IN_PLACE
        source = x.clone() if inplace else x
        value = F.softplus(source, self.beta)
        if func is F.relu6:
            value = value - F.softplus(source - 6, self.beta)
        return x.copy_(value) if inplace else value


_IN_PLACE = (torch.relu_, Tensor.relu_)
_FUNCTIONS = (F.relu, torch.relu, Tensor.relu, F.relu6, *_IN_PLACE)


def _arguments(input: Tensor, inplace: bool = False) -> tuple[Tensor, bool]:
    return input, inplace


@functools.cache
def _smoothed(kind: type[nn.Module]) -> type[nn.Module]:
    """The class of a module whose functional ReLUs are softplus: the same name, the same methods but `forward`."""

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with SmoothFunctions(self.__dict__["relu_beta"]):
            return kind.forward(self, *args, **kwargs)

    named = dict(
        __module__=kind.__module__, __qualname__=kind.__qualname__, __doc__=kind.__doc__, forward=forward
    )
    return type(kind.__name__, (kind,), named)


def _replacement(module: nn.Module) -> Callable[[float], nn.Module] | None:
    if isinstance(module, nn.ReLU) and type(module).forward is nn.ReLU.forward:
        return SmoothReLU
    if isinstance(module, nn.ReLU6) and type(module).forward is nn.ReLU6.forward:
        return SmoothReLU6
    return None


def _called(module: nn.Module, names: tuple[str, ...]) -> bool:
    return "relu_beta" not in module.__dict__ and not functions_called(module).isdisjoint(names)


def unsmoothed(model: nn.Module) -> list[str]:
    """Names of the kinds of kinks that `softplus_copy` leaves as they are, in alphabetical order.

    >>> unsmoothed(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.LeakyReLU()))
    ['LeakyReLU']
    """
    kinked = [
        m for m in model.modules() if isinstance(m, KINKED) and _replacement(m) is None
    ]  # a ReLU6 is a Hardtanh
    kinds = {type(m).__name__ for m in kinked}
    calls = {name for m in model.modules() for name in functions_called(m) if name in OTHER_KINKS}
    scripts = {"parts made by torch.jit" for m in model.modules() if isinstance(m, torch.jit.ScriptModule)}
    return sorted(kinds | calls | scripts)


def _without_hooks(copy: Module) -> Module:
    for module in copy.modules():
        for hooks in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        ):
            for key, hook in list(hooks.items()):
                if not type(hook).__module__.startswith("torch.nn.utils"):
                    del hooks[key]
    return copy
