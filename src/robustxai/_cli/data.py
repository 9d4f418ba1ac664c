"""`robustxai data list | get | show`: the catalog on a terminal, and downloads ahead of time.

Errors are one sentence on stderr: exit 2 for a wrong name, 1 for a file or network that fails. Loads the
library only inside a command, so that `robustxai --help` stays quick.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Data sets: list them, describe one, fetch one.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A name from `robustxai data list`.")]
Root = Annotated[
    Path | None,
    typer.Option(help="Data folder to look in first and to download to; default: the user's cache."),
]


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size else "-"


def _fail(error: Exception, code: int) -> typer.Exit:
    typer.echo(f"robustxai data: {error}", err=True)
    return typer.Exit(code)


@app.command("list")
def list_sets(root: Root = None) -> None:
    """Every data set: samples, size, licence, and whether it is on this machine."""
    from rich.console import Console
    from rich.table import Table

    from robustxai.data import catalog, fetch

    table = Table(
        title="Data sets", caption="robustxai data show NAME prints checksums, citation and cautions"
    )
    for column in ("name", "what", "samples", "size", "state", "licence"):
        table.add_column(
            column, justify="right" if column == "size" else "left", no_wrap=column in ("name", "size")
        )
    try:
        for e in catalog():
            samples = " + ".join(f"{n:,}" for n in e.counts.values())
            table.add_row(e.name, e.title, samples, _size(e.size), fetch.availability(e, root), e.licence)
    except OSError as error:
        raise _fail(error, 1) from None
    Console().print(table)


@app.command()
def show(name: Name) -> None:
    """One data set in full: licence, source, citation, cautions, files and checksums."""
    from robustxai.data import UnknownDataset, describe

    try:
        typer.echo(describe(name))
    except UnknownDataset as error:
        raise _fail(error, 2) from None


@app.command()
def get(name: Name, root: Root = None) -> None:
    """Fetch a set (or check the files that are there), so that `load` needs no network afterwards."""
    from robustxai.data import UnknownDataset, fetch
    from robustxai.data.catalog import entry

    try:
        e = entry(name)
        if not e.files:
            typer.echo(f"{name} needs no file.")
            return
        for file in fetch.wanted(e, root):
            data = fetch.read_file(e, file, root=root, download=True)
            where = fetch.locate(e, file, root)
            typer.echo(f"{where}: {len(data):,} bytes, checksum fits")
    except UnknownDataset as error:
        raise _fail(error, 2) from None
    except OSError as error:
        raise _fail(error, 1) from None
