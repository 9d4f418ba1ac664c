"""`robustxai results`: the ledger as a table, and a check that fresh verdicts are the committed ones.

Fresh results lie in `build/<profile>/results`, committed ones in `results/<profile>`. It judges nothing:
verdicts are what the chapters recorded.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from robustxai._cli.run import checkout, profile_names, require

app = typer.Typer()

COLOURS = {"reproduced": "green", "partly": "yellow", "contradicted": "red", "not attempted": "bright_black"}

Records = dict[str, dict[str, Any]]
"""What was recorded about each claim, by its id."""


def read(folder: Path) -> Records:
    """Every claim in the results files of a folder; empty when there are none."""
    files = sorted(folder.glob("*.json"))
    return {record["id"]: record for file in files for record in json.loads(file.read_text())["claims"]}


def ours(record: Mapping[str, Any]) -> str:
    """Our value with its interval, one value per name where the rule has names, or why there is none."""
    from robustxai.plots.numbers import interval, number

    value, bounds = record.get("value"), record.get("interval")
    if value is None:
        return str(record.get("reason", ""))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number(part)}" for name, part in value.items())
    return interval(value, bounds)


def volatile(claims: Path) -> set[str]:
    """The claims that the ledger calls volatile: their numbers depend on the machine, such as a time."""
    import yaml

    chapters = (yaml.safe_load(claims.read_text(encoding="utf-8")) or {}).values()
    return {claim["id"] for entries in chapters for claim in entries or [] if claim.get("volatile")}


def changed_verdicts(fresh: Records, committed: Records, *, ignore: set[str]) -> list[str]:
    """One sentence for each claim whose verdict is not the committed one, or which only one side has."""
    sentences = []
    for claim in sorted((fresh.keys() | committed.keys()) - ignore):
        now, then = (side.get(claim, {}).get("verdict", "missing") for side in (fresh, committed))
        if now != then:
            sentences.append(f"{claim}: the verdict is {now}, the committed one is {then}")
    return sentences


def show(records: Records, *, title: str) -> None:
    """Print the table on stdout."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("claim", "ours", "rule", "verdict", title=title, title_justify="left")
    for claim, record in records.items():
        colour = COLOURS[record["verdict"]]
        cells = (claim, ours(record), record["rule_text"])
        table.add_row(*map(escape, cells), f"[{colour}]{record['verdict']}[/]")
    Console().print(table)


@app.command()
def results(
    profile: Annotated[str, typer.Option(help="A file of workflow/profiles: quick, real or gpu.")] = "quick",
    check: Annotated[
        bool, typer.Option("--check", help="Fail where a verdict is not the committed one.")
    ] = False,
) -> None:
    """Show what was measured for each claim: the last run on this machine, else the committed one."""
    root = checkout()
    require("profile", profile, profile_names(root))
    fresh, committed = read(root / "build" / profile / "results"), read(root / "results" / profile)
    again = f"robustxai run --all --profile {profile}"
    if not fresh and (check or not committed):
        raise ValueError(f"the profile {profile} has no results yet: call {again}")
    show(committed | fresh, title=f"{profile} ({'this machine' if fresh else 'committed'})")
    sentences = changed_verdicts(fresh, committed, ignore=volatile(root / "claims.yml")) if check else []
    for sentence in sentences:
        typer.echo(sentence, err=True)
    if sentences:
        raise typer.Exit(1)
