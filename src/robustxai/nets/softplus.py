"""Softplus in place of ReLU: the surrogate that gives attacks a curvature, and the SP baseline.

Knows modules only. A ReLU that a network calls as a function cannot be seen here, so such networks are refused
when they hold no `nn.ReLU` at all.
"""

from copy import deepcopy
from typing import TypeVar

from torch import nn

from robustxai.checks import check_positive

Module = TypeVar("Module", bound=nn.Module)


class SmoothReLU(nn.Softplus):
    """A softplus that stands for a ReLU, so that an attack can raise the beta of these and of no others."""


def softplus_copy(model: Module, beta: float | int = 10.0) -> Module:
    """A deep copy of `model` with every `nn.ReLU` replaced by softplus, log(1 + exp(beta u)) / beta.

    beta -> infinity is ReLU; 0.5 is nearly linear on the usual range (spec 5, SP). The copy shares no weights
    with the model. ValueError if the model holds no `nn.ReLU`, or if beta is not above 0.

    >>> softplus_copy(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), beta=5)[1]
    SmoothReLU(beta=5.0, threshold=20.0)
    """
    beta = check_positive("beta", beta)
    copy = deepcopy(model)
    # not named_children, which names a module that is used twice only once
    found = [
        (parent, name)
        for parent in copy.modules()
        for name, m in parent._modules.items()
        if type(m) is nn.ReLU
    ]
    if not found:
        raise ValueError(
            "model holds no nn.ReLU module to replace by softplus; accepted are networks whose ReLUs are modules"
        )
    for parent, name in found:
        setattr(parent, name, SmoothReLU(beta).train(copy.training))
    return copy


def has_kinks(model: nn.Module) -> bool:
    """Whether `softplus_copy` finds something to replace."""
    return any(type(m) is nn.ReLU for m in model.modules())
