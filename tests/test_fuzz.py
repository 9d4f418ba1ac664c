"""Bad calls of everything public: almost none is accepted in silence, and few end inside torch, numpy or Python.

A bad call is a row of `fuzz_registry` with one argument spoiled by a value of `fuzz_values`. What becomes of it:

* clear: a ValueError, or a TypeError for a wrong type, of one line, raised by the library and naming an argument;
* nan: no number came of it: NaN out for the samples that are not finite, or NaN throughout;
* accepted: something came back in silence;
* obscure: any other exception.
"""

import inspect
import linecache
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import jaxtyping
import pytest
import torch
from exported import exported
from fuzz_registry import LEFT_OUT, ROOMS, ROWS, Row
from fuzz_values import Bad, bad_values, dims, kind_of, numbers_in
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from torch import Tensor

import robustxai

HOME = str(Path(robustxai.__file__).parent)
ACCEPTED, OBSCURE = 0.01, 0.05


class Spoil(NamedTuple):
    """One argument of a row, and a label of what is bad for it."""

    row: str
    place: str
    argument: str
    label: str
    values: st.SearchStrategy[Any]


@pytest.fixture(autouse=True)
def _as_shipped():
    """Without the runtime shape checks, as a user runs it; one thread, as the tensors are tiny."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    torch.set_num_threads(before)


def partner(row: Row, place: str, argument: str, p: inspect.Parameter, value: Tensor) -> bool:
    """Whether another tensor of the call has one entry for each of this one's samples."""
    mine = dims(p.annotation)
    for where, name, other in row.arguments():
        good = (row.init if where == "init" else row.given).get(name)
        if where != place or name == argument or not isinstance(good, Tensor) or not good.ndim:
            continue
        theirs = dims(other.annotation)
        if mine and theirs and not mine[0].startswith(("*", ".")) and not theirs[0].startswith(("*", ".")):
            if mine[0] == theirs[0]:
                return True
        elif len(good) == len(value):
            return True
    return False


def spoils(name: str) -> list[Spoil]:
    """All that can be spoiled in a row, but for what it frees."""
    row, found = ROWS[name], []
    for place, argument, p in row.arguments():
        given_ = row.init if place == "init" else row.given
        default = None if p.default is p.empty else p.default
        value = given_.get(argument, default)
        required = p.default is not None and "None" not in str(p.annotation)
        kind = row.kinds.get(argument) or kind_of(argument, p, value)
        shared = isinstance(value, Tensor) and value.ndim > 0 and partner(row, place, argument, p, value)
        bad: Bad = bad_values(kind, p, value, partner=shared, required=required)
        for label, values in bad.items():
            if argument not in row.free and f"{argument}.{label}" not in row.free:
                found.append(Spoil(name, place, argument, label, values))
    return found


def samples_of(x: Tensor, n: int) -> Tensor | None:
    """The number with one entry for each of n samples first, or None for a total; paths are (points, n, ...)."""
    if x.ndim and len(x) == n:
        return x
    return x.transpose(0, 1) if x.ndim > 1 and x.shape[1] == n else None


def nothing_of_it(result: Any, value: Any) -> bool:
    """Whether no number came of what is spoiled: its samples, or else the totals, are not finite."""
    found = numbers_in(result)
    if found and all(not x.numel() or x.isnan().all() for x in found):
        return True
    if not isinstance(value, Tensor) or not value.ndim or not len(value) or value.isfinite().all():
        return False
    there = ~value.flatten(1).isfinite().all(1) if value.ndim > 1 else ~value.isfinite()
    each = [s for x in found if (s := samples_of(x, len(value))) is not None]
    spoiled = [x[there] for x in each] if each else found
    return bool(found) and all(not x.isfinite().all() for x in spoiled)


def outcome(spoil: Spoil, value: Any) -> tuple[str, str]:
    """clear, nan, accepted or obscure, and what came."""
    row = ROWS[spoil.row]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = row.call(spoil.place, **{spoil.argument: value})
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        line = linecache.getline(last.filename, last.lineno or 0)
        ours = last.filename.startswith(HOME) and "raise" in line
        text = str(error)
        named = any(n in text for _, n, _ in row.arguments()) or (str(value)[:20] or "''") in text
        right = isinstance(error, (ValueError, TypeError)) and ours and named and "\n" not in text
        return (
            "clear" if right else "obscure"
        ), f"{type(error).__name__}: {text[:90]!r} at {last.filename[-40:]}:{last.lineno}"
    return ("nan" if nothing_of_it(result, value) else "accepted"), f"{result!r:.90}"


def walk(n: int) -> tuple[Counter[str], Counter[tuple[str, ...]], dict[tuple[str, ...], str]]:
    """n bad calls, the same each time: how many came to what, and the offenders with an example of each."""
    every = {name: spoils(name) for name in ROWS}
    every = {name: found for name, found in every.items() if found}
    ends: Counter[str] = Counter()
    offenders: Counter[tuple[str, ...]] = Counter()
    example: dict[tuple[str, ...], str] = {}

    @settings(
        max_examples=n, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.data())
    def run(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(every)))
        spoil = data.draw(st.sampled_from(every[name]))
        value = data.draw(spoil.values)
        end, came = outcome(spoil, value)
        ends[end] += 1
        if end in ("accepted", "obscure"):
            key = (end, name, spoil.argument, spoil.label)
            offenders[key] += 1
            example.setdefault(key, f"{value!r:.40} -> {came}")

    run()
    return ends, offenders, example


def check_shares(n: int) -> None:
    ends, offenders, example = walk(n)
    total = ends.total()
    shares = {end: ends[end] / total for end in ("clear", "nan", "accepted", "obscure")}
    worst = "\n".join(
        f"{count} x {' '.join(key)}: {example[key]}" for key, count in offenders.most_common(40)
    )
    assert total >= 0.9 * n, f"only {total} of {n} calls were drawn"
    assert shares["accepted"] < ACCEPTED and shares["obscure"] < OBSCURE, f"{total} calls, {shares}\n{worst}"


def test_every_public_name_has_a_row_or_a_reason():
    public = {f"{room}.{n}" for room, m in ROOMS.items() for n in exported(m)}
    left = {name for names in LEFT_OUT.values() for name in names.split()}
    assert not public - {*ROWS} - left, "public names without a row in tests/fuzz_registry.py"
    assert not {*ROWS} & left, "rows of names that are left out"
    assert not ({*ROWS} | left) - public, "rows and names that are not public"


@pytest.mark.parametrize("name", ROWS)
def test_a_good_call_is_good_and_what_is_free_exists(name):
    row = ROWS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row.call()
    names = {n for _, n, _ in row.arguments()}
    assert {key.split(".")[0] for key in (*row.free, *row.kinds)} <= names


def test_a_few_hundred_bad_calls_are_refused():
    check_shares(400)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_bad_calls_are_refused():
    check_shares(10_000)
