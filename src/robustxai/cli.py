"""The `robustxai` command: mounts the groups of `robustxai._cli`; a user's mistake becomes one sentence.

Every public module of `robustxai._cli` that has a typer `app` is mounted under its own name, so a new command
is a new file there. It knows nothing about what the commands do, and importing it loads no torch.
"""

import io
import os
import pkgutil
import sys
from importlib import import_module
from typing import Annotated

import typer

from robustxai import __version__, _cli

app = typer.Typer(
    name="robustxai",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"robustxai {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Explanations under attack: run the chapters, build the book, train the networks, read the ledger."""


def mount(parent: typer.Typer, name: str, child: typer.Typer) -> None:
    """Add a command group under `name`; one whose only command has that name becomes the command itself."""
    commands = [
        command.name or getattr(command.callback, "__name__", "") for command in child.registered_commands
    ]
    alone = commands == [name] and not child.registered_groups and child.registered_callback is None
    parent.add_typer(child, name=None if alone else name)


for _module in sorted(module.name for module in pkgutil.iter_modules(_cli.__path__)):
    if not _module.startswith("_"):
        mount(app, _module, import_module(f"robustxai._cli.{_module}").app)


def main() -> None:
    """Run the command; a ValueError or OSError is the user's to mend: one sentence on stderr, exit code 2.

    ROBUSTXAI_DEBUG=1 shows where it came from. A letter that the terminal has not becomes a question mark.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("ROBUSTXAI_DEBUG"):
            raise
        print(f"robustxai: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
