"""`robustxai book`: run what is stale and build the site.

The pages show the quick profile; the replication report shows every profile that has results. It knows the
Snakemake targets and where the site ends up, nothing else.
"""

import os
from typing import Annotated

import typer

from robustxai._cli.run import checkout, default_cores, profile_names, require, snakemake

app = typer.Typer()


@app.command()
def book(
    cores: Annotated[
        int, typer.Option(min=1, help="Processor cores to use.", show_default="all")
    ] = default_cores(),
    profile: Annotated[
        str, typer.Option(help="Also run this profile, for the replication report.")
    ] = "quick",
) -> None:
    """Run the stale chapters, build the site, and print where it is as the last line."""
    root = checkout()
    require("profile", profile, profile_names(root))
    code = 0
    if profile != "quick":
        code = snakemake(root, "chapters", cores=cores, config={"profile": profile})
    code = code or snakemake(root, "book", cores=cores, config={})
    if code == 0:
        typer.echo(os.path.abspath(root / "build" / "site" / "index.html"))
    raise typer.Exit(code)
