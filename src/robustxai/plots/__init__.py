"""Figures for the book: one style, a printed digest of the data behind each figure, and figures that move.

Imports nothing else of this package: plots take arrays or tensors and know nothing about methods or models.
"""

from robustxai.plots.numbers import digest, interval, number

__all__ = ["digest", "interval", "number"]
