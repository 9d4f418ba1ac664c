"""What a tensor becomes on disk, and back: half precision, or eight bits a weight as a difference from a base.

Knows numbers and names, and nothing about files, networks or parents.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import pad

DTYPES = {"fp16": torch.float16, "fp32": torch.float32, "int8": torch.int8}
"""How networks are stored. "int8" is for weights of two dimensions or more; all else of such a network is float16."""
STEP, BLOCK = ":step", 16
"""What is added to the name of a tensor of eight bits to name its steps, and how many weights share one."""


def as_stored(name: str, value: Tensor, dtype: str) -> Tensor:
    """The tensor as "fp16" or "fp32" storage keeps it, and as "int8" does what it leaves at 16 bits; integers are
    unchanged. Raises ValueError for another dtype, or where a number is no longer finite.

    >>> as_stored("a", torch.tensor(1 / 3), "fp16").item()
    0.333251953125
    """
    if dtype not in tuple(DTYPES):
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    if not value.is_floating_point():
        return value
    dtype = "fp16" if dtype == "int8" else dtype
    stored = value.to(DTYPES[dtype])
    if not stored.isfinite().all():
        raise ValueError(f"tensor {name} must be finite as {dtype}, got a number that is not")
    return stored


def to_disk(
    state: Mapping[str, Tensor], dtype: str, base: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The tensors that are written for a state; those that equal `base` once stored are left out.

    With "int8", weights w become whole numbers q in [-127, 127] and, for each 16 in a row, one whole number s, with
    w = base + 2^s q; so that storing what was stored changes nothing. Raises ValueError for another dtype, a base of
    other tensors, or a number that storage does not keep finite.

    >>> kept = to_disk({"w": torch.tensor([[0.5, 0.24]])}, "int8", {"w": torch.zeros(1, 2)})
    >>> kept["w"].tolist(), kept["w:step"].tolist()
    ([[64, 31]], [-7])
    """
    if base is not None and {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in base.items()}:
        raise ValueError("parent must have the same tensors as the network, got others")
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        plain = as_stored(key, value, dtype)
        if dtype == "int8" and value.is_floating_point() and value.ndim > 1:
            codes, step = _eight_bits(value.float() - (0 if base is None else base[key].float()))
            if base is None or codes.any():
                found |= {key: codes, f"{key}{STEP}": step}
        elif base is None or not torch.equal(plain.cpu(), as_stored(key, base[key], dtype).cpu()):
            found[key] = plain
    return found


def from_disk(stored: Mapping[str, Tensor], base: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The state of what `to_disk` wrote, over `base`: floating tensors as float32, integers as they are.

    Raises ValueError for eight bits without as many steps as they need, or with a base of another shape.

    >>> from_disk(to_disk({"w": torch.tensor([[0.5, 0.24]])}, "int8"))["w"].tolist()
    [[0.5, 0.2421875]]
    """
    state = dict(base or {})
    for key, value in stored.items():
        if f"{key}{STEP}" in stored:
            least = -(-value.numel() // BLOCK)
            if stored[f"{key}{STEP}"].shape != (least,) or (key in state and state[key].shape != value.shape):
                raise ValueError(
                    f"tensor {key} of eight bits must have {least} steps and the shape of its base"
                )
            step = torch.exp2(stored[f"{key}{STEP}"].float())
            moved = value.float() * step.repeat_interleave(BLOCK)[: value.numel()].view(value.shape)
            state[key] = state[key] + moved if key in state else moved
        elif not key.endswith(STEP):
            state[key] = value.float() if value.is_floating_point() else value
    return state


def _eight_bits(value: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers in [-127, 127] like `value`, and for each block of weights the power of its step of two."""
    blocks = pad(value.flatten(), (0, -value.numel() % BLOCK)).view(-1, BLOCK)
    if not blocks.isfinite().all():
        raise ValueError("weights must be finite to be stored as int8, got a number that is not")
    largest = blocks.abs().amax(1)
    power = (largest / 127).log2().ceil().clamp(-100, 100)
    codes = (blocks / torch.exp2(power)[:, None]).round().clamp(-127, 127)
    return codes.flatten()[: value.numel()].view(value.shape).to(torch.int8), power.to(torch.int8)
