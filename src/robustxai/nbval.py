"""A pytest plugin that makes nbval compare notebooks as a careful reader would, in this book and in any other folder.

    pip install "robustxai[test]"
    python -m pytest --nbval --nbval-current-env -p robustxai.nbval notebooks

What nbval 0.11 does not do by itself: numbers are compared with a tolerance that belongs to the number (the column of
its table, the claim, the figure; a cell's metadata `nbval` declare wider ones, see `notebook.closeness`) and integers
exactly; a picture is compared by a coarse grid of its colours, a figure of `robustxai.plots` by the digest of its data;
a claim of the ledger is judged by its own rule on the fresh value; a trailing semicolon hides a value, as in Jupyter;
stderr is ignored; a cell stored without being executed fails instead of passing unseen; results of `claims` go to a
temporary folder. How much of a change the comparison notices, `notebook.mutation` measures. Knows nothing about what
notebooks compute.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

from robustxai.claims import Claim, ledger
from robustxai.notebook.cell_outputs import outputs_difference
from robustxai.notebook.closeness import tolerances

_runtest = IPyNbCell.runtest


def claims_named(chapter: str) -> dict[str, Claim]:
    """The claims of the ledger by the names that stand in their lines; none for a notebook that is no chapter."""
    return {id.partition(".")[2]: c for id, c in ledger().items() if c.chapter == chapter}


def compare_outputs(self: Any, test: Sequence[Any], ref: Sequence[Any], skip_compare: Any = None) -> bool:
    """Whether a cell's fresh outputs are close to the stored ones; what keeps them apart goes into nbval's report.

    Texts run through nbval's own patterns (`--nbval-sanitize-with`) first; skip_compare is nbval's, and not looked at.
    """
    stored, fresh = ([_sanitized(self, output) for output in outputs] for outputs in (ref, test))
    claims = claims_named(Path(self.parent.path).stem)
    found = outputs_difference(stored, fresh, tolerances(self.cell.metadata), claims)
    self.comparison_traceback = [] if found is None else [f"First difference: {found}\n"]
    return found is None


def _sanitized(cell: Any, output: Any) -> Any:
    """An output whose texts ran through nbval's patterns."""
    if not cell.parent.sanitize_patterns:
        return output
    texts = {k: cell.sanitize(v) for k, v in output.get("data", {}).items() if k.startswith("text/")}
    changed = {"data": {**output["data"], **texts}} if "data" in output else {}
    return {**output, **changed, **({"text": cell.sanitize(output["text"])} if "text" in output else {})}


def runtest(self: Any) -> None:
    """A cell without an execution count would run and never be compared."""
    if self.cell.source.strip() and self.cell.execution_count is None:
        self.raise_cell_error("The cell is stored without being executed: commit notebooks with outputs.")
    _runtest(self)


def execute_cell_input(self: Any, cell_input: str, allow_stdin: bool | None = None) -> str:
    """With history, as Jupyter does: IPython looks there for the semicolon that hides a value."""
    return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


IPyNbCell.compare_outputs = compare_outputs
IPyNbCell.runtest = runtest
RunningKernel.execute_cell_input = execute_cell_input

_folder = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep a checkout's results as they are: the notebooks under test write theirs to a temporary folder."""
    if config.option.nbval and "ROBUSTXAI_RESULTS" not in os.environ:
        config.stash[_folder] = os.environ["ROBUSTXAI_RESULTS"] = tempfile.mkdtemp()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the temporary folder."""
    if _folder in config.stash:
        del os.environ["ROBUSTXAI_RESULTS"]
        shutil.rmtree(config.stash[_folder], ignore_errors=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Cells are about outputs: warnings of nbval's own are no errors, and a busy machine may take its time."""
    if isinstance(item, IPyNbCell):
        item.add_marker(pytest.mark.filterwarnings("default"))
        item.output_timeout = 60
