"""What ACE returns: the counterfactuals, how they came about, and what they cost.

Knows shapes only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool
from torch import Tensor

from robustxai.shapes import Count, Images, PerSample

Flag = Bool[Tensor, " n"]


@dataclass(frozen=True)
class Counterfactual:
    """Counterfactuals of n images, one row an image.

    x: inputs. pre: pre-explanations, the attack's result, not filtered. mask: inpainted pixels. image: the
    counterfactuals, equal to `x` outside the mask. prediction, target: clean class and target class. flipped,
    pre_flipped: `image` and `pre` are classified as the target. before, between, after: probability of the target
    at x, pre, image. steps: updates made. unet_forwards, unet_backwards: passes of the denoising network for
    this image, refinement included. finished: False for images that an interrupt left; they are `x` still. Raises
    ValueError for columns of different lengths.

    >>> from robustxai.ace import ACE
    >>> brightness = lambda x: 20 * (x.mean((1, 2, 3)) - 0.5)[:, None]
    >>> found = ACE(brightness, None, steps=30).explain(torch.tensor([0.45, 0.1]).view(2, 1, 1, 1).expand(2, 1, 4, 4))
    >>> found.flip_rate, len(found[found.flipped])
    (0.5, 1)
    """

    x: Images
    pre: Images
    mask: Bool[Tensor, "n 1 height width"]
    image: Images
    prediction: Count
    target: Count
    flipped: Flag
    pre_flipped: Flag
    before: PerSample
    between: PerSample
    after: PerSample
    steps: Count
    unet_forwards: Count
    unet_backwards: Count
    finished: Flag

    def __post_init__(self) -> None:
        lengths = {f.name: len(getattr(self, f.name)) for f in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns must have one row for each image, got {lengths}")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | Tensor) -> Counterfactual:
        """Some of the images, as a slice or a tensor picks them, such as `found[found.flipped]`."""
        return Counterfactual(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def flip_rate(self) -> float:
        """Share of the counterfactuals that are classified as the target; NaN for none."""
        return float(self.flipped.cpu().double().mean())

    def report(self) -> str:
        """One line: how many flipped, before and after refinement, and what an image cost."""
        n, passes = len(self), (self.unet_forwards + self.unet_backwards).cpu().double().mean()
        line = (
            f"{int(self.flipped.sum())} of {n} counterfactuals reach their target, {int(self.pre_flipped.sum())} "
            f"before refinement; {float(self.steps.cpu().double().mean()):.1f} steps and {float(passes):.1f} passes of "
            "the denoising network an image"
        )
        left = int((~self.finished).sum())
        return line + (f"; {left} not finished" if left else "")

    @staticmethod
    def joined(parts: list[Counterfactual]) -> Counterfactual:
        """Several results as one, in order. Raises ValueError for none."""
        if not parts:
            raise ValueError("parts must hold one result or more, got none")
        return Counterfactual(
            **{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Counterfactual)}
        )
