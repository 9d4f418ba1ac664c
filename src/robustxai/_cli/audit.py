"""`robustxai audit MODEL IMAGES`: attack the explanations of your own network, and get a report and an exit code.

Exit codes: 0 every explainer that counts holds, 1 one does not, 3 the images do not say, 2 bad input, 130 interrupted
(what was finished is saved). It reads arguments and prints; the audit is in `robustxai.arena.auditing`.
"""

import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from robustxai.arena.auditing.report import Report
    from robustxai.arena.auditing.settings import AuditSettings
    from robustxai.arena.auditing.subject import AuditData

app = typer.Typer()
Option = typer.Option


Model = Annotated[
    str,
    typer.Argument(
        help="file.py:factory (RUNS that file), torchvision:resnet18?weights=w.pth, timm:NAME?weights=w.pth, "
        "hf:FOLDER, or zoo:NAME. Nothing is downloaded."
    ),
]
Images = Annotated[
    str, typer.Argument(help="A folder of images or of folders of them, an .npz or a .pt file.")
]
Masks = Annotated[
    str | None, Option(help="Folder of masks, white on the object, with the stems of the images.")
]
Boxes = Annotated[str | None, Option(help="JSON file {image: [x0, y0, x1, y1]}, in pixels.")]
Labels = Annotated[str | None, Option(help="CSV file with lines image,class.")]
Layer = Annotated[
    str | None, Option(help="Of class activation maps; default: the last map before the logits.")
]
Reshape = Annotated[str | None, Option(help="Tokens of --layer as a map: vit, tokens or channels_last.")]
Explainers = Annotated[str, Option(help="standard, fast, all, or names with commas between them.")]
Eps = Annotated[str, Option(help="Largest change of an image in [0, 1], such as 2/255.")]
Norm = Annotated[str, Option(help="linf, of each pixel, or l2, of the whole image.")]
Suite = Annotated[str, Option(help="quick, or standard: more attacks with more steps.")]
N = Annotated[int, Option(help="Images at most; which ones, --seed draws.")]
BatchSize = Annotated[int, Option(help="Images attacked at once; halved when memory is short.")]
Size = Annotated[int | None, Option(help="Pixels of a side; default: what the network says, else 224.")]
Mean = Annotated[str | None, Option(help="Of the normalisation, one number or three with commas.")]
Std = Annotated[str | None, Option(help="Of the normalisation, one number or three with commas.")]
Device = Annotated[str, Option(help="auto, cpu, cuda or mps.")]
Minutes = Annotated[float, Option(help="Hard limit of the time; the same command goes on from there.")]
Seed = Annotated[int, Option(help="Of the draw of images, and of what attacks draw.")]
Out = Annotated[Path, Option(help="Folder of the report; nothing is written outside it.")]
FailUnder = Annotated[float, Option(help="Share of the top that must stay, for exit code 0.")]
On = Annotated[str, Option(help="grid: the top fifth of coarse areas; own: the top twentieth of the map.")]
Rows = Annotated[str, Option(help="Explainers that decide; default: all that read the network.")]
UndecidedOk = Annotated[bool, Option("--undecided-ok", help="Exit code 0 in place of 3.")]
Selftest = Annotated[bool, Option("--selftest", help="First: do the attacks find what was planted for them?")]
DryRun = Annotated[
    bool, Option("--dry-run", help="Check the input, print minutes and memory a row, and end.")
]


@app.command()
def audit(
    model: Model,
    images: Images,
    masks: Masks = None,
    boxes: Boxes = None,
    labels: Labels = None,
    layer: Layer = None,
    reshape: Reshape = None,
    explainers: Explainers = "standard",
    eps: Eps = "2/255",
    norm: Norm = "linf",
    suite: Suite = "quick",
    n: N = 32,
    batch_size: BatchSize = 16,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    device: Device = "auto",
    minutes: Minutes = 10.0,
    seed: Seed = 0,
    out: Out = Path("audit"),
    fail_under: FailUnder = 0.5,
    on: On = "grid",
    rows: Rows = "",
    undecided_ok: UndecidedOk = False,
    selftest: Selftest = False,
    dry_run: DryRun = False,
) -> None:
    """Attack the explanations of your own network on your images, and write a report of four files.

    \f
    26 parameters, as each is an option of the command.
    """
    started = time.monotonic()  # loading torch counts
    from robustxai.arena.auditing.settings import AuditSettings, read_eps
    from robustxai.arena.auditing.subject import AuditData

    settings = AuditSettings(
        explainers=explainers, eps=read_eps(eps), norm=norm, suite=suite, n=n,
        minutes=minutes, seed=seed, batch_size=batch_size,
        fail_under=fail_under, on=on, rows=rows,
    )  # fmt: skip
    data = AuditData(masks, boxes, labels, size, _numbers("mean", mean), _numbers("std", std))
    where: dict[str, Any] = dict(layer=layer, reshape=reshape, device=device)
    if dry_run:
        _dry_run(model, images, data, settings, where)
        return
    tested = (_selftest(settings.suite, settings.norm),) if selftest else ()
    where["started"] = started
    raise typer.Exit(_audit((model, images, data, settings), where, out, undecided_ok, tested))


def _audit(
    what: tuple[str, str, "AuditData", "AuditSettings"],
    where: dict[str, Any],
    out: Path,
    undecided_ok: bool,
    tested: tuple[str, ...],
) -> int:
    """Run it, save it, print the first sentences; the exit code. tested: what the self-test said, for the report."""
    from robustxai.arena.auditing.audit import Interrupted, audit as run

    model, images, data, settings = what
    command = shlex.join(["robustxai", *sys.argv[1:]])
    how: dict[str, Any] = dict(
        data=data, how=settings, out=out, command=command, say=lambda line: typer.echo(line, err=True)
    )
    try:
        report = run(model, images, **where, **how)
    except Interrupted as stopped:
        if any(line.n for line in stopped.report.lines):
            stopped.report.save(out, full=False)
        typer.echo(f"robustxai: stopped; the same command goes on from what is finished in {out}", err=True)
        return 130
    except KeyboardInterrupt:
        typer.echo("robustxai: stopped before any attack began", err=True)
        return 130
    report = replace(report, warnings=(*report.warnings, *tested))
    _print(report, report.save(out))
    return report.exit_code(undecided_ok=undecided_ok)


def _print(report: "Report", files: list[Path]) -> None:
    for sentence in [*report.warnings, report.layer, *report.summary()]:
        typer.echo(sentence)
    verdicts = ", ".join(f"{row} {verdict}" for row, verdict in report.verdicts().items())
    typer.echo(
        f"{report.verdict()} (at least {report.settings.fail_under:g}): {verdicts or 'no explainer counts'}"
    )
    typer.echo(str(files[0]))


def _dry_run(
    model: str, images: str, data: "AuditData", settings: "AuditSettings", where: dict[str, Any]
) -> None:
    """Check everything, time one forward pass, and print what each row would take."""
    from robustxai.arena.auditing.cost import estimate
    from robustxai.arena.auditing.subject import prepare_subject

    subject = prepare_subject(model, images, data, settings, **where)
    found = subject.inspected
    for sentence in [*found.warnings, subject.layer.words]:
        typer.echo(sentence)
    typer.echo(f"{len(found.x)} images, {1000 * found.seconds:.1f} ms a forward pass of one")
    total = 0.0
    for row in subject.rows:
        lacking = [need for need in row.needs if need != "layer" or subject.layer.name is None]
        one = estimate(
            row, n=len(found.x), seconds=found.seconds, megabytes=found.megabytes, batch_size=found.batch_size,
            suite=settings.suite,
        )  # fmt: skip
        total += 0.0 if lacking else one.minutes
        said = (
            f"not possible, needs {', '.join(lacking)}"
            if lacking
            else f"{one.minutes:8.1f} min {one.megabytes:8.0f} MB"
        )
        typer.echo(f"{row.name:24} {said}")
    limit = "no limit" if settings.minutes is None else f"--minutes {settings.minutes:g}"
    typer.echo(f"{'together':24} {total:8.1f} min, within a factor of two; {limit}")


def _selftest(suite: str, norm: str) -> str:
    """Attack networks in which a flood of the map was planted, within reach and out of it; in words."""
    from robustxai.arena.auditing.settings import SUITE_NAMES
    from robustxai.arena.planted import by_suite, selftest

    eps = 8 / 255
    found = selftest(by_suite(SUITE_NAMES[suite], eps=eps, norm=norm), eps=eps, norm=norm)
    if found.passed:
        return f"Self-test of the {suite} suite passed. {found}."
    return f"Self-test of the {suite} suite failed, so it may miss what a better attack finds. {found}."


def _numbers(name: str, written: str | None) -> list[float] | None:
    """Numbers with commas between them; a single one counts for three channels. Raises ValueError."""
    if written is None:
        return None
    try:
        found = [float(part) for part in written.split(",")]
    except ValueError:
        raise ValueError(f"{name} must be numbers with commas between them, got {written!r}") from None
    return found * 3 if len(found) == 1 else found
