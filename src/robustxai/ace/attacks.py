"""The attacks of ACE: one loop over images, three step rules, with the diffusion filter or without (spec 3.4 to 3.7).

The attacker changes one image within `eps` and [0, 1], knows classifier and filter, and wants the target class.
What is optimised is the clean image; the filter is inside the loss only. The loop is its own, and not the descent of
`robustxai.attacks`: images enter and leave while others go on (`active_set`), each with its own noise and its own count
of steps, the gradient may take a shortcut through the filter, and the result is the last iterate and not the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from robustxai.ace.attack_state import State
from robustxai.ace.checks import classify, target_class
from robustxai.ace.chunks import Chunks
from robustxai.ace.diffusion_filter import DiffusionFilter, check_filter
from robustxai.ace.filter_gradients import ROUTES, class_gradient, passes
from robustxai.ace.image_noise import Seeds, draw_noise, image_generators
from robustxai.ace.losses import DISTANCES, SCHEDULES, distance_gradient, distance_weight
from robustxai.attacks.budget import Budget
from robustxai.checks import check_count, check_images, check_name, check_number
from robustxai.eval_mode import check_calm
from robustxai.models import Network
from robustxai.shapes import Count, Images, Logits

Watch = Callable[[Count, Count, Images], object]
CW_SHIFT = 1e-5
"""c of the C&W variant: tanh space reaches 1 + 2c, so that 1 has a finite code; the first step clamps that of 0."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What all attacks share; a new one writes `_move`, and `encode` and `image` if it works in another space.

    steps: K, updates. step: alpha, in units of the image (of the code for C&W). eps: l_inf budget; 1 is none.
    distance, lam: lambda times this distance is added to the loss; schedule: its weight over the steps. route:
    how the gradient passes the filter, see `ROUTES`. draws: gradients averaged over as many noises at each step.
    The defaults are the paper's on faces. Raises ValueError for values out of range.

    >>> class Sideways(PGD):
    ...     def _move(self, v, clean, gradient):
    ...         return self.budget.project(v - self.step * gradient.sign().flip(-1), clean)
    >>> Sideways(steps=3).steps
    3
    """

    steps: int = 50
    step: float | int = 1 / 255
    eps: float | int = 1.0
    distance: str = "l1"
    lam: float | int = 0.001
    schedule: str = "constant"
    route: str = "full"
    draws: int = 1
    loss: ClassVar[str] = "ce"

    def __post_init__(self) -> None:
        check_count("steps", self.steps, 0)
        check_count("draws", self.draws)
        check_number("step", self.step, strict=True)
        check_number("eps", self.eps)
        check_number("lam", self.lam)
        check_name("distance", self.distance, DISTANCES)
        check_name("schedule", self.schedule, SCHEDULES)
        check_name("route", self.route, ROUTES)

    def encode(self, x: Images) -> Images:
        """The optimised variable of an image."""
        return x

    def image(self, v: Images) -> Images:
        """The image of an optimised variable."""
        return v

    def _move(self, v: Images, clean: Images, gradient: Images) -> Images:
        raise NotImplementedError

    @property
    def budget(self) -> Budget:
        """What no iterate leaves."""
        return Budget(self.eps)

    def start(self, x: Images, target: Int[Tensor, " n"], generators: list[torch.Generator]) -> State:
        """The state before the first step."""
        return State.new(x, self.encode(x), target, generators)

    def result(self, state: State) -> Images:
        """The images of a state; those without an update are the input itself."""
        return torch.where((state.k > 0).view(-1, 1, 1, 1), self.image(state.v), state.clean)

    def look(
        self, classifier: Network, filter: DiffusionFilter | None, state: State, chunks: Chunks
    ) -> tuple[State, Images, Images, Logits]:
        """The state with its cost, its images, the gradient of the whole objective, the logits on filtered images.

        Fresh noise at each evaluation. Raises ValueError when a gradient is not finite.
        """
        image = self.image(state.v)
        tau = 0 if filter is None else filter.tau
        gradients, answers = [], []
        for _ in range(self.draws if tau else 1):
            noise = draw_noise(image, state.generators, tau)

            def part(rows: slice, noise: Tensor = noise) -> tuple[Tensor, ...]:
                return class_gradient(
                    classifier, chunks.filter(filter), image[rows], state.target[rows], noise[rows],
                    route=self.route, loss=self.loss,
                )  # fmt: skip

            gradient, logits = chunks.run(part, len(state))
            gradients.append(gradient)
            answers.append(logits)
        gradient, logits = torch.stack(gradients).mean(0), torch.stack(answers).mean(0)
        bad = int((~gradient.isfinite().flatten(1).all(1)).sum())
        if bad:
            raise ValueError(
                "classifier and filter must have finite gradients, "
                f"got gradients that are not finite for {bad} of {len(state)} images"
            )
        weight = self.lam * distance_weight(state.k, self.steps, self.schedule).to(gradient)
        pull = weight.view(-1, 1, 1, 1) * distance_gradient(state.clean, image, self.distance)
        forwards, backwards = passes(chunks.filter(filter), self.route)
        state = replace(
            state,
            forwards=state.forwards + len(answers) * forwards,
            backwards=state.backwards + len(answers) * backwards,
        )
        return state, image, gradient + pull, logits

    def update(self, state: State, gradient: Images) -> State:
        """The state one step on."""
        return replace(state, v=self._move(state.v, state.clean, gradient), k=state.k + 1)

    def perturb(
        self,
        classifier: Network,
        x: Images,
        target: int | Int[Tensor, " n"] | None = None,
        *,
        filter: DiffusionFilter | None = None,
        generators: Seeds = 0,
        chunks: Chunks | None = None,
        watch: Watch | None = None,
    ) -> Images:
        """The last of `steps` iterates from images `x` in [0, 1]: no early stop, no choice (spec 3.4).

        x: pixels up to 1e-5 outside, which resizing leaves, are moved into [0, 1]. classifier: any way to logits, see
        `robustxai.models`. target: the target class, None for the other of two classes or the second most probable of
        more. filter: None is the plain attack. generators: of the filter's noise, see `image_generators`. chunks: how
        many images at once. watch: called with index (n,), updates made (n,) and images at the start and after each
        update.
        Raises ValueError for bad input.
        """
        with torch.inference_mode(False):
            chunks = Chunks() if chunks is None else chunks
            x, _, target = check_task(classifier, filter, x, target, chunks=chunks)
            state = self.start(x, target, image_generators(x, generators))
            for _ in range(self.steps):
                state, image, gradient, _ = self.look(classifier, filter, state, chunks)
                if watch is not None:
                    watch(state.index, state.k, image)
                state = self.update(state, gradient)
            image = self.result(state)
            if watch is not None:
                watch(state.index, state.k, image)
        return image


class PGD(Attack):
    """x' <- clip(x' - alpha sign(g)), the default of the paper (spec 3.4).

    >>> brightness = lambda x: 20 * (x.mean((1, 2, 3)) - 0.5)[:, None]
    >>> moved = PGD(steps=30).perturb(brightness, torch.full((1, 1, 4, 4), 0.45))
    >>> bool(brightness(moved) > 0)
    True
    """

    def _move(self, v: Images, clean: Images, gradient: Images) -> Images:
        return self.budget.project(v - self.step * gradient.sign(), clean)


class GD(Attack):
    """x' <- clip(x' - alpha g), without the sign (spec 3.5).

    >>> brightness = lambda x: 20 * (x.mean((1, 2, 3)) - 0.5)[:, None]
    >>> moved = GD(steps=30, step=0.05).perturb(brightness, torch.full((1, 1, 4, 4), 0.45))
    >>> bool(brightness(moved) > 0)
    True
    """

    def _move(self, v: Images, clean: Images, gradient: Images) -> Images:
        return self.budget.project(v - self.step * gradient, clean)


class CW(Attack):
    """Carlini and Wagner's variant in tanh space, with the margin loss (spec 3.6).

    Codes are clamped to [-3, 3], so images stay inside [0.0025, 0.9975] and `eps` is not used. Returned is the
    image of the last code; the released code returns the one before. At the default `step` it barely moves.

    >>> brightness = lambda x: 20 * (x.mean((1, 2, 3)) - 0.5)[:, None]
    >>> moved = CW(steps=30, step=0.1).perturb(brightness, torch.full((1, 1, 4, 4), 0.45))
    >>> bool(brightness(moved) > 0)
    True
    """

    loss: ClassVar[str] = "margin"

    @property
    def budget(self) -> Budget:
        return Budget()

    def encode(self, x: Images) -> Images:
        return (2 * x / (1 + CW_SHIFT) - 1).atanh()

    def image(self, v: Images) -> Images:
        return ((v.tanh() + 1) * (CW_SHIFT + 0.5)).clamp(0, 1)

    def _move(self, v: Images, clean: Images, gradient: Images) -> Images:
        slope = (CW_SHIFT + 0.5) * (1 - v.tanh().square())
        return (v - self.step * gradient * slope).clamp(-3, 3)


ATTACKS: dict[str, type[Attack]] = {"pgd": PGD, "gd": GD, "cw": CW}


def check_task(
    classifier: Network,
    filter: DiffusionFilter | None,
    x: Images,
    target: int | Tensor | None,
    *,
    chunks: Chunks,
) -> tuple[Images, Logits, Count]:
    """A copy of images that fit classifier and filter, their clean logits and target classes; else ValueError."""
    x = check_images("x", x).detach().clone().clamp_(0, 1)
    check_calm("classifier", classifier)
    check_filter(filter)
    if filter is not None:
        check_calm("unet", filter.unet)
        filter.denoiser.check(x)
    with torch.no_grad():
        (logits,) = chunks.run(lambda rows: (classify(classifier, x[rows]),), len(x))
    return x, logits, target_class(target, logits)
