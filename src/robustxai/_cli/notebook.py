"""`robustxai notebook`: write notebooks in their canonical form, lint them, generate their first cell."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Format, check and bootstrap notebook files.", no_args_is_help=True)

Paths = Annotated[list[Path], typer.Argument(help="Notebooks, or folders that hold them.")]


def notebooks(paths: list[Path]) -> list[Path]:
    """The notebooks that `paths` name; folders are searched. Raises ValueError for a path that holds none."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]
        inside = [file for file in inside if ".ipynb_checkpoints" not in file.parts]
        if not inside or not inside[0].is_file():
            raise ValueError(f"{path} is not a notebook and holds none.")
        found += inside
    return found


@app.command("format")
def format_(paths: Paths) -> None:
    """Rewrite notebooks in their canonical form; exit code 1 when a file changed, as pre-commit expects."""
    from robustxai.notebook import read_notebook, write_notebook

    changed = [path for path in notebooks(paths) if write_notebook(read_notebook(path), path)]
    for path in changed:
        typer.echo(f"formatted {path}")
    raise typer.Exit(1 if changed else 0)


@app.command()
def check(paths: Paths) -> None:
    """List what a reader would stumble over; exit code 1 when there is anything."""
    from robustxai.notebook import lint

    problems = [problem for path in notebooks(paths) for problem in lint(path)]
    for problem in problems:
        typer.echo(str(problem))
    raise typer.Exit(1 if problems else 0)


@app.command()
def bootstrap(paths: Paths) -> None:
    """Write the generated first cell into notebooks, in place of an older one."""
    from robustxai.notebook import insert_bootstrap, read_notebook, write_notebook

    for path in notebooks(paths):
        if write_notebook(insert_bootstrap(read_notebook(path)), path):
            typer.echo(f"updated {path}")
