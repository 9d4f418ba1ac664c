"""Run one chapter with papermill, and hand over its notebook and its results only when both are complete.

All work happens in a scratch folder; the outputs are moved into place by rename, so that whatever kills this
process leaves the old outputs or none. It knows nothing about Snakemake: `workflow/Snakefile` calls it as a
command.

    python workflow/execute.py --chapter NAME --profile quick --notebook OUT.ipynb --results OUT.json --log
    OUT.log
"""

import argparse
import ast
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import papermill
from fingerprint import notebook_cells, profile_parameters
from papermill.exceptions import PapermillExecutionError

from robustxai._cli._environment import absolute_data_folder
from robustxai._cli._locks import abandoned, exclusive, stop_when_abandoned
from robustxai.notebook import read_notebook, write_notebook

ROOT = Path(__file__).resolve().parents[1]


def checked_parameters(notebook: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The given parameters, after a check that the notebook's `parameters` cell has each of them.

    Raises ValueError with the names that it has.
    """
    tagged = (cell for cell in notebook_cells(notebook) if "parameters" in cell["metadata"].get("tags", []))
    code = ast.parse("\n".join("".join(cell["source"]) for cell in tagged))
    names = (node for node in ast.walk(code) if isinstance(node, ast.Name))
    known = [name.id for name in names if isinstance(name.ctx, ast.Store)]
    for name in given:
        if name not in known:
            raise ValueError(
                f"{notebook.name} has no parameter {name!r}: it has {', '.join(known) or 'none'}"
            )
    return given


PATIENCE = (
    600  # seconds for a kernel to start, and for the outputs of a cell that has ended: a busy machine is slow
)


def run(notebook: Path, scratch: Path, parameters: dict[str, Any]) -> Path:
    """Execute a copy of the notebook inside `scratch` with the kernel of this Python; return the copy.

    A kernel that does not come up gets a second try: its ports are chosen before it opens them, and another kernel may
    have taken one meanwhile.
    """
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # a kernel of the same name in the home folder must not win
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin on a busy machine
    os.environ["ROBUSTXAI_RESULTS"] = str(scratch / "results")
    os.environ.update(absolute_data_folder())
    executed = scratch / notebook.name
    for last in (False, True):
        try:
            papermill.execute_notebook(
                str(notebook),
                str(executed),
                parameters=parameters,
                kernel_name="python3",
                language="python",
                cwd=str(scratch),
                progress_bar=sys.stderr.isatty(),
                start_timeout=PATIENCE,
                iopub_timeout=PATIENCE,
                raise_on_iopub_timeout=True,  # else an output that came late would be missing from the page
            )
            break
        except RuntimeError as error:
            if last or type(error) is not RuntimeError:  # subclasses tell of kernels that had come up
                raise
            logging.info("the kernel did not start, trying once more: %s", error)
    return executed


@contextmanager
def kernel_messages_to(log: Path) -> Iterator[None]:
    """What processes started here write to their standard error goes to a file; `sys.stderr` stays where it was.

    A kernel that is asked to end notes so as an error, which is not the reader's business.
    """
    terminal = os.dup(2)
    before = sys.stderr
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 2)
    sys.stderr = open(terminal, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)
        sys.stderr = before


def promote(source: Path, target: Path) -> None:
    """Move a finished file into place in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(source, "rb+") as file:
        os.fsync(file.fileno())  # else a power cut may leave the new name with nothing in it
    os.replace(source, target)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chapter", required=True)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", help="overrides the chapter's parameter `seeds`")
    parser.add_argument("--notebook", type=Path, required=True, help="where the executed notebook goes")
    parser.add_argument("--results", type=Path, required=True, help="where the chapter's results go")
    parser.add_argument("--log", type=Path, required=True)
    return parser.parse_args()


def execute(args: argparse.Namespace, scratch: Path) -> None:
    """Run the chapter in `scratch` and move its two outputs into place."""
    source = ROOT / "notebooks" / f"{args.chapter}.ipynb"
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "results").mkdir(parents=True)
    given = profile_parameters(ROOT, args.profile, args.chapter)
    given = given | ({} if args.seeds is None else {"seeds": args.seeds})
    with kernel_messages_to(args.log):
        executed = run(source, scratch, checked_parameters(source, given))
    results = sorted((scratch / "results").rglob(f"{args.chapter}.json"))
    if len(results) != 1:
        raise ValueError(
            f"the chapter left {len(results)} files named {args.chapter}.json: it must leave one"
        )
    write_notebook(read_notebook(executed), executed)
    if abandoned():
        raise KeyboardInterrupt
    promote(results[0], args.results)
    promote(executed, args.notebook)
    shutil.rmtree(scratch, ignore_errors=True)


def main() -> int:
    """Exit code 0 with both outputs in place; else 1, or 130 after Ctrl-C, with a sentence on stderr and neither."""
    args = arguments()
    seeds = "" if args.seeds is None else f", seeds {' '.join(map(str, args.seeds))}"
    where = f"{args.chapter} ({args.profile}{seeds})"
    scratch = args.notebook.resolve().parent.parent / "scratch" / args.chapter
    began = time.monotonic()
    try:
        args.log.parent.mkdir(parents=True, exist_ok=True)
        logging.raiseExceptions = False  # a log on a full disk is not the news; the full disk is
        args.log.write_bytes(b"")
        form = "%(asctime)s %(message)s"
        logging.basicConfig(filename=args.log, encoding="utf-8", level=logging.INFO, format=form)
        with exclusive(scratch.with_suffix(".lock")):
            stop_when_abandoned()
            say(f"{where}: running")
            execute(args, scratch)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one while the kernel ends is no news
        say(f"{where}: stopped")
        return 130
    except PapermillExecutionError as error:
        logging.info("%s", error)
        say(f"{where}: cell {error.exec_count} raised {error.ename}: {error.evalue}")
        say(f"  the run so far is {scratch / args.chapter}.ipynb, the log {args.log}")
        return 1
    except (
        Exception
    ) as error:  # a dead kernel, a full disk, a missing parameter: one line here, the rest in the log
        logging.exception("failed")
        if isinstance(
            error, OSError
        ):  # of the system, such as a full disk: what was half done takes room only
            shutil.rmtree(scratch, ignore_errors=True)
        say(f"{where}: {type(error).__name__}: {error}; the log is {args.log}")
        return 1
    say(f"{where}: finished in {time.monotonic() - began:.0f} s")
    return 0


def say(sentence: str) -> None:
    """One line on stderr."""
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
