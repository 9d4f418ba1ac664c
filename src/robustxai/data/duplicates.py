"""Near-duplicates: which images of a set show the same scene, so that a split does not part them.

Two images are near-duplicates when their thumbnails of 16 x 16 grey pixels are correlated by more than a threshold.
Knows arrays only.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupShuffleSplit
from torch import Tensor
from torch.nn import functional as F

SIDE = 16


def near_duplicates(images: Float[Tensor, "n channel height width"], *, threshold: float = 0.9) -> np.ndarray:
    """The group number (n,) of every image: chains of near-duplicates share one.

    threshold: in (0, 1), of the correlation of two thumbnails; 0.9 also joins the same image in another crop or
    brightness. Raises ValueError for other thresholds.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be a number in (0, 1), got {threshold}")
    small = F.adaptive_avg_pool2d(images.mean(1, keepdim=True), SIDE).flatten(1)
    small = F.normalize(small - small.mean(1, keepdim=True), dim=1)
    pairs = [
        torch.nonzero(part @ small.T > threshold) + torch.tensor([at, 0], device=small.device)
        for at, part in zip(range(0, len(small), 1024), small.split(1024), strict=True)
    ]
    i, j = torch.cat(pairs).numpy().T
    graph = coo_matrix((np.ones(len(i), bool), (i, j)), shape=(len(small), len(small)))
    return connected_components(graph, directed=False)[1]


def grouped_split(groups: np.ndarray, *, test: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Shuffled positions of the two sides of a split that keeps every group on one side."""
    splitter = GroupShuffleSplit(1, test_size=test, random_state=seed)
    sides = next(splitter.split(groups, groups=groups))
    rng = np.random.default_rng(seed)
    return rng.permutation(sides[0]), rng.permutation(sides[1])
