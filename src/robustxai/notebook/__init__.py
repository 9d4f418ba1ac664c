"""Notebooks as files: one canonical form, a lint, the generated first cell, and stored outputs beside fresh ones.

`writer` makes the bytes of a notebook a function of its cells and outputs alone; `lint` lists what a reader
would stumble over; `bootstrap` generates the cell that makes a chapter run on Colab; `cell_outputs` says what keeps two
runs of a cell apart (`closeness`: a tolerance for each number, by the label that `labels` finds; `pictures`,
`figure_data`, `claim_lines`), and `mutation` how much of a change it notices. Works on plain JSON and runs nothing.
"""

from robustxai.notebook.bootstrap import bootstrap_cell, insert_bootstrap, repository
from robustxai.notebook.lint import Problem, lint
from robustxai.notebook.writer import canonical, dumps, read_notebook, write_notebook

__all__ = [
    "Problem",
    "bootstrap_cell",
    "canonical",
    "dumps",
    "insert_bootstrap",
    "lint",
    "read_notebook",
    "repository",
    "write_notebook",
]
