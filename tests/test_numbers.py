"""NaN never becomes a number: every measure and statistic, fed with what has no answer, says so.

One registry, `ROWS`. A row says how a function is called well, and which of its arguments are numbers, maps, counts,
shares and so on. A generic property spoils one argument of one row at a time and asserts what the contract says: NaN
comes out where NaN, inf or a dead map went in, and only there, or a ValueError of one sentence; never a number, never
another error. A function in the `__all__` of a room in `ROOMS` that has no row fails the test.

To add a statistic: one `Row(...)` in `ROWS`, and its module in `ROOMS` if all of that module is to be held to it.
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from torch import Tensor, nn

from robustxai import claims, metrics, nets

ROOMS = {"metrics": metrics}
"""Modules of which every public function needs a row."""
RESULTS = {"Curve", "Infidelity", "Information", "Interval", "Mean", "Sensitivity"}
"""Classes that only hold what a function returned: they are read, never fed."""

BAD_COUNTS = (-1, 0, 1.5, math.nan, "3", None, True)
BAD_SHARES = (-0.1, 1.5, math.nan, math.inf, "half", None)
BAD_POSITIVE = (0, -1.0, math.nan, math.inf, "one")
BAD_NAMES = ("bogus", 3, None)
BAD_TARGETS = (1.7, -1, 99, [0, 1], "cat", torch.tensor([0.0, 1.0, 2.0]), torch.tensor([True, False, True]))


@dataclasses.dataclass(frozen=True)
class Row:
    """How to call a function well, and what its arguments are.

    Args:
        call: the function.
        make: fresh arguments by name. Per-sample arguments hold `N` samples.
        numbers: arguments of floats in which NaN or inf spoils the sample that holds it.
        whole: those in which it spoils the whole result (a number, an interval).
        refused: those in which it must be refused, because the result cannot be NaN or the argument is an option.
        dead: maps that give NaN where a sample's map is constant.
        empty: arguments that may not be empty, or then give NaN.
        lengths: arguments that hold one entry for each sample: another length is refused.
        bad: bad values by argument: each is refused.
        read: from the result to what must be NaN, (N, ...), or a number.
    """

    call: Callable[..., Any]
    make: Callable[[], dict[str, Any]]
    numbers: Sequence[str] = ()
    whole: Sequence[str] = ()
    refused: Sequence[str] = ()
    dead: Sequence[str] = ()
    empty: Sequence[str] = ()
    lengths: Sequence[str] = ()
    bad: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    read: Callable[[Any], Any] = lambda result: result


N = 3
SPOILS = (math.nan, math.inf, -math.inf)


def maps(seed: int, n: int = N, side: int = 8) -> Tensor:
    return torch.rand(n, side, side, generator=torch.Generator().manual_seed(seed))


def images() -> Tensor:
    return torch.rand(N, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def logits(seed: int, classes: int = 4) -> Tensor:
    return torch.randn(N, classes, generator=torch.Generator().manual_seed(seed))


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
        ).eval()


def bright(x: Tensor) -> Tensor:
    """Logits that rise with the middle of an image."""
    z = 14 * (x[:, :, 3:5, 3:5].mean((1, 2, 3)) - 0.5)
    return torch.stack((z, -z), 1)


def spot_of() -> dict[str, Any]:
    x, row = 0.2 * images(), (torch.arange(8) - 3.5).abs()
    x[:, :, 2:6, 2:6] += 0.75
    return dict(
        model=bright,
        x=x,
        maps=(8 - row[:, None] - row[None]).expand(N, 8, 8).contiguous(),
        target=0 * labels(),
    )


def labels() -> Tensor:
    return torch.tensor([0, 3, 1])


def pair() -> dict[str, Any]:
    return dict(a=maps(1), b=maps(2))


def curve_of() -> dict[str, Any]:
    return dict(model=network(), x=images(), maps=maps(1), target=labels())


def values() -> dict[str, Any]:
    return dict(values=[0.1, 0.4, 0.2, 0.3, 0.6])


def alike(call: Callable[..., Any], **bad: Sequence[Any]) -> Row:
    """A similarity of two batches of maps."""
    both = ("a", "b")
    return Row(call, pair, numbers=both, dead=both, empty=both, lengths=("b",), bad=bad)


def spread(call: Callable[..., Any], make: Callable[[], dict[str, Any]], **more: Any) -> Row:
    return Row(call, make, numbers=("maps",), empty=("maps",), **more)


TOP = (0, -1, 65, 1.5, 0.0, -0.2, math.nan, "5", None, True)
PERTURBED: dict[str, Any] = dict(
    numbers=("attribution",), refused=("x",), empty=("x",), lengths=("attribution", "target")
)
CURVE: dict[str, Any] = dict(
    numbers=("maps",), refused=("x",), dead=("maps",), empty=("x", "maps"), lengths=("maps", "target")
)
ANSWERS: dict[str, Any] = dict(target=BAD_TARGETS, batch_size=BAD_COUNTS)
STATISTIC: dict[str, Any] = dict(
    values=("text", [[1.0], [2.0]], [math.inf, 1.0], {"a": 1}, ["a"]), confidence=(*BAD_SHARES, 0, 1)
)
SENSITIVE: dict[str, Any] = dict(
    radius=BAD_POSITIVE, draws=BAD_COUNTS, clip=((1, 0), 0.5, (0, math.nan), (0.0, 0.1)), target=(1.7, -1, [0, 1]),
    generator=(3, "seed"), explain=(3, None, lambda x, t: (x,), lambda x, t: x[:1], lambda x, t: x.sum()),
)  # fmt: skip

ROWS: dict[str, Row] = {
    # similarity
    "metrics.pearson": alike(metrics.pearson),
    "metrics.spearman": alike(metrics.spearman),
    "metrics.cosine": alike(metrics.cosine),
    "metrics.mae": alike(metrics.mae, normalise=BAD_NAMES),
    "metrics.mse": alike(metrics.mse, normalise=BAD_NAMES),
    "metrics.ssim": alike(metrics.ssim, normalise=BAD_NAMES, window=(*BAD_COUNTS, 4, 9), sigma=BAD_POSITIVE),
    "metrics.image_ssim": Row(
        functools.partial(metrics.image_ssim, window=7, sigma=None), pair,
        numbers=("a", "b"), empty=("a", "b"), lengths=("b",), bad=dict(window=(*BAD_COUNTS, 4, 9), sigma=BAD_POSITIVE),
    ),
    "metrics.topk_intersection": Row(
        metrics.topk_intersection, lambda: pair() | dict(k=5), numbers=("a", "b"), dead=("a", "b"), empty=("a", "b"),
        lengths=("b",), bad=dict(k=TOP),
    ),
    "metrics.topn_iou": alike(metrics.topn_iou, n=TOP),
    # where the mass is
    "metrics.entropy": spread(metrics.entropy, lambda: dict(maps=maps(1)), bad=dict(normalise=BAD_NAMES)),
    "metrics.border_mass": spread(
        metrics.border_mass, lambda: dict(maps=maps(1), mask=torch.eye(8)),
        refused=("mask",), bad=dict(mask=(torch.eye(7), 2 * torch.eye(8), -torch.eye(8), torch.ones(2, 8, 8), 3)),
    ),
    "metrics.energy_inside": spread(
        metrics.energy_inside, lambda: dict(maps=maps(1), mask=torch.eye(16)),
        refused=("mask",), bad=dict(mask=(2 * torch.eye(8), -torch.eye(8), torch.ones(2, 8, 8), None)),
    ),
    "metrics.pointing_game": spread(
        metrics.pointing_game, lambda: dict(maps=maps(1), mask=torch.eye(8)), dead=("maps",),
        refused=("mask",), bad=dict(mask=(2 * torch.eye(8), torch.ones(2, 8, 8)), tolerance=(-1, 0.5, math.nan, "1")),
    ),
    "metrics.resize": spread(
        metrics.resize, lambda: dict(maps=maps(1), size=(4, 4)),
        bad=dict(size=((0, 4), (4,), 4, (2.5, 4), (math.nan, 4), "44", None)), read=lambda r: r.sum((1, 2)),
    ),
    "metrics.box_masks": Row(
        metrics.box_masks, lambda: dict(boxes=torch.tensor([[0.0, 0, 1, 1]] * N), size=(4, 4)),
        refused=("boxes",), empty=("boxes",),
        bad=dict(size=((0, 4), 4, None), boxes=(torch.zeros(N, 3), torch.tensor([[2.0, 0, 1, 1]]), torch.zeros(4))),
    ),
    "metrics.dead": Row(metrics.dead, lambda: dict(maps=maps(1)), refused=("maps",), empty=("maps",)),
    "metrics.dead_share": Row(metrics.dead_share, lambda: dict(maps=maps(1)), refused=("maps",), empty=("maps",)),
    "metrics.minmax": Row(metrics.minmax, lambda: dict(maps=maps(1)), numbers=("maps",), empty=("maps",)),
    "metrics.maxnorm": Row(metrics.maxnorm, lambda: dict(maps=maps(1)), numbers=("maps",), empty=("maps",)),
    # faithfulness
    "metrics.deletion": Row(
        metrics.deletion, curve_of, **CURVE, read=lambda r: r.auc,
        bad=ANSWERS | dict(n_steps=(*BAD_COUNTS, 65), baseline=("grey", math.nan, torch.ones(5), None)),
    ),
    "metrics.insertion": Row(
        metrics.insertion, curve_of, **CURVE, read=lambda r: r.auc,
        bad=ANSWERS | dict(n_steps=(*BAD_COUNTS, 65), baseline=("grey", math.nan, torch.ones(5), None)),
    ),
    "metrics.information_curves": Row(
        functools.partial(metrics.information_curves, thresholds=(0.1, 0.5), seeds=0.0), spot_of, **CURVE,
        read=lambda r: torch.stack([c.auc for c in r], 1),
        bad=ANSWERS | dict(
            thresholds=((), (0.0,), (1.5,), (math.nan,), 0.5, ("a",)), seeds=(*BAD_SHARES, 1), confident=BAD_SHARES,
            generator=(3, "seed"), x=(2 * images(), torch.zeros(N, 3, 1, 8)),
        ),
    ),
    "metrics.median_curve": Row(
        metrics.median_curve,
        lambda: dict(curve=metrics.Curve(torch.linspace(0, 1, 5), torch.rand(N, 5), torch.rand(N))),
        bad=dict(curve=(3, None, metrics.Curve(torch.ones(2), torch.full((2, 2), math.nan), torch.ones(2)))),
        read=lambda r: r.auc,
    ),
    "metrics.infidelity": Row(
        functools.partial(metrics.infidelity, draws=3),
        lambda: dict(model=network(), x=images(), attribution=images() - 0.5, target=labels()), **PERTURBED,
        read=lambda r: torch.stack(r, 1),
        bad=ANSWERS | dict(
            draws=BAD_COUNTS, score=BAD_NAMES, baseline=(math.nan, torch.ones(5), "black"), generator=(3, "seed"),
            perturb=(3, lambda x, g: x[:1], lambda x, g: None), attribution=(images()[:, :1], None),
        ),
    ),
    "metrics.gaussian_noise": Row(metrics.gaussian_noise, lambda: dict(sigma=0.1), bad=dict(sigma=BAD_POSITIVE)),
    "metrics.square_removal": Row(
        metrics.square_removal, lambda: dict(share=0.5, fill=0.0),
        bad=dict(share=(*BAD_SHARES, 0), fill=(math.nan, math.inf, "black", None)),
    ),
    # stability
    "metrics.max_sensitivity": Row(
        metrics.max_sensitivity, lambda: dict(explain=lambda x, t: x - 0.2, x=images(), target=labels()),
        refused=("x",), empty=("x",), lengths=("target",), bad=SENSITIVE, read=lambda r: r.value,
    ),
    "metrics.optimised_sensitivity": Row(
        metrics.optimised_sensitivity, lambda: dict(explain=lambda x, t: x - 0.2, x=images(), target=labels()),
        refused=("x",), empty=("x",), lengths=("target",), read=lambda r: r.value,
        bad=SENSITIVE | dict(steps=BAD_COUNTS, step=BAD_POSITIVE),
    ),
    # outputs
    "metrics.accuracy": Row(
        metrics.accuracy, lambda: dict(logits=logits(1), labels=labels()), whole=("logits",), empty=("logits",),
        lengths=("labels",),
        bad=dict(labels=(*BAD_TARGETS, None), logits=(torch.ones(N, 2, 2), torch.ones(N, 0), None)),
    ),
    "metrics.agreement": Row(
        metrics.agreement, lambda: dict(a=logits(1), b=logits(2)), whole=("a", "b"), empty=("a", "b"), lengths=("b",),
        bad=dict(b=(logits(1, 5), None, torch.ones(N, 2, 2))),
    ),
    "metrics.kl": Row(
        metrics.kl, lambda: dict(a=logits(1), b=logits(2)), numbers=("a", "b"), empty=("a", "b"), lengths=("b",),
        bad=dict(b=(logits(1, 5), None, torch.ones(N, 2, 2))),
    ),
    "nets.accuracy_of": Row(
        nets.accuracy_of, lambda: dict(model=network(), x=images(), y=labels()),
        whole=("x",), empty=("x",), lengths=("y",), bad=dict(batch_size=BAD_COUNTS),
    ),
    # statistics: NaN is left out and counted, so only what is left may count
    "metrics.mean_ignoring_nan": Row(
        metrics.mean_ignoring_nan, values, empty=("values",), bad=dict(values=STATISTIC["values"]),
        read=lambda r: r.mean,
    ),
    "metrics.bootstrap_interval": Row(
        functools.partial(metrics.bootstrap_interval, resamples=50), values, empty=("values",),
        bad=STATISTIC | dict(resamples=BAD_COUNTS, statistic=BAD_NAMES, seed=(-1, 1.5, "seed", None)),
        read=lambda r: r.value,
    ),
    "metrics.t_interval": Row(metrics.t_interval, values, empty=("values",), bad=STATISTIC, read=lambda r: r.value),
    # verdicts
    "claims.judge": Row(
        claims.judge, lambda: dict(rule=next(iter(claims.ledger().values())).rule, value=1.0, interval=(0.5, 1.5)),
        bad=dict(value=(*SPOILS, "high", None, {"a": 1}), interval=((0, math.nan), (0, math.inf), (2, 1), 3, ())),
    ),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def as_shipped():
    """Run without the runtime shape checks, as a user does: the library's own sentences must come out."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def outcome(row: Row, given: dict[str, Any]) -> Any:
    """What comes out, or the ValueError; any other error is a failure. The error is one sentence."""
    try:
        return row.read(row.call(**given))
    except ValueError as error:
        text = str(error)
        assert text and "\n" not in text and ". " not in text.rstrip("."), f"not one sentence: {text}"
        return error


def refuses(row: Row, given: dict[str, Any], argument: str) -> None:
    found = outcome(row, given)
    assert isinstance(found, ValueError), f"{argument} = {given[argument]!r:.80} gives {found!r:.200}"
    assert argument in str(found), f"the sentence does not name {argument}: {found}"


def spoiled(value: Any, sample: int, place: int, by: float) -> Any:
    """The argument with one number of one sample replaced."""
    copy = value.clone()
    row = copy[sample].reshape(-1)
    row[place % row.numel()] = by
    copy[sample] = row.reshape(copy[sample].shape)
    return copy


def nan_there_only(row: Row, given: dict[str, Any], argument: str, sample: int, clean: Any) -> None:
    """NaN, and nothing else, comes out for the sample; all others are as before."""
    found = outcome(row, given)
    if isinstance(found, ValueError):
        assert argument in str(found), f"the sentence does not name {argument}: {found}"
        return
    there = torch.arange(N) == sample
    assert torch.as_tensor(found)[there].isnan().all(), f"{argument}: a number came out, {found}"
    torch.testing.assert_close(found[~there], clean[~there], equal_nan=True)


def rows_with(*kinds: str) -> list[str]:
    return [name for name, row in ROWS.items() if any(getattr(row, kind) for kind in kinds)]


def test_every_function_has_a_row():
    for room, module in ROOMS.items():
        public = {name for name in module.__all__ if name not in RESULTS}
        missing = {name for name in public if f"{room}.{name}" not in ROWS}
        assert not missing, f"{room}: {sorted(missing)} have no row in ROWS"
        assert all(inspect.isfunction(getattr(module, name)) for name in public)
        gone = {name for name in ROWS if name.startswith(f"{room}.")} - {f"{room}.{name}" for name in public}
        assert not gone, f"rows of functions that are not public: {sorted(gone)}"


@pytest.mark.parametrize("name", ROWS)
def test_a_good_call_gives_numbers_and_a_row_names_arguments_that_exist(name):
    row = ROWS[name]
    found, made = outcome(row, row.make()), row.make()
    assert not isinstance(found, ValueError), found
    if isinstance(found, (float, Tensor)):
        assert torch.as_tensor(found).isfinite().all(), found
    for kind in ("numbers", "whole", "refused", "dead", "empty", "lengths"):
        assert set(getattr(row, kind)) <= set(made), kind


@pytest.mark.parametrize("name", rows_with("numbers", "whole", "refused"))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nan_and_inf_never_become_a_number(name, data):
    row = ROWS[name]
    given_, clean = row.make(), outcome(row, row.make())
    argument = data.draw(st.sampled_from([*row.numbers, *row.whole, *row.refused]))
    sample = data.draw(st.integers(0, len(given_[argument]) - 1))
    by = data.draw(st.sampled_from(SPOILS))
    given_[argument] = spoiled(given_[argument], sample, data.draw(st.integers(0, 1000)), by)
    if argument in row.numbers:
        nan_there_only(row, given_, argument, sample, clean)
    elif argument in row.refused:
        refuses(row, given_, argument)
    else:
        found = outcome(row, given_)
        assert isinstance(found, ValueError) or math.isnan(found), f"{argument}: a number came out, {found}"


@pytest.mark.parametrize("name", rows_with("dead"))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_dead_map_is_like_nothing(name, data):
    row = ROWS[name]
    given_, clean = row.make(), outcome(row, row.make())
    sample, value = (
        data.draw(st.integers(0, N - 1)),
        data.draw(st.sampled_from((0.0, 1.0, -0.5, 1e-30, 1e30))),
    )
    arguments = data.draw(st.lists(st.sampled_from(row.dead), min_size=1, unique=True))
    for argument in arguments:
        given_[argument][sample] = value
    nan_there_only(row, given_, arguments[0], sample, clean)


@pytest.mark.parametrize("name", rows_with("empty"))
def test_nothing_gives_no_number(name):
    row = ROWS[name]
    for argument in row.empty:
        for all_of_them in (False, True):
            given_ = row.make()
            samples = {
                k
                for k, v in given_.items()
                if isinstance(v, (Tensor, list)) and len(v) == len(given_[argument])
            }
            for key in samples if all_of_them else {argument}:
                given_[key] = given_[key][:0]
            found = outcome(row, given_)
            nothing = isinstance(found, ValueError) or torch.as_tensor(found).isnan().all()
            assert nothing, f"{argument}: a number came out, {found}"


@pytest.mark.parametrize("name", rows_with("lengths"))
def test_other_lengths_are_refused(name):
    row = ROWS[name]
    for argument in row.lengths:
        for change in (
            lambda v: v[:-1],
            lambda v: torch.cat((v, v[:1])),
            lambda v: torch.cat((v, v, v)),
            lambda v: v[:1],
        ):
            given_ = row.make()
            given_[argument] = change(given_[argument])
            if argument == "b" and len(given_["b"]) == 1 and given_["a"].ndim > 2:
                continue  # one map to be compared with each
            refuses(row, given_, argument)


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        (name, argument, value)
        for name, row in ROWS.items()
        for argument, values in row.bad.items()
        for value in values
    ],
    ids=lambda v: v if isinstance(v, str) else f"{v!r:.20}",
)
def test_what_is_out_of_range_is_refused_by_name(name, argument, value):
    row = ROWS[name]
    refuses(row, row.make() | {argument: value}, argument)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-10, 10), max_size=6), st.integers(0, 6))
def test_statistics_leave_nan_out_and_count_it(numbers, missing):
    mixed = np.random.default_rng(0).permutation([*numbers, *[math.nan] * missing])
    mean, few = metrics.mean_ignoring_nan(mixed), metrics.t_interval(mixed)
    many = metrics.bootstrap_interval(mixed, resamples=20)
    for found, value in ((mean, mean.mean), (few, few.value), (many, many.value)):
        assert (found.n, found.skipped) == (len(numbers), missing)
        assert math.isnan(value) if not numbers else value == pytest.approx(np.mean(numbers), abs=1e-9)
