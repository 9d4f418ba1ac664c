"""The printed line of a claim, read back: whether its verdict is what the claim's own rule says about its numbers.

    REPRODUCED   gate | It holds. | ours 0.99 [0.98, 1.00], n=1100 images | rule: at least 0.970

Numbers in a line are rounded, so a verdict counts as right if some value within the rounding has it. Knows nothing
about how a claim is measured.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

from robustxai.claims.ledger import Claim
from robustxai.claims.rules import RatioAtLeast
from robustxai.claims.verdicts import judge, over_settings
from robustxai.notebook.labels import CLAIM_LINE, OURS

_FLOAT = r"-?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_VALUE = re.compile(rf"({_FLOAT})(?: \[({_FLOAT}), ({_FLOAT})\])?")


def misjudged(line: str, claim: Claim) -> str | None:
    """What is wrong with the verdict of a line, or None: also where a line has no numbers to judge.

    Volatile claims and those not attempted have none.
    """
    verdict, ours = CLAIM_LINE.match(line), OURS.search(line)
    if verdict is None or ours is None or claim.volatile or verdict[1] == "NOT ATTEMPTED":
        return None
    said = verdict[1].lower()
    each = [
        {
            judge(claim.rule, value, interval=interval, exact=claim.exact)
            for value, interval in _readings(part, claim)
        }
        for part in _settings(ours[1], claim)
    ]
    possible = {over_settings(found, unknown=bool(claim.unknown)) for found in itertools.product(*each)}
    if said in possible:
        return None
    return f"claim {verdict[2]}: {said} came out, its rule ({claim.rule.words()}) says {' or '.join(sorted(possible))}"


def _settings(ours: str, claim: Claim) -> list[str]:
    """The part of a line about each setting."""
    parts = ours.split("; ") if claim.settings else [ours]
    return [part.removeprefix(f"{name} ") for name, part in zip(claim.settings or [""], parts, strict=True)]


def _readings(part: str, claim: Claim) -> Iterator[tuple[Any, Any]]:
    """Values and intervals that print as this part: each number as it stands, and up or down by its rounding."""
    rule = claim.rule
    if isinstance(rule, RatioAtLeast):
        ratio, *bounds = _VALUE.match(part).groups()  # pyright: ignore[reportOptionalMemberAccess]
        named = {"": (ratio, *bounds)}
    elif rule.named:
        named = {
            name: re.search(rf"(?:^|, ){re.escape(name)} {_VALUE.pattern}", part).groups()  # pyright: ignore[reportOptionalMemberAccess]
            for name in rule.order  # pyright: ignore[reportAttributeAccessIssue]
        }
    else:
        named = {"": _VALUE.match(part).groups()}  # pyright: ignore[reportOptionalMemberAccess]
    for value_up, bounds_up in itertools.product((-1, 0, 1), repeat=2):
        values = {name: _moved(v, value_up) for name, (v, _, _) in named.items()}
        pairs = {
            name: None if low is None else tuple(sorted((_moved(low, bounds_up), _moved(high, bounds_up))))
            for name, (_, low, high) in named.items()
        }
        intervals = pairs if all(pairs.values()) else None
        if isinstance(rule, RatioAtLeast):
            yield dict(zip(rule.of, (values[""], 1.0), strict=True)), pairs[""]
        elif rule.named:
            yield values, intervals
        else:
            yield values[""], pairs[""]


def _moved(text: str, up: int) -> float:
    """A number in writing, up or down by half of its last digit."""
    digits, _, power = text.partition("e")
    places = len(digits.partition(".")[2])
    return float(text) + up * 0.5 * 10.0 ** (int(power or 0) - places)
