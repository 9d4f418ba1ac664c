"""The active set: images enter as others leave, and in fast mode leave as soon as they are done (spec 8.3).

Strict mode is the same loop in which each image leaves after its last step. Knows when an image is done; knows
nothing about what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robustxai.ace.attack_state import State
from robustxai.ace.attacks import Attack, Watch
from robustxai.ace.checks import classify
from robustxai.ace.chunks import Chunks
from robustxai.ace.diffusion_filter import DiffusionFilter, check_filter
from robustxai.ace.losses import target_probability
from robustxai.checks import check_count, shown
from robustxai.metrics.predictions import predicted
from robustxai.models import Network

Finish = Callable[[State, Tensor], tuple[State, Tensor]]
RETRY = 4  # evaluations until an image whose refined form was not good enough is tried again


@dataclass(frozen=True, kw_only=True)
class Fast:
    """How fast mode differs from strict mode; its results differ too and are to be named "ACE-fast".

    tau: denoising steps of the attack's filter, at the strict filter's noise level; refinement keeps all. bf16:
    the denoising network under autocast. attack: one of its own, None for that of strict mode. confidence,
    patience: an image is done when p(target | filtered) is above `confidence` for `patience` evaluations in a row
    and the classifier flips on the unfiltered image. confirm: and the refined one flips with a probability above
    this; else the attack goes on and the image is tried again `RETRY` evaluations later, up to `tries` times; the best
    try is kept. None: not required.

    The patience gives the distance time to take back what the decision does not need. On the first 64 test faces and
    three classifiers, patience 2 had transitions (COUT) 0.35 below those of strict mode; patience 12 has the same ones
    and the same flips, for a sixth of the passes.

    >>> Fast(tau=2, confirm=None).accepts(torch.tensor([False]), torch.tensor([0.2]))
    tensor([True])
    """

    tau: int = 1
    bf16: bool = False
    attack: Attack | None = None
    confidence: float | int = 0.97
    patience: int = 12
    confirm: float | int | None = 0.97
    tries: int = 4

    def __post_init__(self) -> None:
        check_count("tau", self.tau)
        check_count("patience", self.patience)
        check_count("tries", self.tries)
        for name, value in (
            ("confidence", self.confidence),
            ("confirm", 0 if self.confirm is None else self.confirm),
        ):
            try:
                inside = not isinstance(value, (bool, str)) and 0 <= float(value) < 1
            except (TypeError, ValueError, RuntimeError):
                inside = False
            if not inside:
                raise ValueError(f"{name} must be a number in [0, 1), got {shown(value)}")
        if self.attack is not None and not isinstance(self.attack, Attack):
            raise ValueError(f"attack must be an Attack or None, got {self.attack!r}")

    def accepts(self, flipped: Tensor, probability: Tensor) -> Tensor:
        """Which refined images are good enough to stop at."""
        if self.confirm is None:
            return torch.ones_like(flipped)
        return flipped & (probability > self.confirm)

    def filter(self, filter: DiffusionFilter | None) -> DiffusionFilter | None:
        """The attack's filter."""
        check_filter(filter)
        if filter is None or filter.tau == 0:
            return filter
        return filter.fewer(self.tau).with_(bf16=True) if self.bf16 else filter.fewer(self.tau)


@dataclass(frozen=True, kw_only=True)
class ActiveSet:
    """Attacks images, at most `slots` at a time, and hands each to `finish`.

    finish(state, last) takes images that may be done; it returns their states and which of them left. Where `last` an
    image leaves in any case. advance: called with the number of steps made or saved.
    """

    attack: Attack
    classifier: Network
    filter: DiffusionFilter | None
    finish: Finish
    slots: int
    chunks: Chunks
    fast: Fast | None = None
    watch: Watch | None = None
    advance: Callable[[int], object] = lambda steps: None

    def run(self, waiting: State) -> None:
        """Attack the `waiting` images until all have left."""
        attack, watch, fast = self.attack, self.watch, self.fast
        if fast is not None:
            waiting = replace(waiting, wait=torch.full_like(waiting.wait, fast.patience))
        active, waiting = waiting.pick(slice(0, self.slots)), waiting.pick(slice(self.slots, None))
        while len(active):
            over = active.k >= attack.steps
            if over.any():
                if watch is not None:
                    last = active.pick(over)
                    watch(last.index, last.k, attack.result(last))
                self.finish(active.pick(over), over[over])
                active, waiting = self._refill(active.pick(~over), waiting)
                continue
            active, image, gradient, logits = attack.look(self.classifier, self.filter, active, self.chunks)
            if watch is not None:
                watch(active.index, active.k, image)
            if fast is not None:
                active, left = self._retire(active, image, logits, fast)
                if left.any():
                    self.advance(int((attack.steps - active.k[left]).sum()))
                    active, gradient = active.pick(~left), gradient[~left]
            if len(active):
                self.advance(len(active))
                active = attack.update(active, gradient)
            active, waiting = self._refill(active, waiting)

    def _refill(self, active: State, waiting: State) -> tuple[State, State]:
        free = self.slots - len(active)
        if not free or not len(waiting):
            return active, waiting
        return State.joined([active, waiting.pick(slice(0, free))]), waiting.pick(slice(free, None))

    def _retire(self, active: State, image: Tensor, logits: Tensor, fast: Fast) -> tuple[State, Tensor]:
        """The states with their counts of confident evaluations, and which images left."""
        sure = target_probability(logits, active.target) > fast.confidence
        held = torch.where(sure, active.held + 1, 0)
        ready = held >= active.wait
        if ready.any():
            with torch.no_grad():
                classes = predicted(classify(self.classifier, image[ready]))
                ready[ready.clone()] = classes == active.target[ready]
        active = replace(active, held=held)
        left = torch.zeros_like(ready)
        if ready.any():
            last = active.wait >= fast.patience + RETRY * (fast.tries - 1)
            tried, gone = self.finish(active.pick(ready), last[ready])
            tried = replace(tried, wait=tried.wait + RETRY)
            active, left[ready] = _put(active, ready, tried), gone
        return active, left


def _put(state: State, rows: Tensor, part: State) -> State:
    """The state with the counts of `part` in these rows; the images themselves are the same."""
    counts = {}
    for name in ("held", "wait", "forwards", "backwards"):
        column = getattr(state, name).clone()
        column[rows] = getattr(part, name)
        counts[name] = column
    return replace(state, **counts)
