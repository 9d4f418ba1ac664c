"""`robustxai results`: the ledger as a table, and a check that fresh verdicts and values are the committed ones.

Fresh results lie in `build/<profile>/results`, committed ones in `results/<profile>`. It judges nothing:
verdicts are what the chapters recorded.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import robustxai
from robustxai._cli.run import checkout, find_checkout, profile_names, require

app = typer.Typer()

COLOURS = {
    "reproduced": "green",
    "partly": "yellow",
    "undecided": "blue",
    "depends on an unknown": "blue",
    "contradicted": "red",
    "not attempted": "bright_black",
}

PROFILES = ("quick", "real", "gpu", "paper")
"""Those that claims may name, for where there is no checkout whose folder lists them."""

Records = dict[str, dict[str, Any]]
"""What was recorded about each claim, by its id."""


def read(folder: Path) -> Records:
    """Every claim in the results files of a folder; empty when there are none.

    Raises ValueError, naming the file, for one that does not hold results.
    """
    return {record["id"]: record for file in sorted(folder.glob("*.json")) for record in claims_of(file)}


def claims_of(file: Path) -> list[dict[str, Any]]:
    """The claims in a results file. Raises ValueError, naming it, where it is empty, cut short or something else."""
    try:
        claims = json.loads(file.read_text(encoding="utf-8"))["claims"]
        unknown = {record["verdict"] for record in claims} - COLOURS.keys()
        complete = all({"id", "rule_text"} <= record.keys() for record in claims)
    except (ValueError, KeyError, TypeError, AttributeError):
        unknown, complete, claims = set(), False, []
    if unknown or not complete:
        again = f"robustxai run {file.stem}"
        raise ValueError(
            f"{file} does not hold results: call {again}, or restore the file, if it was committed"
        )
    return claims


def ours(record: Mapping[str, Any]) -> str:
    """Our value with its interval, one value per name where the rule has names, or why there is none."""
    from robustxai.plots.numbers import interval

    value, bounds = record.get("value"), record.get("interval")
    if value is None:
        return str(record.get("reason", ""))
    if not isinstance(value, Mapping):
        return interval(value, bounds)
    each = bounds if isinstance(bounds, Mapping) else {}
    return ", ".join(f"{name} {interval(part, each.get(name))}" for name, part in value.items())


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
    """Print the table on stdout, with ids and verdicts whole: in a narrow terminal the other columns fold first."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    longest = max(map(len, records), default=0)
    roomy = longest + 52 <= console.width  # the longest verdict has 21 letters
    table = Table(title=title, title_justify="left")
    table.add_column("claim", overflow="fold", no_wrap=roomy)
    table.add_column("ours", overflow="fold")
    table.add_column("rule", overflow="fold")
    table.add_column("verdict", overflow="fold", no_wrap=roomy)
    for claim, record in records.items():
        colour = COLOURS[record["verdict"]]
        cells = (claim, ours(record), record["rule_text"])
        table.add_row(*map(escape, cells), f"[{colour}]{record['verdict']}[/]")
    console.print(table)


def draw(records: Records, file: Path, *, title: str) -> None:
    """Write the forest plot of the values: the paper's claims and ours, with the setting where a claim has several.

    Raises ValueError for a file that is not to end in .svg, or whose folder does not exist.
    """
    from robustxai.claims.forest import forest_lines
    from robustxai.plots.forest import forest

    if file.suffix != ".svg" or not file.parent.is_dir():
        raise ValueError(f"plot must be a file .svg in a folder that exists, got {file}")
    lines = [
        (
            f"{line.claim} {line.setting}".rstrip() + ("" if line.whose == "paper" else " (ours)"),
            f"{line.ours}, {line.rule}",
            line.kind,
            line.bar,
        )
        for line in forest_lines(records.values())
    ]
    file.write_text(forest(title, lines), encoding="utf-8")
    typer.echo(f"{len(lines)} values are drawn in {file}", err=True)


def source(root: Path | None, profile: str) -> tuple[Records, Records, str]:
    """Fresh and stored claims of a profile, and where they are from.

    In a checkout: its last run and its committed results. Elsewhere: what chapters left in the folder that
    ROBUSTXAI_RESULTS names or in `results` of the current one; else those of the checkout that this package runs from.
    """
    if root is not None:
        fresh, stored = read(root / "build" / profile / "results"), read(root / "results" / profile)
        return fresh, stored, "this machine" if fresh else "committed"
    own = Path(os.environ.get("ROBUSTXAI_RESULTS") or "results")
    if found := read(own / profile):
        return {}, found, str(own / profile)
    package = find_checkout(Path(robustxai.__file__).resolve().parent)
    return {}, read(package / "results" / profile) if package else {}, "committed"


@app.command()
def results(
    chapter: Annotated[str | None, typer.Argument(help="Only this chapter's claims.")] = None,
    profile: Annotated[
        str, typer.Option(help="A file of workflow/profiles: quick, real, gpu or paper.")
    ] = "quick",
    check: Annotated[
        bool, typer.Option("--check", help="Fail where a verdict is not the committed one, or a value moved.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Write a forest plot of the values to this SVG file as well.")
    ] = None,
) -> None:
    """Show what was measured for each claim: the last run on this machine, else the committed one."""
    root = checkout() if check else find_checkout(Path.cwd())
    require("profile", profile, profile_names(root) if root else list(PROFILES))
    fresh, stored, where = source(root, profile)
    again = f"robustxai run {chapter or '--all'} --profile {profile}"
    if not fresh and not stored and root is None:
        raise ValueError(
            f"there are no results of the profile {profile} here: go to a checkout, or run a chapter"
        )
    if not fresh and (check or not stored):
        raise ValueError(f"the profile {profile} has no results yet: call {again}")
    if chapter is not None:
        require("chapter", chapter, sorted({claim.partition(".")[0] for claim in stored | fresh}))
        fresh, stored = of_chapter(fresh, chapter), of_chapter(stored, chapter)
    if check and not fresh:
        raise ValueError(f"the profile {profile} has no results of {chapter} yet: call {again}")
    title = f"{profile} ({where})"
    show(stored | fresh, title=title)
    if plot is not None:
        draw(stored | fresh, plot, title=f"{chapter or 'All claims'}, {title}")
    volatile_ones = volatile(root / "claims.yml") if check and root else set()
    sentences = []
    if check and root:
        from robustxai._cli._moved import moved_values

        sentences = changed_verdicts(fresh, stored, ignore=volatile_ones)
        sentences += moved_values(fresh, stored, root / "notebooks", ignore=volatile_ones)
    for sentence in sentences:
        typer.echo(sentence, err=True)
    if sentences:
        raise typer.Exit(1)


def of_chapter(records: Records, chapter: str) -> Records:
    """The claims of one chapter, whose name is the first part of their ids."""
    return {claim: record for claim, record in records.items() if claim.partition(".")[0] == chapter}
