"""Everything that the library itself enters into the registries: importing this fills them.

A contributor's explainer, attack or defence registers itself the same way, from wherever it lives.
"""

from robustxai.arena import columns, defences, rows_cam, rows_gradient, rows_manifold, trivial
from robustxai.arena.registry import ATTACK_COLUMNS, DEFENCES, EXPLAINERS, ExplainerRow
from robustxai.checks import check_name

ENTERED = (columns, defences, rows_cam, rows_gradient, rows_manifold, trivial)
FAST = (
    "constant", "centre blob", "fixed random", "fresh random", "edge", "brightness", "GradCAM", "GradCAM++", "LayerCAM",
    "DiffGradCAM (lse)", "DiffGradCAM (mean)", "DiffGradCAM++ (lse)", "Saliency", "Gradient x Input",
)  # fmt: skip
"""Rows whose map is one pass, or none."""
STANDARD = (*FAST, "SmoothGrad (4)", "IG (6)", "BlurIG (6)")


def find_rows(rows: "tuple[str | ExplainerRow, ...] | list[str | ExplainerRow] | None") -> list[ExplainerRow]:
    """Rows by name or as they are, None for all; the cheap ones first. ValueError for an unknown name.

    >>> [row.name for row in find_rows(["IG (6)", "edge"])]
    ['edge', 'IG (6)']
    """
    found = []
    for row in EXPLAINERS if rows is None else rows:
        if not isinstance(row, ExplainerRow):
            check_name("rows", row, EXPLAINERS)
            row = EXPLAINERS[row]
        found.append(row)
    return sorted(found, key=lambda row: row.cost)


__all__ = ["ATTACK_COLUMNS", "DEFENCES", "EXPLAINERS", "FAST", "STANDARD", "find_rows"]
