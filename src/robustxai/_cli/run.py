"""`robustxai run`: execute chapters through Snakemake, one run at a time for a checkout.

It knows which options Snakemake needs so that an interrupted run resumes; what makes a chapter stale is
decided in `workflow/`, and what a chapter computes is the notebook's affair.
"""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Annotated

import typer

from robustxai._cli._environment import absolute_data_folder
from robustxai._cli._files import put
from robustxai._cli._locks import announce, exclusive

app = typer.Typer()


def find_checkout(here: Path) -> Path | None:
    """The root of the book's checkout at or above a folder, or None."""
    return next((f for f in [here, *here.parents] if (f / "workflow" / "Snakefile").is_file()), None)


def checkout() -> Path:
    """The root of the book's checkout at or above the current folder.

    Raises ValueError when there is none: running chapters needs the notebooks, which the installed package
    has not.
    """
    here = Path.cwd()
    root = find_checkout(here)
    if root is None:
        raise ValueError(
            f"no checkout of the book at or above {here}: clone the repository and run this inside it"
        )
    return root


def chapter_names(root: Path) -> list[str]:
    """The chapters that have a notebook, in alphabetical order."""
    return sorted(path.stem for path in (root / "notebooks").glob("*.ipynb"))


def profile_names(root: Path) -> list[str]:
    """The profiles that have a file of parameters, in alphabetical order."""
    return sorted(path.stem for path in (root / "workflow" / "profiles").glob("*.yaml"))


def require(kind: str, name: str, known: list[str]) -> None:
    """Raise ValueError with the accepted names when `name` is none of them."""
    if name not in known:
        raise ValueError(f"{kind} must be one of {', '.join(known) or '(there are none yet)'}, got {name!r}")


def snakemake(
    root: Path, target: str, *, cores: int, config: dict[str, str], executor: str | None = None
) -> int:
    """Run Snakemake on a target under the checkout's run lock; return its exit code.

    A job that a killed run left behind ends by itself when the lock is dropped, and what it left half-done
    runs again. With an `executor` (any installed Snakemake executor plugin) the jobs go to that cluster
    instead.
    """
    if shutil.which("bash") is None:
        raise ValueError("bash is missing: Snakemake runs its jobs with it")
    command = [sys.executable, "-m", "robustxai._cli._snakemake", "--snakefile", "workflow/Snakefile"]
    command += ["--nolock", "--keep-going", "--rerun-incomplete", "--rerun-triggers", "mtime", "params"]
    command += ["--cores", str(cores), "--resources", "gpu=1"]
    command += ["--executor", executor, "--jobs", "64"] if executor else []
    command += ["--config", *(f"{name}={value}" for name, value in config.items())] if config else []
    lock = root / "build" / "run.lock"
    process = None
    try:
        with exclusive(lock, waiting="waiting: another run in this checkout has not finished"):
            watched = announce(lock, uuid.uuid4().hex)
            environment = {**os.environ, **absolute_data_folder(), "PYTHONNOUSERSITE": "1"}
            environment |= {} if executor else watched
            process = subprocess.Popen([*command, "--quiet", "all", "--", target], cwd=root, env=environment)
            code = process.wait()
            if code:  # a failed job has said so; a plan that cannot be made is silent until asked aloud
                plan = [*command, "--dry-run", "--quiet", "host", "rules", "progress", "--", target]
                planned = subprocess.run(
                    plan, cwd=root, env=environment, capture_output=True, text=True, errors="replace"
                )
                print(planned.stdout + planned.stderr if planned.returncode else "", end="", file=sys.stderr)
            return code
    except KeyboardInterrupt:  # the lock is dropped, which the workflow and its jobs take for their end, too
        print("robustxai: stopped; the next run takes up what is unfinished", file=sys.stderr, flush=True)
        if process is not None:
            end(process)
        raise typer.Exit(130) from None


def end(process: subprocess.Popen, *, grace: float = 20.0) -> None:
    """Wait until a process that was told to stop has done so; kill it after `grace` seconds or another Ctrl-C."""
    try:
        process.wait(grace)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


def default_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seed_list(written: str) -> str:
    """Seeds as they are written, `0, 1,2`, in the form of a folder's name, `0-1-2`; empty for none.

    Raises ValueError for anything but different whole numbers.
    """
    parts = [part.strip() for part in written.split(",")] if written else []
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise ValueError(f"seeds must be integers with commas between them, such as 0,1,2, got {written!r}")
    numbers = [int(part) for part in parts]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"seeds must differ, got {written!r}")
    return "-".join(map(str, numbers))


def promote(root: Path, profile: str, chapters: list[str]) -> None:
    """Copy fresh results from `build/` into the committed `results/<profile>/`.

    The quick profile's executed notebooks go to `notebooks/` as well: that is the profile they are stored in.
    """
    fresh = root / "build" / profile
    for chapter in chapters:
        copies = {fresh / "results" / f"{chapter}.json": root / "results" / profile / f"{chapter}.json"}
        if profile == "quick":
            copies[fresh / "notebooks" / f"{chapter}.ipynb"] = root / "notebooks" / f"{chapter}.ipynb"
        for source, target in copies.items():
            put(source, target)
            typer.echo(f"promoted {target.relative_to(root)}")


@app.command()
def run(
    chapter: Annotated[str | None, typer.Argument(help="The chapter; see notebooks/.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Run every chapter.")] = False,
    profile: Annotated[
        str, typer.Option(help="A file of workflow/profiles: quick, real, gpu or paper.")
    ] = "quick",
    seeds: Annotated[
        str,
        typer.Option(help="Seeds in place of the profile's, for example 0,1,2: a job for each, joined."),
    ] = "",
    cores: Annotated[
        int, typer.Option(min=1, help="Processor cores to use.", show_default="all")
    ] = default_cores(),
    executor: Annotated[str | None, typer.Option(help="A Snakemake executor: slurm, kubernetes, ...")] = None,
    keep: Annotated[bool, typer.Option("--promote", help="Store the results in the checkout.")] = False,
) -> None:
    """Run a chapter, or all, where something it depends on has changed since its last run."""
    root = checkout()
    if every == (chapter is not None):
        raise ValueError("run takes the name of one chapter, or --all")
    require("profile", profile, profile_names(root))
    names = chapter_names(root)
    if chapter is not None:
        require("chapter", chapter, names)
        names = [chapter]
    chosen = seed_list(seeds)
    if keep and seeds:
        raise ValueError("promote takes the results of the profile's own seeds: leave out --seeds")
    config = {"profile": profile, "chapters": ",".join(names)} | ({"seeds": chosen} if chosen else {})
    code = snakemake(root, "chapters", cores=cores, config=config, executor=executor)
    if code == 0 and keep:
        promote(root, profile, names)
    if code == 0:
        folder = root / "build" / profile / (f"seeds-{chosen}" if chosen else "")
        typer.echo(f"results: {os.path.relpath(folder)}")
    raise typer.Exit(code)
