"""ACE: counterfactual explanations by an attack through a diffusion filter, refined by diffusion (spec 1 and 3).

Puts filter, attack and refinement together; what each does is written in its own file.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import Tensor

from robustxai.ace.active_set import ActiveSet, Fast
from robustxai.ace.attack_state import State
from robustxai.ace.attacks import ATTACKS, Attack, Watch, check_task
from robustxai.ace.checks import classify
from robustxai.ace.chunks import Chunks
from robustxai.ace.counterfactual import Counterfactual
from robustxai.ace.diffusion_filter import DiffusionFilter
from robustxai.ace.image_noise import Seeds, draw_noise, image_generators
from robustxai.ace.losses import target_probability
from robustxai.ace.refinement import change_mask, refine
from robustxai.checks import check_count, check_name, check_number
from robustxai.metrics.predictions import predicted
from robustxai.models import Network
from robustxai.shapes import Images

MODES = ("strict", "fast")


class ACE:
    """Adversarial counterfactual explanations of a classifier, which is left as it is (Jeanneret et al. 2023).

    Args:
        classifier: images in [0, 1] to logits (n, classes), or (n, 1) for a sigmoid with classes 0 and 1; in eval
            mode. It may return them in any way that `robustxai.models` knows.
        filter: the diffusion filter; None is the plain attack, the control, without refinement.
        attack: "pgd", "gd", "cw" with `options` of `Attack` (steps, step, eps, distance, lam, schedule, route,
            draws), or an `Attack`. The defaults are the paper's for faces of 128 pixels and more: at 32 pixels
            lam about 0.016 and dilation 3 take their place (spec 9.2).
        threshold, dilation: of the mask, see `change_mask`.
        batch_size: images at once; when memory runs out it is halved, with a notice. It changes no result.
        fast: what `mode="fast"` does.

    Several threads may use one object and one classifier at the same time. Raises ValueError for settings out of
    range.

    >>> brightness = lambda x: 20 * (x.mean((1, 2, 3)) - 0.5)[:, None]
    >>> found = ACE(brightness, None, steps=30).explain(torch.full((1, 1, 4, 4), 0.45))
    >>> found.prediction, found.target, found.flipped
    (tensor([0]), tensor([1]), tensor([True]))
    """

    def __init__(
        self,
        classifier: Network,
        filter: DiffusionFilter | None,
        *,
        attack: str | Attack = "pgd",
        threshold: float | int = 0.15,
        dilation: int = 15,
        batch_size: int = 64,
        fast: Fast | None = None,
        **options: Any,
    ):
        if isinstance(attack, Attack):
            if options:
                raise ValueError(
                    f"options must go with the name of an attack, got {', '.join(options)} beside an Attack"
                )
        else:
            check_name("attack", attack, tuple(ATTACKS))
            unknown = [name for name in options if name not in Attack.__dataclass_fields__ or name == "loss"]
            if unknown:
                known = ", ".join(name for name in Attack.__dataclass_fields__ if name != "loss")
                raise ValueError(f"options must be among {known}, got {unknown[0]!r}")
        if not callable(classifier):
            raise ValueError(f"classifier must be a network, got {type(classifier).__name__}")
        batch_size = check_count("batch_size", batch_size)
        threshold = check_number("threshold", threshold)
        dilation = check_count("dilation", dilation)
        if dilation % 2 == 0:
            raise ValueError(f"dilation must be an odd integer >= 1, got {dilation}")
        self.classifier, self.filter = classifier, filter
        self.attack = attack if isinstance(attack, Attack) else ATTACKS[attack](**options)
        self.threshold, self.dilation, self.batch_size = threshold, dilation, batch_size
        self.fast = Fast() if fast is None else fast

    def explain(
        self,
        x: Images,
        target: int | Int[Tensor, " n"] | None = None,
        *,
        mode: str = "strict",
        generators: Seeds = 0,
        progress: bool | str = False,
        watch: Watch | None = None,
    ) -> Counterfactual:
        """Counterfactuals of images `x` (n, C, H, W) in [0, 1]; pixels up to 1e-5 outside are moved inside.

        Args:
            target: target class of each, never the predicted one; None for the other of two classes, or the
                second most probable of more.
            mode: "strict" is the paper: all steps, the last iterate, every denoising step. "fast" is `fast`.
            generators: of all noise; an integer gives each image the same noise in any batch, see
                `image_generators`.
            progress: a bar on stderr, where that is a terminal; a string is its title.
            watch: called with index (m,), updates made (m,) and images (m, C, H, W) along the way.

        An interrupt (Ctrl-C) keeps the images that are finished, with a warning, and is raised if there are none.
        Raises ValueError for bad input: see `Attack.perturb`, and gradients that are not finite.
        """
        check_name("mode", mode, MODES)
        fast = self.fast if mode == "fast" else None
        attack = self.attack if fast is None or fast.attack is None else fast.attack
        chunks = Chunks(self.batch_size)
        with torch.inference_mode(False):
            x, logits, target = check_task(self.classifier, self.filter, x, target, chunks=chunks)
            parts: dict[int, Counterfactual] = {}
            tried: dict[int, Counterfactual] = {}

            def finish(state: State, last: Tensor) -> tuple[State, Tensor]:
                state, part = self._finish(attack, state, logits, chunks)
                leave = last | self.fast.accepts(part.flipped, part.after)
                for row, index in enumerate(state.index.tolist()):
                    tried[index] = _better(part[row : row + 1], tried.get(index))
                    if leave[row]:
                        parts[index] = tried[index]
                return state, leave

            state = attack.start(x, target, image_generators(x, generators))
            used = self.filter if fast is None else fast.filter(self.filter)
            try:
                with _bar(progress) as bar:
                    title = progress if isinstance(progress, str) else f"ACE, {mode}"
                    task = bar.add_task(title, total=len(x) * attack.steps)
                    ActiveSet(
                        attack=attack, classifier=self.classifier, filter=used, finish=finish,
                        slots=self.batch_size, chunks=chunks, fast=fast, watch=watch,
                        advance=lambda steps: bar.advance(task, steps),
                    ).run(state)  # fmt: skip
            except KeyboardInterrupt:
                if not parts:
                    raise
                warnings.warn(
                    f"interrupted: {len(parts)} of {len(x)} images are finished, see Counterfactual.finished",
                    RuntimeWarning,
                    stacklevel=2,
                )
            rows = [
                parts[i] if i in parts else _untouched(state.pick(slice(i, i + 1)), logits)
                for i in range(len(x))
            ]
            return Counterfactual.joined(rows)

    def _finish(
        self, attack: Attack, state: State, logits: Tensor, chunks: Chunks
    ) -> tuple[State, Counterfactual]:
        """Refine the images of a state; its cost is counted in the state that is returned."""
        pre, x = attack.result(state), state.clean
        if self.filter is None:
            mask, image = (pre != x).any(1, keepdim=True), pre
        else:
            filter = self.filter
            mask = change_mask(x, pre, threshold=self.threshold, dilation=self.dilation)
            noise, known = (draw_noise(x, state.generators, filter.tau) for _ in range(2))
            (image,) = chunks.run(
                lambda r: (refine(x[r], pre[r], mask[r], filter, noise[r], known[r]),), len(x)
            )
            state = replace(state, forwards=state.forwards + filter.tau)
        with torch.no_grad():
            before = logits[state.index]
            between, after = chunks.run(
                lambda r: (classify(self.classifier, pre[r]), classify(self.classifier, image[r])), len(x)
            )
        t = state.target
        return state, Counterfactual(
            x=x, pre=pre, mask=mask, image=image, prediction=predicted(before), target=t,
            flipped=predicted(after) == t, pre_flipped=predicted(between) == t,
            before=target_probability(before, t), between=target_probability(between, t),
            after=target_probability(after, t), steps=state.k, unet_forwards=state.forwards,
            unet_backwards=state.backwards, finished=torch.ones_like(t, dtype=torch.bool),
        )  # fmt: skip


def _better(new: Counterfactual, old: Counterfactual | None) -> Counterfactual:
    """Of one image's tries the one with the more probable target, at the cost so far."""
    if old is None or bool(new.after >= old.after):
        return new
    return replace(old, unet_forwards=new.unet_forwards, unet_backwards=new.unet_backwards)


def _untouched(state: State, logits: Tensor) -> Counterfactual:
    """An image that was not finished: the input itself."""
    x, before, no = state.clean, logits[state.index], torch.zeros_like(state.target, dtype=torch.bool)
    p = target_probability(before, state.target)
    mask = torch.zeros_like(x[:, :1], dtype=torch.bool)
    return Counterfactual(
        x=x, pre=x, mask=mask, image=x, prediction=predicted(before), target=state.target, flipped=no,
        pre_flipped=no, before=p, between=p, after=p, steps=state.k, unet_forwards=state.forwards,
        unet_backwards=state.backwards, finished=no,
    )  # fmt: skip


def _bar(progress: bool | str) -> Progress:
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not progress or not console.is_terminal)
