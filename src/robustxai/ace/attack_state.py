"""Per-image attack state, independent of batch composition.

Knows rows only; knows nothing about networks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from robustxai.shapes import Count, Images


@dataclass(frozen=True)
class State:
    """n images on their way. clean, v: input and optimised variable. index: which image of the call it is.

    k: updates made. held: evaluations in a row with a confident target. wait: evaluations before the image is tried
    as finished. forwards, backwards: passes of the denoising network so far. generators: each image's own.
    """

    clean: Images
    v: Images
    target: Count
    index: Count
    k: Count
    held: Count
    wait: Count
    forwards: Count
    backwards: Count
    generators: list[torch.Generator]

    @staticmethod
    def new(clean: Images, v: Images, target: Count, generators: list[torch.Generator]) -> State:
        """The state before the first step."""
        zero = torch.zeros_like(target)
        index = torch.arange(len(clean), device=clean.device)
        return State(clean, v, target, index, zero, zero, zero, zero, zero, generators)

    def __len__(self) -> int:
        return len(self.clean)

    def pick(self, rows: Tensor | slice) -> State:
        """The images of these rows: a slice, or a mask."""
        parts = {name: getattr(self, name)[rows] for name in STATE_FIELDS}
        kept = torch.arange(len(self), device=self.clean.device)[rows]
        return State(**parts, generators=[self.generators[i] for i in kept.tolist()])

    @staticmethod
    def joined(states: list[State]) -> State:
        """Several states as one, in order."""
        parts = {name: torch.cat([getattr(s, name) for s in states]) for name in STATE_FIELDS}
        return State(**parts, generators=[g for s in states for g in s.generators])


STATE_FIELDS = tuple(f.name for f in fields(State) if f.name != "generators")
