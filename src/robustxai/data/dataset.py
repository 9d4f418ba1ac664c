"""The one type that `load` returns. Knows nothing about where data comes from."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robustxai.shapes import Images

FeatureTable = Float[Tensor, "n feature"]


@dataclass(frozen=True)
class Dataset:
    """Samples with their labels.

    `x`: images (n, channel, height, width) in [0, 1], or a table (n, feature) in the units of its source;
    float32. `y`: (n,) indices into `classes`. `boxes`: (n, 4) x0, y0, x1, y1 in pixel indices, both ends
    inside the box, where the set has them. `features`: names of a table's columns, or of `attributes`. `levels`: for
    each column the names that its codes 0, 1, ... stand for, none for a numeric column; empty where all are numeric.
    Missing cells of a table are nan. `note`: what one must say when quoting a number on this copy (for instance that
    its images are recompressed); empty if nothing. `attributes`: (n, feature) what is true of an image, where the set
    has them.
    """

    x: Images | FeatureTable
    y: Int64[Tensor, " n"]
    classes: tuple[str, ...]
    name: str
    split: str
    boxes: Float[Tensor, "n 4"] | None = None
    features: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    note: str = ""
    attributes: Bool[Tensor, "n feature"] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def subset(self, indices: Int64[Tensor, " m"]) -> "Dataset":
        """The samples at these positions, in this order."""
        boxes = None if self.boxes is None else self.boxes[indices]
        attributes = None if self.attributes is None else self.attributes[indices]
        return replace(self, x=self.x[indices], y=self.y[indices], boxes=boxes, attributes=attributes)

    def __repr__(self) -> str:
        shape = " x ".join(str(s) for s in self.x.shape[1:])
        note = f", {self.note}" if self.note else ""
        counts = f"{len(self)} samples of {shape}, {len(self.classes)} classes"
        return f"Dataset({self.name}, {self.split}: {counts}{note})"


def positions(n: int, limit: int | None, indices: Tensor | None) -> Int64[Tensor, " m"]:
    """Which of n samples are requested: the first `limit`, those at `indices`, or all; ValueError if that
    cannot be.
    """
    if limit is not None and indices is not None:
        raise ValueError("limit and indices must not both be given, got both")
    if indices is not None:
        if indices.dtype != torch.int64 or indices.ndim != 1:
            raise ValueError(
                f"indices must be int64 of shape (m,), got {indices.dtype} of shape {tuple(indices.shape)}"
            )
        if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= n):
            raise ValueError(
                f"indices must be in [0, {n - 1}], got {int(indices.min())} to {int(indices.max())}"
            )
        return indices
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be an integer >= 1, got {limit}")
    return torch.arange(n if limit is None else min(limit, n), device="cpu")
