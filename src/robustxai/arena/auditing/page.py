"""The report as one HTML file: words first, then pictures, a table and a chart; no script, font or file from elsewhere.

It is a template with text and numbers put in; every text is escaped. PictureSet are JPEGs inside the file, made smaller
until the whole has at most `MOST_BYTES` bytes. Knows what a report holds; computes nothing.
"""

import base64
import html
import io
import math
import re
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from PIL import Image
from torch import Tensor

from robustxai.arena.auditing import chart, words
from robustxai.arena.auditing.findings import Findings, Shown
from robustxai.arena.auditing.rows import Line
from robustxai.arena.auditing.settings import in_255ths
from robustxai.plots import overlay

MOST_BYTES = 3_000_000
"""Bytes of the file at most."""
SIDES = (224, 176, 128, 96)
"""Pixels of one picture's longer side, tried in this order."""
MAGNIFIED = 20
"""How many times the change of an image is drawn larger than it is."""


def page(report: Findings) -> str:
    """The whole file as text. Raises ValueError where it cannot be made small enough."""
    text = files("robustxai.arena.auditing").joinpath("report_template.html").read_text(encoding="utf-8")
    fixed = {
        "title": html.escape(f"Audit of {report.network}"), "lede": _paragraphs(report.summary(), "lede"),
        "verdict": _verdict(report), "facts": _facts(report), "warnings": _warnings(report),
        "table": _table(report), "chart": chart.kept_by_image(report.lines),
        "narrow_chart": chart.kept_by_image(report.lines, chart.NARROW),
        "marks": _items([s for line in report.lines for s in words.marks(line)]),
        "not_said": _items(words.not_said(len(report.x), report.how)), "skipped": _skipped(report),
        "command": html.escape(report.command),
    }  # fmt: skip
    made = ""
    for side in SIDES:
        parts = fixed | {"gallery": _gallery(report, side)}
        made = re.sub(r"\{\{(\w+)\}\}", lambda place, parts=parts: parts[place[1]], text)
        if len(made.encode()) <= MOST_BYTES:
            return made
    raise ValueError(f"report.html must have at most {MOST_BYTES} bytes, got {len(made.encode())}")


def _paragraphs(sentences: Sequence[str], kind: str) -> str:
    return "\n".join(f'<p class="{kind}">{html.escape(s)}</p>' for s in sentences)


def _items(sentences: Sequence[str]) -> str:
    if not sentences:
        return "<p>None.</p>"
    return "<ul>\n" + "\n".join(f"<li>{html.escape(s)}</li>" for s in sentences) + "\n</ul>"


def _verdict(report: Findings) -> str:
    verdict, rule = report.verdict(), words.percent(report.settings.fail_under)
    said = {
        "passed": f"Passed: every explainer that counts keeps {rule} of its top, with its whole interval.",
        "failed": f"Failed: an explainer that counts keeps less than {rule} of its top, with its whole interval.",
        "undecided": f"Undecided: these images do not say whether every explainer that counts keeps {rule} of its top.",
    }[verdict]
    each = ", ".join(f"{name} {v}" for name, v in report.verdicts().items())
    return (
        f'<p class="verdict {verdict}"><strong>{html.escape(said)}</strong>'
        f"<span>{html.escape(each or 'No explainer counts.')}</span></p>"
    )


def _facts(report: Findings) -> str:
    s, right = report.settings, report.accuracy
    size = " x ".join(map(str, report.x.shape[2:]))
    facts = {
        "Network": report.network, "Images": f"{len(report.x)}, {report.how}, {size} pixels",
        "Right on the labels": "no labels" if right is None else words.percent(right),
        "Attacker": f"changes the image by {words.size_of_change(s.eps, s.norm).removeprefix('of ')}, keeps the "
        "predicted class, knows the network and the explainer",
        "Read": f"how much of the {words.top_of(s.on, report.grid)} stays", "Layer": report.layer,
        "Suite": f"{s.suite}, seed {s.seed}",
    }  # fmt: skip
    return "\n".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items())


def _warnings(report: Findings) -> str:
    return "\n".join(f'<p class="warning">{html.escape(w)}</p>' for w in report.warnings)


def _skipped(report: Findings) -> str:
    if not report.skipped:
        return "<p>Every file was read.</p>"
    said = [f"{name} {reason}" for name, reason in report.skipped[:20]]
    more = len(report.skipped) - len(said)
    return f"<p>{len(report.skipped)} files were skipped.</p>" + _items(
        [*said, *([f"and {more} more"] if more else [])]
    )


def _number(value: float | int) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _cells(line: Line, masked: bool) -> list[str]:
    """The numbers of a row: none where its state forbids one. masked: also the share of the map on the object."""
    if line.state in ("attacked", "weak") and line.n:
        bound = "at most " if line.state == "weak" else ""
        kept = f"{bound}{words.percent(line.kept.value)}"
        between = f"{words.percent(line.kept.low)} to {words.percent(line.kept.high)}"
        numbers = [kept, between, words.percent(line.noise), words.percent(line.worst[1])]
    else:
        numbers = ["all" if line.state == "proof" else "–", "–", "–", "–"]
    return [
        *numbers,
        _number(line.dependence),
        _number(line.deletion),
        *([_number(line.mass)] if masked else []),
        line.worst_attack or "–",
    ]


def _table(report: Findings) -> str:
    masked = any(not math.isnan(line.mass) for line in report.lines)
    columns = (
        "explainer", "state", "kept under attack", "95 % interval", "kept under noise", "worst image",
        "depends on network", "deletion", *(("on the object",) if masked else ()), "strongest attack",
    )  # fmt: skip
    ordered = sorted(
        report.lines, key=lambda x: (x.family == "trivial", not x.counts, -x.kept.value if x.counts else 0.0)
    )
    head = "".join(f'<th scope="col">{c}</th>' for c in columns)
    rows = []
    for line in ordered:
        cells = "".join(
            f'<td data-label="{label}">{html.escape(text)}</td>'
            for label, text in zip(columns[1:], [line.state, *_cells(line, masked)], strict=True)
        )
        kind = "aside" if line.ignores or not line.counts else "counted"
        rows.append(f'<tr class="{kind}"><th scope="row">{html.escape(line.row)}</th>{cells}</tr>')
    budget = f"Budget {in_255ths(report.settings.eps)} ({report.settings.norm})."
    caption = f"<caption>{html.escape(budget)} Grey rows have no number, or ignore the network.</caption>"
    body = "\n".join(rows)
    return f"<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def _gallery(report: Findings, side: int) -> str:
    if not report.gallery:
        return "<p>There are no pictures: no explainer has a number, or the time was over.</p>"
    return "\n".join(_strip(report, shown, side) for shown in report.gallery)


def _strip(report: Findings, shown: Shown, side: int) -> str:
    """One explainer: for each of its images the image, its map, the attacked image, its map, and the change."""
    clean = report.x[[*shown.places]].cpu()
    change = (0.5 + MAGNIFIED * (shown.adversarials - clean)).clamp(0, 1)
    parts = {
        "image": _pixels(clean), "its map": overlay(_three(clean), shown.clean),
        "attacked image": _pixels(shown.adversarials),
        "its map after": overlay(_three(shown.adversarials), shown.attacked),
        f"the change, {MAGNIFIED} times": _pixels(change),
    }  # fmt: skip
    blocks = []
    for i, (place, title) in enumerate(zip(shown.places, shown.titles, strict=True)):
        pictures = "".join(
            f'<figure><img src="{jpeg_address(values[i], side)}" alt="{name} of {html.escape(report.images[place])}">'
            f"<figcaption>{name}</figcaption></figure>"
            for name, values in parts.items()
        )
        about = f"{title}: {report.images[place]}, seen as {_class_name(report, place)}"
        blocks.append(f'<h4>{html.escape(about)}</h4><div class="strip">{pictures}</div>')
    return f"<h3>{html.escape(shown.row)}</h3>\n" + "\n".join(blocks)


def _class_name(report: Findings, place: int) -> str:
    t = int(report.target[place])
    return report.classes[t] if t < len(report.classes) else f"class {t}"


def _three(x: Tensor) -> Tensor:
    return x if x.shape[1] in (1, 3) else x.mean(1, keepdim=True)


def _pixels(x: Tensor) -> np.ndarray:
    return _three(x).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def jpeg_address(pixels: np.ndarray, side: int) -> str:
    """A picture (h, w, 3) in [0, 1] as the address of a JPEG inside the page, its longer side `side` pixels.

    >>> jpeg_address(np.zeros((4, 4, 3)), 8)[:23]
    'data:image/jpeg;base64,'
    """
    image = Image.fromarray((pixels * 255).round().astype(np.uint8))
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    buffer = io.BytesIO()
    how = Image.Resampling.NEAREST if scale >= 3 else Image.Resampling.LANCZOS
    image.resize(size, how).save(buffer, format="JPEG", quality=86, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
