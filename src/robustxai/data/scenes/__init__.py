"""Two rendered worlds whose every factor and every mask is known: the embedded default data of the library."""

from .base import FactorSpec, Scenes
from .menagerie import menagerie, render_menagerie
from .portraits import portraits, render_portraits
from .swatches import render_swatches, swatches

__all__ = [
    "FactorSpec",
    "Scenes",
    "menagerie",
    "portraits",
    "render_menagerie",
    "render_portraits",
    "render_swatches",
    "swatches",
]
