"""Two drawn worlds whose every factor and every mask is known: the embedded default data of the library."""

from .base import FactorSpec, Scenes
from .menagerie import menagerie, render_menagerie

__all__ = ["FactorSpec", "Scenes", "menagerie", "render_menagerie"]
