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
import sys
import time
from pathlib import Path
from typing import Any

import papermill
from fingerprint import notebook_cells, profile_parameters
from papermill.exceptions import PapermillExecutionError

from robustxai._cli._locks import exclusive, stop_when_abandoned
from robustxai.notebook import load, save

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


def run(notebook: Path, scratch: Path, parameters: dict[str, Any]) -> Path:
    """Execute a copy of the notebook inside `scratch` with the kernel of this Python; return the copy."""
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # a kernel of the same name in the home folder must not win
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin on a busy machine
    os.environ["ROBUSTXAI_RESULTS"] = str(scratch / "results")
    executed = scratch / notebook.name
    papermill.execute_notebook(
        str(notebook),
        str(executed),
        parameters=parameters,
        kernel_name="python3",
        language="python",
        cwd=str(scratch),
        progress_bar=sys.stderr.isatty(),
        start_timeout=300,
        extra_arguments=["--IPKernelApp.log_level=40"],  # its note on encryption is not the reader's business
    )
    return executed


def promote(source: Path, target: Path) -> None:
    """Move a finished file into place in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chapter", required=True)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--seed", type=int, help="overrides the chapter's parameter `seed`")
    parser.add_argument("--notebook", type=Path, required=True, help="where the executed notebook goes")
    parser.add_argument("--results", type=Path, required=True, help="where the chapter's results go")
    parser.add_argument("--log", type=Path, required=True)
    return parser.parse_args()


def main() -> int:
    """Exit code 0 with both outputs in place, or 1 with one sentence on stderr and neither."""
    args = arguments()
    source = ROOT / "notebooks" / f"{args.chapter}.ipynb"
    where = f"{args.chapter} ({args.profile}{'' if args.seed is None else f', seed {args.seed}'})"
    scratch = args.notebook.resolve().parent.parent / "scratch" / args.chapter
    args.log.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=args.log, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s")
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(scratch.with_suffix(".lock")):
        stop_when_abandoned()
        shutil.rmtree(scratch, ignore_errors=True)
        (scratch / "results").mkdir(parents=True)
        began = time.monotonic()
        print(f"{where}: running", file=sys.stderr, flush=True)
        try:
            given = profile_parameters(ROOT, args.profile, args.chapter)
            given = given | ({} if args.seed is None else {"seed": args.seed})
            executed = run(source, scratch, checked_parameters(source, given))
            results = sorted((scratch / "results").rglob(f"{args.chapter}.json"))
            if len(results) != 1:
                raise ValueError(
                    f"the chapter left {len(results)} files named {args.chapter}.json: it must leave one"
                )
        except PapermillExecutionError as error:
            logging.info("%s", error)
            print(f"{where}: cell {error.exec_count} raised {error.ename}: {error.evalue}", file=sys.stderr)
            print(f"  the run so far is {scratch / source.name}, the log {args.log}", file=sys.stderr)
            return 1
        except Exception as error:  # a dead kernel, a missing parameter: one line here, the rest in the log
            logging.exception("failed")
            print(f"{where}: {type(error).__name__}: {error}; the log is {args.log}", file=sys.stderr)
            return 1
        save(load(executed), executed)
        promote(results[0], args.results)
        promote(executed, args.notebook)
        shutil.rmtree(scratch)
        print(f"{where}: finished in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return 0


if __name__ == "__main__":
    sys.exit(main())
