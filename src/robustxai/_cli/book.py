"""`robustxai book`: run what is stale in the quick profile and build the site.

It knows the Snakemake target and where the site ends up, nothing else.
"""

from typing import Annotated

import typer

from robustxai._cli.run import checkout, default_cores, snakemake

app = typer.Typer()


@app.command()
def book(
    cores: Annotated[
        int, typer.Option(min=1, help="Processor cores to use.", show_default="all")
    ] = default_cores(),
) -> None:
    """Run the stale chapters in the quick profile, build the site, and print where it is as the last line."""
    root = checkout()
    code = snakemake(root, "book", cores=cores, config={})
    if code == 0:
        typer.echo(root / "build" / "site" / "index.html")
    raise typer.Exit(code)
