"""`robustxai train`: find the chapters' recipes and run one.

It alone knows that recipes live in `robustxai/<chapter>/study/recipes.py`; how they train is theirs, how results
are stored is `robustxai.nets.recipes`.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

import robustxai

if TYPE_CHECKING:
    from robustxai.nets.recipes import Recipe

app = typer.Typer()


def recipes() -> dict[str, Recipe]:
    """All recipes by name, from every `robustxai/<chapter>/study/recipes.py` that has RECIPES."""
    from robustxai.nets.recipes import gather

    names = []
    for chapter in pkgutil.iter_modules(robustxai.__path__):
        folder = Path(robustxai.__path__[0], chapter.name)
        if (folder / "study" / "recipes.py").exists():  # imports no other chapter
            names.append(f"robustxai.{chapter.name}.study.recipes")
    return gather(*(import_module(name).RECIPES for name in names))


@app.command()
def train(
    name: Annotated[str | None, typer.Argument(help="The recipe; --list shows them.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; the recipe's own by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the weights and their manifest.")] = Path("weights"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "cpu",
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Go on from a killed run or not.")] = True,
    listing: Annotated[bool, typer.Option("--list", help="List the recipes and leave.")] = False,
) -> None:
    """Train the networks of a recipe: seeded, and resumed where a killed run stopped."""
    known = recipes()
    if listing:
        table = Table("recipe", "what it trains", "file", "seed", box=None)
        for recipe in sorted(known.values(), key=lambda r: r.name):
            table.add_row(recipe.name, recipe.help, recipe.file, str(recipe.seed))
        Console().print(table)
        return
    if name is None:
        raise typer.BadParameter("give the name of a recipe; --list shows them", param_hint="NAME")
    from robustxai import runtime
    from robustxai.nets.recipes import find_recipe, run

    try:
        names = run(
            find_recipe(name, known), out=out, seed=seed, device=runtime.device(device), fresh=not resume
        )
    except ValueError as error:
        print_error(error)
        raise typer.Exit(2) from error
    typer.echo(f"{out / 'manifest.json'}: {', '.join(names)}")


def print_error(error: ValueError) -> None:
    """One sentence on stderr, as `robustxai.cli` prints it."""
    typer.echo(f"robustxai: {error}", err=True)
