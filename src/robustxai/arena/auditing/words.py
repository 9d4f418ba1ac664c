"""What an audit says in plain words: the first sentences of a report, and one for every mark in its table.

Everything here is made of the numbers of an audit; there is no other text about a network. Knows no figures.
"""

import math
from collections.abc import Sequence

from robustxai.arena.auditing.rows import OUT_OF_TIME, Line
from robustxai.arena.auditing.settings import AuditSettings, in_255ths
from robustxai.arena.entries import IGNORES
from robustxai.arena.measures import LEAST_IMAGES

BEST_KNOWN = ("GradCAM", "Saliency")
"""The rows of which the first sentence speaks, where they were measured: what most people use."""
TOO_LITTLE = 0.5
"""A map that keeps less than this of its top, with its whole interval, is not recommended."""
FLAGS = {
    "random": "its map of one image differs from call to call",
    "ignores the network": "it hardly changes when all weights of the network are drawn anew, so it cannot say "
    "anything about your network",
    "differs by read-out": "attacked at its own resolution and on the coarse grid it does not do alike",
    "gradient masked": "its own gradients are zero nearly everywhere; the attack followed those of a smoothed network",
    "gradient masked in part": "its own gradients mislead an attack; those of a smoothed network are the stronger",
}
NOT_SAID = (
    "A map that stays is not therefore a map that is right: one that ignores the network may stay best of all. The "
    "columns 'depends on network' and 'deletion' speak about that, with {n} images.",
    "A stronger attack can only lower these numbers. An explainer that was not attacked has no number here, which is "
    "no sign that it would hold.",
    "Only small changes of the images were tried. Somebody who may replace the network's weights, or use another image "
    "altogether, can do more.",
    "They hold for images like these {n}, which were {how}, and for maps of the predicted class.",
)


def percent(share: float | int) -> str:
    """A share for a sentence; a dash where there is none.

    >>> percent(0.614), percent(0.004), percent(float("nan"))
    ('61 %', '0.4 %', '–')
    """
    if math.isnan(share):
        return "–"
    return f"{100 * share:.1f} %" if 0 < share < 0.0095 else f"{100 * share:.0f} %"


def size_of_change(eps: float | int, norm: str) -> str:
    """The budget in words.

    >>> size_of_change(2 / 255, "linf")
    'of at most 2/255 a pixel'
    """
    return f"of at most {in_255ths(eps)} a pixel" if norm == "linf" else f"of length at most {eps:.3g}"


def top_of(readout: str, grid: int | None) -> str:
    """Which part of a map is its top.

    >>> top_of("own", None), top_of("grid", 13)
    ('top twentieth', 'top fifth on a grid of 13 x 13 areas')
    """
    return "top twentieth" if readout == "own" else f"top fifth on a grid of {grid} x {grid} areas"


def headline(line: Line, settings: AuditSettings, grid: int | None, names: Sequence[str]) -> str:
    """The first sentences about one explainer: what an attack leaves, what chance leaves, and the worst image."""
    what = f"{line.row}'s {top_of(line.readout, grid)}"
    if line.state == "n/a":
        return f"{line.row} is not possible here: {line.reason}"
    if line.state in ("not attacked", OUT_OF_TIME):
        return f"Nothing is known about {line.row}: {line.reason} This is no sign that it would hold."
    if line.state == "proof":
        return f"No change of an image can move {line.row}: {line.reason}"
    if line.n < LEAST_IMAGES:
        return f"Only {line.n} images have a number for {line.row}, too few to say anything: {LEAST_IMAGES} are needed."
    at_most = "at most " if line.state == "weak" else ""
    images = f"On {line.n} of your images" if line.n < len(names) else f"On your {line.n} images"
    at, least = line.worst
    said = (
        f"{images} a change {size_of_change(line.eps, settings.norm)} that kept the prediction left "
        f"{at_most}{percent(line.kept.value)} of {what} in place; random change of that size leaves "
        f"{percent(line.noise)}. Worst image: {percent(least)} ({names[at]})."
    )
    return f"{said} This is an upper limit only: {line.reason}" if line.state == "weak" else said


def first_line(lines: Sequence[Line]) -> Line | None:
    """The line of which the first sentence speaks: the best known explainer that has a number, else any line."""
    real = [line for line in lines if line.family != "trivial"]
    counted = [line for line in real if line.counts]
    known = [line for name in BEST_KNOWN for line in counted if line.row == name]
    return next(iter((*known, *counted, *real, *lines)), None)


def recommended(lines: Sequence[Line], ties: Sequence[str]) -> str:
    """Which map to show, and why; or that none can be recommended, and why.

    lines: of one read-out and budget. ties: rows that paired tests cannot tell from the best.
    """
    best = best_line(lines)
    if best is None:
        return (
            "No map can be recommended: of those that depend on your network none was attacked by something that "
            f"was able to move it, on {LEAST_IMAGES} images or more."
        )
    numbers = f"{percent(best.kept.value)}, between {percent(best.kept.low)} and {percent(best.kept.high)}"
    if best.kept.high < TOO_LITTLE:
        return (
            "Show none of these maps where somebody may gain from changing the image: of those that depend on your "
            f"network {best.row} keeps most of its top under attack, and that is {numbers}."
        )
    others = [name for name in ties if name != best.row]
    tied = f", tied with {_listed(others)}" if others else ""
    said = f"Show {best.row}: of the maps that depend on your network it keeps most under attack ({numbers}){tied}."
    rivals = [
        line.row for line in lines if line.ignores and line.counts and line.kept.value > best.kept.value
    ]
    if rivals:
        verb, they = ("keeps", "it does") if len(rivals) == 1 else ("keep", "they do")
        said += f" {_listed(rivals)} {verb} more, but only since {they} not depend on the network."
    if best.kept.low < TOO_LITTLE:
        said += " Even so, do not rely on it where somebody may gain from changing the image: half of its top may go."
    return said


def best_line(lines: Sequence[Line]) -> Line | None:
    """The line with the highest number of those that depend on the network; None without one."""
    chosen = [line for line in lines if line.counts and not line.ignores]
    return max(chosen, key=lambda line: line.kept.value, default=None)


def marks(line: Line) -> list[str]:
    """One sentence for every mark of a line."""
    said = [f"{line.row}: {FLAGS.get(flag, flag)}." for flag in line.flags]
    if line.dependence < IGNORES and "ignores the network" not in line.flags:
        said.append(f"{line.row}: {FLAGS['ignores the network']}.")
    if line.state != "attacked":
        said.append(f"{line.row}, {line.state}: {line.reason}")
    if line.dropped:
        said.append(f"{line.row}: {line.dropped} images are left out, since no attack kept their class.")
    if line.dead:
        said.append(
            f"{line.row}: on {line.dead} images the attacked map is empty or flat, which counts as chance."
        )
    return said


def not_said(n: int, how: str) -> list[str]:
    """What a reader must not conclude."""
    return [sentence.format(n=n, how=how) for sentence in NOT_SAID]


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), names[-1]])
