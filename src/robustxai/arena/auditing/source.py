"""`Source`: a network and what its maker says of it, and what all kinds of sources share: weights, seeds, options.

Knows files of weights and modules; knows no library of networks.
"""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs

import torch
from torch import Tensor, nn

from robustxai.nets.adapters import read_state


@dataclass(frozen=True)
class Source:
    """A network and what its maker says of it.

    name: for the report. mean, std: of the normalisation that must come first, None where there is none. size: of the
    images' sides, None where any will do. classes: names, empty where unknown. notes: sentences for the report.

    >>> Source(nn.Identity(), "mine").classes
    ()
    """

    net: nn.Module
    name: str
    mean: Sequence[float | int] | None = None
    std: Sequence[float | int] | None = None
    size: int | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_weights(path: str) -> dict[str, Tensor]:
    """The tensors of a state dict, or of safetensors; no pickled object is ever made. Raises ValueError."""
    try:
        return read_state(path)
    except ValueError as error:
        if "weights only load failed" in str(error).lower() or "WeightsUnpickler" in str(error):
            raise ValueError(
                f"weights {path} hold pickled objects, and reading those can run any code, so they are refused: save "
                "model.state_dict(), or safetensors"
            ) from error
        raise


def classes_of(state: Mapping[str, Tensor] | None) -> int:
    """How many classes a state dict has: the length of its last tensor, that of the head; ImageNet's 1,000 without."""
    return 1000 if state is None else len(list(state.values())[-1])


def fill(net: nn.Module, state: Mapping[str, Tensor] | None, path: str | None) -> None:
    """Load a state dict; ValueError in one sentence where it does not fit."""
    if state is None:
        return
    try:
        net.load_state_dict(dict(state))
    except RuntimeError as error:
        said = " ".join(str(error).split())[:160]
        raise ValueError(f"weights {path} do not fit {type(net).__name__}: {said}") from error


def unweighted(state: object) -> tuple[str, ...]:
    """The note of a network without weights."""
    return (
        ()
        if state is not None
        else ("No weights were given, so this network is random: it has learned nothing.",)
    )


@contextmanager
def seeded(seed: int):
    """Inside the block torch draws from this seed; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def name_and_options(written: str, kind: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """NAME?key=value&key=value. Raises ValueError for other keys."""
    name, _, query = written.partition("?")
    options = {key: values[-1] for key, values in parse_qs(query, keep_blank_values=True).items()}
    if wrong := [key for key in options if key not in known]:
        raise ValueError(f"{kind}:NAME takes {' and '.join(known)}, got {wrong[0]!r}")
    if "classes" in options and not (options["classes"].isdecimal() and int(options["classes"])):
        raise ValueError(f"classes must be an integer >= 1, got {options['classes']!r}")
    return name, options
