"""Shapes by name: what the arguments of the library are, said once.

Knows jaxtyping only.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

Images = Float[Tensor, "n channel height width"]
Inputs = Float[Tensor, "n *sample"]
"""Samples of any shape: rows of a table, images, sequences of tokens."""

Logits = Float[Tensor, "n classes"]
PerSample = Float[Tensor, " n"]
"""One number for each sample."""

Target = Int[Tensor, "..."] | Int[np.ndarray, "..."] | Sequence[int] | int | np.integer | None
"""A class for all samples, one for each of them, or None for the predicted one."""

Explain = Callable[..., Tensor]
"""explain(x, target) -> attributions (n, ...)."""
