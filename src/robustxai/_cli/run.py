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

from robustxai._cli._locks import RUN_ID, RUN_LOCK, exclusive

app = typer.Typer()


def checkout() -> Path:
    """The root of the book's checkout at or above the current folder.

    Raises ValueError when there is none: running chapters needs the notebooks, which the installed package
    has not.
    """
    here = Path.cwd()
    for folder in [here, *here.parents]:
        if (folder / "workflow" / "Snakefile").is_file():
            return folder
    raise ValueError(
        f"no checkout of the book at or above {here}: clone the repository and run this inside it"
    )


def chapter_names(root: Path) -> list[str]:
    """The chapters that have a notebook, in alphabetical order."""
    return sorted(path.stem for path in (root / "notebooks").glob("*.ipynb"))


def profile_names(root: Path) -> list[str]:
    """The profiles that have a file of parameters, in alphabetical order."""
    return sorted(path.stem for path in (root / "workflow" / "profiles").glob("*.yaml"))


def require(kind: str, name: str, known: list[str]) -> None:
    """Raise ValueError with the accepted names when `name` is none of them."""
    if name not in known:
        raise ValueError(
            f"{kind} {name!r} is unknown: choose one of {', '.join(known) or '(there are none yet)'}"
        )


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
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        "workflow/Snakefile",
        "--nolock",
        "--keep-going",
    ]
    command += ["--rerun-incomplete", "--rerun-triggers", "mtime", "params"]
    command += ["--cores", str(cores), "--resources", "gpu=1"]
    command += ["--executor", executor, "--jobs", "64"] if executor else []
    command += ["--config", *(f"{name}={value}" for name, value in config.items())] if config else []
    lock, run_id = root / "build" / "run.lock", uuid.uuid4().hex
    with exclusive(lock, waiting="waiting: another run in this checkout has not finished") as handle:
        lock.write_text(run_id)
        watched = {} if executor else {RUN_LOCK: str(lock), RUN_ID: run_id}
        environment = {**os.environ, **watched, "PYTHONNOUSERSITE": "1"}
        done = subprocess.run(
            [*command, "--quiet", "all", "--", target], cwd=root, env=environment, pass_fds=(handle,)
        )
        if (
            done.returncode
        ):  # a failed job has said so; a plan that cannot be made is silent until asked aloud
            plan = [*command, "--dry-run", "--quiet", "host", "rules", "progress", "--", target]
            planned = subprocess.run(plan, cwd=root, env=environment, capture_output=True, text=True)
            print(planned.stdout + planned.stderr if planned.returncode else "", end="", file=sys.stderr)
        return done.returncode


def default_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            typer.echo(f"promoted {target.relative_to(root)}")


@app.command()
def run(
    chapter: Annotated[str | None, typer.Argument(help="The chapter; see notebooks/.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Run every chapter.")] = False,
    profile: Annotated[str, typer.Option(help="A file of workflow/profiles: quick, real or gpu.")] = "quick",
    seeds: Annotated[
        str, typer.Option(help="Run once per seed, for example 0,1,2; needs a parameter `seed`.")
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
    if any(not seed.strip().isdigit() for seed in seeds.split(",") if seeds):
        raise ValueError(f"seeds is {seeds!r}: give whole numbers with commas between them, such as 0,1,2")
    if keep and seeds:
        raise ValueError("promote takes the results of one run: leave out --seeds")
    config = {"profile": profile, "chapters": ",".join(names)} | ({"seeds": seeds} if seeds else {})
    code = snakemake(root, "chapters", cores=cores, config=config, executor=executor)
    if code == 0 and keep:
        promote(root, profile, names)
    if code == 0:
        typer.echo(f"results: {os.path.relpath(root / 'build' / profile)}")
    raise typer.Exit(code)
