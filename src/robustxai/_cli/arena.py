"""`robustxai arena run | verify | show`: compute rows of the board, take evaluations from elsewhere, print the board.

Files lie in `results/<profile>/arena/` of the checkout; elsewhere in the folder that ROBUSTXAI_RESULTS names, or in
`results`. The library is loaded inside the commands.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustxai._cli.run import find_checkout

if TYPE_CHECKING:
    from robustxai.arena.cells import ArenaCell

app = typer.Typer(help="The arena: every explainer under every attack, one file a row.", no_args_is_help=True)
Profile = Annotated[str, typer.Option(help="quick or real: how many networks, images and steps.")]
Rows = Annotated[
    list[str] | None, typer.Option("--rows", help="Only this row; give the option again for more.")
]
Networks = Annotated[
    list[str] | None, typer.Option("--networks", help="Only this network; give the option again for more.")
]


def board_folder(profile: str) -> Path:
    """Where the rows of a profile lie. ValueError for an unknown profile."""
    from robustxai.arena.plan import PLANS
    from robustxai.checks import check_name

    check_name("profile", profile, PLANS)
    root = find_checkout(Path.cwd())
    base = Path(os.environ.get("ROBUSTXAI_RESULTS") or (root / "results" if root else "results"))
    return base / profile / "arena"


@app.command()
def run(profile: Profile = "quick", rows: Rows = None, networks: Networks = None) -> None:
    """Compute what is not on the board yet, and show it beside the rest.

    A row of its own meets no other row's images; without --rows all rows of the profile meet each other's.
    """
    from robustxai.arena.board_run import run_rows

    folder = board_folder(profile)

    def say(cell: "ArenaCell") -> None:
        number = cell.number
        told = cell.state if number is None else f"{cell.state}, P {number:.3f}"
        typer.echo(
            f"{cell.row} on {cell.network} at {255 * cell.eps:g}/255, {cell.readout}: {told}", err=True
        )

    changed = run_rows(profile, folder, rows=rows or None, networks=networks or None, on_cell=say)
    _print(folder, profile, set(changed))
    typer.echo(f"{len(changed)} rows changed in {folder}" if changed else "nothing was missing on the board")


@app.command()
def verify(
    file: Annotated[
        Path, typer.Argument(help="A JSON file that names row, cell, P and a file .npz of images.")
    ],
    profile: Profile = "quick",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compute and say, but write nothing.")] = False,
) -> None:
    """Compute an evaluation from elsewhere again from its images; take it only where it lowers a number."""
    from robustxai.arena.verify import verify as computed_again

    typer.echo(str(computed_again(file, board_folder(profile), write=not dry_run)))


@app.command()
def show(profile: Profile = "quick") -> None:
    """Print the board."""
    folder = board_folder(profile)
    _print(folder, profile, set())


def _print(folder: Path, profile: str, marked: set[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from robustxai.arena.board import load_board
    from robustxai.arena.lines import BOARD_LEVELS, board_lines
    from robustxai.plots.numbers import interval, number

    lines = board_lines(load_board(folder))
    if not lines:
        raise ValueError(
            f"the board of the profile {profile} is empty: call robustxai arena run --profile {profile}"
        )
    table = Table(title=f"Arena, {profile}", title_justify="left")
    for name in (
        "row",
        "state",
        "rank",
        "A",
        *(f"P {level}" for level in BOARD_LEVELS),
        "Faith",
        "Dep",
        "flags",
    ):
        table.add_column(name, overflow="fold")
    block = False
    for line in lines:
        if line.ignores_network and not block:
            table.add_section()
            block = True
        s = line.standing
        table.add_row(
            f"{line.row} *" if line.row in marked else line.row, line.state,
            "-" if s is None else f"{s.place} [{s.rank_low:g}, {s.rank_high:g}]",
            "-" if line.area is None else interval(line.area.value, (line.area.low, line.area.high)),
            *(number(line.p[v].value) if v in line.p else "-" for v in BOARD_LEVELS),
            *(number(line.facts[f]) if f in line.facts else "-" for f in ("faith", "dependence")),
            ", ".join(line.flags),
        )  # fmt: skip
    Console().print(table)
