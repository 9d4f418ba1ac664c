"""A pytest plugin that makes nbval compare notebooks as a careful reader would.

    python -m pytest --nbval --nbval-current-env notebooks        # the conftest at the root loads this plugin

What nbval 0.11 does not do by itself: numbers are compared with a tolerance and integers exactly; a trailing
semicolon hides a value, as in Jupyter; images inside HTML are masked (their digests are printed, so nothing
gets past); stderr is ignored; a cell stored without being executed fails instead of passing unseen; results
of `claims` go to a temporary folder. A cell's tags may loosen its comparison, integers included:
`nbval-rtol-1e-1`, `nbval-atol-0.02`. About how many samples would decide an undecided claim is not compared: it follows
from the value and the interval beside it, and grows without bound near a rule's bound. Knows nothing about what
notebooks compute.
"""

import math
import os
import re
import shutil
import tempfile
from typing import Any

import pytest
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile

RTOL, ATOL = 1e-2, 1e-6
NUMBER = re.compile(r"((?:(?<![\w.)])[-+−])?(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
DATA_URI = re.compile(r"data:[\w.+/-]+;base64,[A-Za-z0-9+/=]+")
ROUGH = re.compile(r"(?:about \d+ [\w ]+|it is open how many) would decide")
TAG = re.compile(r"nbval-(rtol|atol)-(\d+(?:\.\d+)?(?:e-?\d+)?)")
IGNORED = ("stderr", "image/gif", "image/webp")


class Tolerant(str):
    """A text that equals another one whose words are the same and whose numbers are close."""

    rtol: float = RTOL
    atol: float = ATOL
    integers: bool = False  # whether the tolerance holds for integers too

    def difference(self, other: str) -> str | None:
        """What keeps two texts apart, in one line, or None."""
        mine, theirs = (NUMBER.split(DATA_URI.sub("data:masked", text)) for text in (self, other))
        for index, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            if index % 2 == 0 and _words(a) != _words(b):
                return f"text differs: {_words(a)[:80]!r} is stored, {_words(b)[:80]!r} came out"
            if index % 2 == 1 and not self._close(a, b):
                return f"number differs: {a} is stored, {b} came out (rtol {self.rtol:g}, atol {self.atol:g})"
        if len(mine) != len(theirs):
            return f"{len(mine) // 2} numbers are stored, {len(theirs) // 2} came out"
        return None

    def _close(self, a: str, b: str) -> bool:
        a, b = a.replace("−", "-"), b.replace("−", "-")
        if not self.integers and not re.search(r"[.eE]", a + b):
            return int(a) == int(b)
        return math.isclose(float(a), float(b), rel_tol=self.rtol, abs_tol=self.atol)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.difference(other) is None

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def _words(text: str) -> str:
    """Text without the padding that changes with the width of the numbers around it."""
    return re.sub(r"[ \t]+", " ", text).strip(" ")


def tolerant(text: str, tags: Any) -> Tolerant:
    """The text with the tolerance that a cell's tags ask for. Raises ValueError for a tag that is not
    understood.
    """
    result = Tolerant(ROUGH.sub("more would decide", text))
    for tag in tags:
        if tag.startswith(("nbval-rtol", "nbval-atol")):
            match = TAG.fullmatch(tag)
            if match is None:
                raise ValueError(f"tag {tag!r} is not understood: write nbval-rtol-1e-1 or nbval-atol-0.02.")
            setattr(result, match[1], float(match[2]))
            result.integers = True
    return result


_sanitize, _runtest, _format, _init = (
    IPyNbCell.sanitize,
    IPyNbCell.runtest,
    IPyNbCell.format_output_compare,
    IPyNbFile.__init__,
)


def sanitize(self: Any, s: Any) -> Any:
    """Outputs become tolerant texts; everything else stays as it is."""
    s = _sanitize(self, s)
    return tolerant(s, self.cell.metadata.get("tags", [])) if isinstance(s, str) else s


def runtest(self: Any) -> None:
    """A cell without an execution count would run and never be compared."""
    if self.cell.source.strip() and self.cell.execution_count is None:
        self.raise_cell_error("The cell is stored without being executed: commit notebooks with outputs.")
    _runtest(self)


def format_output_compare(self: Any, key: str, left: Any, right: Any) -> None:
    """nbval's report, with the first difference after it: its own diff also marks numbers that are close
    enough.
    """
    _format(self, key, left, right)
    if isinstance(left, Tolerant):
        self.comparison_traceback.append(f"First difference: {left.difference(right)}\n")


def init(self: Any, *args: Any, **kwargs: Any) -> None:
    """Outputs that say nothing about the result are skipped."""
    _init(self, *args, **kwargs)
    self.skip_compare = (*self.skip_compare, *IGNORED)


def execute_cell_input(self: Any, cell_input: str, allow_stdin: bool | None = None) -> str:
    """With history, as Jupyter does: IPython looks there for the semicolon that hides a value."""
    return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


IPyNbCell.sanitize = sanitize
IPyNbCell.runtest = runtest
IPyNbCell.format_output_compare = format_output_compare
IPyNbFile.__init__ = init
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
