"""How a network is called: the one way from images to logits, whatever it returns; and which layer its logits are.

A classifier may return a tensor of logits (n, C), (n, 1) or (n,), an object with `.logits`, a dict with `logits` or
`out`, or a tuple that begins with logits. A single logit z is two classes with the scores -z and z: class 1 is the
positive one. Captum's `target=0` of such a network is our class 1. Knows nothing about explanations.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from robustxai.capture import observed
from robustxai.checks import check_callable, check_floats, check_module

Network = Callable[[Tensor], Any]
KEYS = ("logits", "out")
MISFITS = (
    "channels", "shapes cannot be multiplied", "must match", "expected input", "expected scalar type", "Input type",
    "same dtype", "Inference tensors", "meta tensor", "on the same device", "normalized_shape", "is invalid for input",
    "Kernel size can't be greater", "Calculated padded input size", "mat1 and mat2", "size mismatch",
    "expected device", "same datatype", "view size is not compatible", "(batched) input to", "Output size is too small",
)  # fmt: skip
"""Words of torch's errors about an input that does not fit a network; others are raised as they are."""


def logits_of(
    model: Network, x: Tensor, *, name: str = "model", twice: bool = False
) -> Float[Tensor, "n classes"]:
    """The logits (n, C) of a classifier on x (n, ...), with the graph where there is one; (n, 1) for a single logit.

    Args:
        model: any callable; see the head of this module for what it may return.
        name: what sentences call it.
        twice: the graph is differentiated twice, see `PlainAttention`.

    Raises:
        ValueError: x does not fit the network, or it returns no logits (a segmentation map, a list of boxes).

    >>> net = nn.Linear(3, 1)
    >>> logits_of(lambda x: {"logits": net(x)[:, 0]}, torch.zeros(2, 3)).shape
    torch.Size([2, 1])
    """
    check_callable(name, model)
    check_floats("x", x, least=1)
    with fitting(name, x), PlainAttention() if twice else nullcontext():
        output = model(x)
    return as_logits(output, len(x), name=name)


class PlainAttention(TorchFunctionMode):
    """Inside the block, in this thread, attention is computed by its formula: fused kernels have no second derivative.

    The numbers are the same up to rounding.

    >>> q = torch.ones(1, 2, 4, requires_grad=True)
    >>> with PlainAttention():
    ...     out = torch.nn.functional.scaled_dot_product_attention(q, q, q)
    >>> (g,) = torch.autograd.grad(out.square().sum(), q, create_graph=True)
    >>> torch.autograd.grad(g.square().sum(), q)[0].shape
    torch.Size([1, 2, 4])
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options, F = dict(kwargs or {}), torch.nn.functional
        if func is F.multi_head_attention_forward and not options.get("need_weights", True):
            return func(*args, **options | {"need_weights": True})[
                0
            ], None  # what asks for weights uses the formula
        if func is not F.scaled_dot_product_attention:
            return func(*args, **options)
        grouped = options.pop("enable_gqa", False)
        return torch.ops.aten._scaled_dot_product_attention_math(*args, **options, enable_gqa=grouped)[0]


@contextmanager
def fitting(name: str, x: Tensor) -> Iterator[None]:
    """Inside the block, what torch says of an x that does not fit the network `name` is a one-sentence ValueError.

    >>> try:
    ...     with fitting("model", torch.zeros(4, 2)):
    ...         nn.Linear(3, 1)(torch.zeros(4, 2))
    ... except ValueError as error:
    ...     print(str(error).partition(":")[0])
    model does not run on x of shape (4, 2), torch.float32 on cpu
    """
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        if not any(words in str(error) for words in MISFITS):
            raise
        said = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{name} does not run on x of shape {tuple(x.shape)}, {x.dtype} on {x.device}: {said}"
        ) from error


def as_logits(output: Any, n: int, *, name: str = "model") -> Float[Tensor, "n classes"]:
    """What a classifier returned for n samples, as logits (n, C). Raises ValueError where it holds none.

    >>> as_logits({"out": torch.zeros(4)}, 4).shape
    torch.Size([4, 1])
    """
    logits, wrapped = _unwrapped(output)
    if isinstance(logits, Tensor):
        if logits.ndim == 0 and n == 1:
            logits = logits[None]
        if logits.ndim == 1 and len(logits) == n:
            logits = logits[:, None]
        if logits.ndim == 2 and len(logits) == n and logits.shape[1]:
            return logits
        found = f"{wrapped}shape {tuple(logits.shape)} for {n} samples"
    elif isinstance(output, Mapping):
        found = f"a {type(output).__name__} with {', '.join(map(repr, list(output)[:4])) or 'no keys'}"
    else:
        found = f"{wrapped}{type(logits).__name__}"
    raise ValueError(
        f"{name} must return logits (n, classes), got {found}: wrap it in an nn.Module whose "
        "forward(self, x) returns them, such as self.net(x)['scores']"
    )


def _unwrapped(output: Any) -> tuple[Any, str]:
    """The part of an output that should be logits, and words for where it was."""
    if isinstance(output, Tensor):
        return output, ""
    if isinstance(getattr(output, "logits", None), Tensor):
        return output.logits, ".logits of "
    if isinstance(output, Mapping):
        key = next((k for k in KEYS if isinstance(output.get(k), Tensor)), None)
        return (output[key], f"[{key!r}] of ") if key else (None, "")
    if (
        isinstance(output, (tuple, list))
        and output
        and isinstance(output[0], Tensor)
        and isinstance(output, tuple)
    ):
        return output[0], "a tuple that begins with "
    return output, ""


def find_head(model: nn.Module, x: Tensor | None = None) -> nn.Linear:
    """The linear layer whose output is the logits, up to their shape: found by running the network, not by its name.

    x: samples to run it on; None tries made-up images. Raises ValueError where no linear layer gives the logits, or
    where none of the made-up images fits the network.

    >>> net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> find_head(net) is net[2]
    True
    """
    check_module("model", model)
    if isinstance(model, nn.Linear):
        return model
    if not any(isinstance(m, nn.Linear) for m in model.modules()):
        raise ValueError(f"model {type(model).__name__} has no linear layer")
    tried = [x] if x is not None else _probes(model)
    for probe in tried:
        try:
            head = _head_on(model, probe)
        except (ValueError, RuntimeError):
            if x is not None:
                raise
            continue
        if head is None:
            raise ValueError(f"model {type(model).__name__} has no linear layer whose output is the logits")
        return head
    raise ValueError(
        f"the head of {type(model).__name__} was not found with made-up images; pass x, some inputs"
    )


def _head_on(model: nn.Module, x: Tensor) -> nn.Linear | None:
    quiet = copy.deepcopy(model).eval() if any(m.training for m in model.modules()) else model
    seen: list[tuple[nn.Module, Tensor]] = []

    def see(module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen.append((module, output))

    with torch.inference_mode(False), torch.no_grad():
        with observed(*((m, see) for m in quiet.modules() if isinstance(m, nn.Linear))):
            logits = logits_of(quiet, x)
    head = next((m for m, output in reversed(seen) if is_logits(output, logits)), None)
    return next((one for one, two in zip(model.modules(), quiet.modules(), strict=True) if two is head), None)  # pyright: ignore[reportReturnType]


def is_logits(output: Any, logits: Tensor) -> bool:
    """Whether a layer's output is the logits: the same numbers in the same order.

    >>> is_logits(torch.zeros(2, 3, 1, 1), torch.zeros(2, 3))
    True
    """
    return (
        isinstance(output, Tensor)
        and output.numel() == logits.numel()
        and torch.equal(output.reshape(logits.shape), logits)
    )


def _probes(model: nn.Module) -> list[Tensor]:
    """Made-up inputs, most probable first: images of what the first convolution takes, of 3 and of 1 channel."""
    like = next(model.parameters(), torch.zeros((), device="cpu"))
    kind: dict[str, Any] = dict(dtype=like.dtype, device=like.device)
    widths = [m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)][:1]
    sizes = [(c, s, s) for s in (32, 64, 224, 299, 16) for c in dict.fromkeys((*widths, 3, 1))]
    tables = [(m.in_features,) for m in model.modules() if isinstance(m, nn.Linear)][:1]
    order = sizes if widths else tables + sizes
    ramp = [torch.linspace(0, 1, 2 * math.prod(s), **kind).reshape(2, *s) for s in order]
    return [r.sin() for r in ramp]
