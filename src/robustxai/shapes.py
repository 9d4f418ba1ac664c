"""Shapes by name: what the arguments of the library are, said once.

Knows jaxtyping only.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

Images = Float[Tensor, "n channel height width"]
SquareImages = Float[Tensor, "n 3 size size"]
OtherImages = Float[Tensor, "m channel height width"]
"""A second set of images, of another number."""

Inputs = Float[Tensor, "n *sample"]
"""Samples of any shape: rows of a table, images, sequences of tokens."""

Logits = Float[Tensor, "n classes"]
PerSample = Float[Tensor, " n"]
"""One number for each sample."""

Count = Int[Tensor, " n"]
"""How often, for each sample."""

Scores = Float[Tensor, "n ..."]
"""What an explainer gives a feature, in any shape."""

Maps = Float[Tensor, " n *map"]
AnyMaps = Float[Tensor, " m *map"]
"""Maps of which a function checks by itself that there is one a sample."""

Path = Float[Tensor, "points n *sample"]
"""The points of a path or a curve, for each sample."""

Nodes = Float[Tensor, "nodes n *sample"]
"""The points where an integral along a path is evaluated, for each sample."""

Target = Int[Tensor, "..."] | Int[np.ndarray, "..."] | Sequence[int] | int | np.integer | None
"""A class for all samples, one for each of them, or None for the predicted one."""

Explain = Callable[..., Tensor]
"""explain(x, target) -> attributions (n, ...)."""

Guide = Callable[[Tensor], Explain]
"""From the current inputs to the explainer whose derivatives an attacker follows there."""
