"""What an audit is asked for: one frozen object, checked before anything runs. Knows names and numbers only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from robustxai.arena.evaluate import ARENA_NORMS
from robustxai.arena.readouts import READOUTS
from robustxai.checks import check_count, check_name, check_positive, check_share

EXPLAINER_SETS = ("standard", "fast", "all")
"""Explainers by one word: class activation maps and gradients; the cheapest of them; all that the network allows."""
SUITE_NAMES = {"quick": "quick", "standard": "real"}
"""Suites by the name that a user sees, and by that of the arena."""


@dataclass(frozen=True)
class AuditSettings:
    """The settings of one audit, named as on the command line.

    eps: half the side of the box (linf) or the length of the change (l2), for images in [0, 1]; also as text, "2/255".
    explainers: of `EXPLAINER_SETS`, or names. minutes: of all attacks together; None is no end. fail_under: what the
    lower end must reach. on: the read-out that is judged. rows: those that are judged, empty for every explainer that
    reads the network. Raises ValueError.

    >>> AuditSettings(n=8).eps == 2 / 255
    True
    """

    explainers: str | Sequence[str] = "standard"
    eps: Any = 2 / 255
    norm: str = "linf"
    suite: str = "quick"
    n: int = 32
    minutes: float | int | None = 10.0
    seed: int = 0
    batch_size: int = 16
    fail_under: float | int = 0.5
    on: str = "grid"
    rows: Sequence[str] = ()

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 - a frozen object's own setter
        put("eps", read_eps(self.eps))
        check_name("norm", self.norm, ARENA_NORMS)
        check_name("suite", self.suite, SUITE_NAMES)
        check_name("on", self.on, READOUTS)
        put("n", check_count("n", self.n))
        put("batch_size", check_count("batch_size", self.batch_size))
        put("seed", check_count("seed", self.seed, 0))
        if self.minutes is not None:
            put("minutes", check_positive("minutes", self.minutes))
        put("fail_under", check_share("fail_under", self.fail_under))
        put("rows", names_of_rows(self.rows))
        chosen = self.explainers
        put("explainers", chosen if chosen in EXPLAINER_SETS else names_of_rows(chosen))
        if not self.explainers:
            raise ValueError(f"explainers must be one of {', '.join(EXPLAINER_SETS)}, or names, got none")


def read_eps(written: Any) -> float:
    """A number above 0, also as "2/255". Raises ValueError.

    >>> read_eps("0.5")
    0.5
    """
    if isinstance(written, str):
        if not re.fullmatch(r"\s*[\d.]+\s*(/\s*[\d.]+)?\s*", written):
            raise ValueError(f"eps must be a number above 0, such as 2/255, got {written!r}")
        try:
            top, _, bottom = written.partition("/")
            written = float(Fraction(top.strip()) / Fraction(bottom.strip() or "1"))
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError(f"eps must be a number above 0, such as 2/255, got {written!r}") from error
    return check_positive("eps", written)


def names_of_rows(written: str | Sequence[str]) -> tuple[str, ...]:
    """Names, also as one string with commas between them.

    >>> names_of_rows("GradCAM, Saliency")
    ('GradCAM', 'Saliency')
    """
    parts = written.split(",") if isinstance(written, str) else list(written)
    return tuple(part.strip() for part in parts if part.strip())


def in_255ths(eps: float | int) -> str:
    """A budget as people write it: 2/255 where it is a small multiple of a 255th, else three digits.

    >>> in_255ths(2 / 255), in_255ths(0.25)
    ('2/255', '0.25')
    """
    levels = 255 * eps
    near = round(levels * 4) / 4
    small = near and near < 60 and abs(levels - near) < 1e-6 * levels
    return f"{near:g}/255" if small else f"{eps:.3g}"
