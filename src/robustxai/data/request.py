"""`Request`: what was asked of `load`, as one argument for the reader of a set. Knows no set."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import fetch
from .catalog_entry import CatalogEntry
from .dataset import positions
from .files import File


@dataclass(frozen=True)
class Request:
    """The request; readers take it as one argument."""

    entry: CatalogEntry
    split: str
    root: str | Path | None
    download: bool
    limit: int | None
    indices: Tensor | None
    size: int | None

    def bytes(self, file: File) -> bytes:
        """The verified bytes of one file."""
        return fetch.read_file(self.entry, file, root=self.root, download=self.download)

    def positions(self, n: int) -> Tensor:
        """Which of n samples, in stored order."""
        return positions(n, self.limit, self.indices)

    def shuffled(self, n: int) -> Tensor:
        """Which of n samples of a set that is stored sorted by class: one fixed permutation stands for its
        order.
        """
        return torch.from_numpy(np.random.default_rng(0).permutation(n))[
            positions(n, self.limit, self.indices)
        ]
