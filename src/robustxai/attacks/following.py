"""Whose derivatives an attack follows: the explainer's own, those of a stand-in, or none, which is said once.

A guide is a function from the current inputs to an explainer, such as `explain.guide`: a softplus copy, a frozen path.
"""

import inspect
import itertools
import warnings

from torch import Tensor, nn

from robustxai.nets.softplus import set_beta, softplus_copy
from robustxai.shapes import Explain, Guide


def softened(explain: Explain, beta: float) -> tuple[nn.Module, Explain] | None:
    """A softplus copy of an explainer's network and the explainer on it; None without `.model` and `.on(model)`."""
    network, on = getattr(explain, "model", None), getattr(explain, "on", None)
    if network is None or on is None:
        return None
    smooth = softplus_copy(network, beta)
    return smooth, on(smooth)


def surrogate(explain: Explain, beta: float) -> Guide:
    """The guide that `surrogate_beta` stands for: the explainer on a softplus copy, or its own guide with that beta.

    ValueError for an explainer that has neither `.model` and `.on(model)` nor `.guide(x)`.
    """
    if (found := softened(explain, beta)) is not None:
        return lambda x: found[1]
    guide = getattr(explain, "guide", None)
    if guide is None:
        raise ValueError(
            "surrogate_beta must be None for an explainer without `model` and `.on(model)` (Saliency has them) and "
            f"without `.guide(x)`, got {beta} for {type(explain).__name__}"
        )
    if "beta" in inspect.signature(guide).parameters:
        return lambda x: guide(x, beta=beta)
    return guide


def annealed(smooth: nn.Module, explain: Explain, betas: tuple[float, float], steps: int) -> Guide:
    """The guide of an explainer on a softplus copy whose beta grows geometrically, asked anew at each of the steps."""
    first, last = betas
    schedule = itertools.cycle([first * (last / first) ** (i / max(1, steps - 1)) for i in range(steps)])

    def guide(_: Tensor) -> Explain:
        set_beta(smooth, next(schedule))
        return explain

    return guide


def warn_unfollowed() -> None:
    """Say that nothing was attacked, because what should be followed has no graph to the input: to who called the
    caller of this."""
    warnings.warn(
        "explain has no gradient in x to follow, so nothing was attacked and no robustness was measured; pass guide=, "
        "or an explainer that keeps its graph where x requires a gradient",
        stacklevel=3,
    )
