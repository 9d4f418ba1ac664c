"""Who stands above whom: intervals, paired tests, ranks and places, on cases with a known answer."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import wilcoxon
from torch import Tensor

from robustxai.arena.cells import ArenaCell, nothing
from robustxai.arena.clusters import clustered_interval
from robustxai.arena.standing import comparisons, order_stability, ranked_values, standings


def noise(seed: int, n: int = 32) -> Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_network_has_the_percentile_interval_of_its_images() -> None:
    x = noise(0, 40)
    found = clustered_interval({"s0": x})
    means = np.random.default_rng(1).choice(x.numpy(), (4000, 40)).mean(1)
    assert found.value == pytest.approx(float(x.mean()))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.01)
    assert found.method == "percentile" and found.n == 40 and found.skipped == 0


def test_networks_that_differ_widen_the_interval() -> None:
    x = noise(0)
    alone = clustered_interval({"s0": x})
    far = clustered_interval({"s0": x, "s1": x + 1, "s2": x + 2})
    assert far.value == pytest.approx(alone.value + 1)
    assert far.high - far.low > 3 * (alone.high - alone.low)


def test_networks_count_alike_whatever_their_number_of_images() -> None:
    found = clustered_interval({"s0": torch.zeros(100), "s1": torch.ones(10)})
    assert found.value == pytest.approx(0.5) and (found.low, found.high) == (0, 1)


def test_undefined_intervals() -> None:
    empty = clustered_interval({})
    assert math.isnan(empty.value) and empty.method == "none"
    one = clustered_interval({"s0": torch.tensor([0.3, math.nan])})
    assert one.value == pytest.approx(0.3) and math.isnan(one.low) and one.skipped == 1


def test_p_is_that_of_scipy_and_holm_goes_over_all_pairs() -> None:
    values = {"a": {"s0": noise(0)}, "b": {"s0": noise(1)}, "c": {"s0": noise(0) + 0.3 + 0.1 * noise(2)}}
    found = {(c.row, c.other): c for c in comparisons(values)}
    assert found["a", "b"].p == pytest.approx(np.asarray(wilcoxon((noise(0) - noise(1)).numpy()))[1])
    smallest = min(c.p for c in found.values())
    assert min(c.adjusted for c in found.values()) == pytest.approx(3 * smallest)
    assert found["a", "c"].apart and not found["a", "b"].apart
    assert found["a", "c"].difference.high < 0


def test_rows_that_never_differ_are_a_tie_and_few_images_tell_nothing_apart() -> None:
    same = comparisons({"a": {"s0": noise(0)}, "b": {"s0": noise(0)}})[0]
    assert same.p == 1 and not same.apart
    few = comparisons({"a": {"s0": noise(0, 7)}, "b": {"s0": noise(0, 7) + 1}})[0]
    assert math.isnan(few.p) and math.isnan(few.adjusted) and not few.apart


def test_the_same_images_on_two_networks_are_not_twice_as_many() -> None:
    a, b = noise(0, 12), noise(1, 12) * 0.9
    values = {"a": {"s0": a, "s1": a}, "b": {"s0": b, "s1": b}}
    once = comparisons({"a": {"s0": a}, "b": {"s0": b}})[0].p
    assert comparisons(values, images={"s0": "test", "s1": "test"})[0].p == pytest.approx(once)
    assert comparisons(values)[0].p < once


def test_places_are_shared_and_ranks_have_intervals() -> None:
    x = noise(0)
    found = standings({
        "worst": {"s0": x - 2}, "first": {"s0": x + 0.01 * noise(1)}, "tie": {"s0": x + 0.01 * noise(2)},
    })  # fmt: skip
    by_row = {s.row: s for s in found}
    assert [by_row[r].place for r in ("first", "tie", "worst")] == [1, 1, 3]
    assert (by_row["worst"].rank_low, by_row["worst"].rank_high) == (3, 3)
    assert by_row["first"].rank_low < by_row["first"].rank_high <= 2
    assert standings({}) == []


def test_pure_noise_has_no_winner() -> None:
    winners = [sum(s.place == 1 for s in standings({r: {"s0": noise(10 * k + i)} for i, r in enumerate("abcd")}))
               for k in range(8)]  # fmt: skip
    assert sum(w == 4 for w in winners) >= 7


def test_stability_of_orders() -> None:
    rows = {r: {"s0": torch.tensor([v]), "s1": torch.tensor([-v]), "s2": torch.tensor([v])}
            for r, v in zip("abcd", (1.0, 2, 3, 4), strict=True)}  # fmt: skip
    found = order_stability(rows)
    assert found.mean == pytest.approx(-1 / 3) and found.least == pytest.approx(-1) and found.networks == 3
    assert math.isnan(order_stability({"a": {"s0": torch.ones(1)}}).mean)


def cell(row: str, state: str, worst: Tensor, **more) -> ArenaCell:
    n = len(worst)
    return ArenaCell(**{
        "row": row, "family": "cam", "network": "s0", "eps": 2 / 255, "norm": "linf", "readout": "own",
        "state": state, "reason": "", "worst": worst, "noise": nothing(n), "transfer": nothing(n), "by_attack": {},
        "by_grid": nothing(n), "worst_attack": [""] * n, "followed": torch.ones(n, dtype=torch.bool),
        "kept": torch.ones(n, dtype=torch.bool), "dead": 0, "dropped": 0, **more,
    })  # fmt: skip


def test_only_attacked_cells_of_enough_images_have_a_rank() -> None:
    x = noise(0)
    cells = [
        cell("attacked", "attacked", x), cell("weak", "weak", x), cell("proof", "proof", x),
        cell("not", "not attacked", x), cell("few", "attacked", x[:7]), cell("n/a", "n/a", nothing(32)),
        cell("attacked", "attacked", x + 1, eps=4 / 255), cell("attacked", "attacked", x + 1, readout="grid"),
        cell("attacked", "attacked", x + 1, defence="softplus"), cell("attacked", "attacked", x + 2, network="s1"),
    ]  # fmt: skip
    found = ranked_values(cells, 2 / 255)
    assert list(found) == ["attacked"] and sorted(found["attacked"]) == ["s0", "s1"]
    assert torch.equal(found["attacked"]["s0"], x)
