"""The board: what is stored is what is read, ranks are of attacked rows that depend on the network, and files are
checked.
"""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from robustxai.arena.board import (
    board_slug,
    cell_record,
    find_cell,
    load_board,
    load_entry,
    new_entry,
    number_of,
    save,
    stored_values,
    tensor_of,
    with_cell,
)
from robustxai.arena.cells import ArenaCell, nothing
from robustxai.arena.lines import board_lines
from robustxai.arena.plan import PITCHES, PLANS, blocks, cell_key

N = 16


def noise(seed: int) -> Tensor:
    return torch.rand(N, generator=torch.Generator().manual_seed(seed))


def cell(row: str, worst: Tensor, state: str = "attacked", **more) -> ArenaCell:
    n = len(worst)
    return ArenaCell(**{
        "row": row, "family": "cam", "network": "animals4-s0", "eps": 2 / 255, "norm": "linf", "readout": "own",
        "state": state, "reason": "" if state == "attacked" else "A reason.", "worst": worst, "noise": worst + 0.2,
        "transfer": nothing(n), "by_attack": {}, "by_grid": worst / 2, "worst_attack": ["topk"] * n,
        "followed": torch.ones(n, dtype=torch.bool), "kept": torch.ones(n, dtype=torch.bool), "dead": 0, "dropped": 0,
        "forwards": 320, **more,
    })  # fmt: skip


def entry(row: str, *cells: ArenaCell, dependence: float = 0.7, **facts) -> dict:
    threat = {"suite": "quick", "version": "1", "steps": 10}
    made = {"commit": "abc", "device_name": "x", "date": "2026-01-01"}
    found = new_entry(row, "cam", "", threat, made)
    for one in cells:
        found = with_cell(found, cell_record(one))
    names = {c.network for c in cells}
    data = {"data": {"set": "menagerie animals4"}, "sha256": "", "grid": 7}
    clean = {name: {"dependence": dependence, "chance": 0.05, **facts} for name in names}
    return found | {"networks": {name: data for name in names}, "clean": clean}


def test_what_is_stored_is_what_is_read(tmp_path: Path) -> None:
    worst = noise(0)
    worst[3] = math.nan
    made = entry("DiffGradCAM++ (lse)", cell("DiffGradCAM++ (lse)", worst))
    file = save(made, tmp_path)
    assert file.name == "diffgradcam-plus-plus-lse.json" and load_entry(file) == made
    found = load_board(tmp_path)[0]["cells"][0]
    assert torch.allclose(tensor_of(found["worst"]), worst.double(), atol=6e-5, equal_nan=True)
    assert number_of(found) == pytest.approx(float(worst.nanmean()), abs=1e-4) and found["n"] == N - 1
    assert load_board(tmp_path / "nothing") == [] and board_slug("IG (6)") == "ig-6"


def test_a_new_cell_takes_the_place_of_the_old_and_outside_evaluations_go_stale() -> None:
    made = entry("a", cell("a", noise(0)), cell("a", noise(1), eps=4 / 255))
    place = {"network": "animals4-s0", "defence": "none", "norm": "linf", "eps": 2 / 255, "readout": "own"}
    made["external"] = [place | {"who": "x"}, place | {"eps": 4 / 255}]
    again = with_cell(made, cell_record(cell("a", noise(2))))
    assert len(again["cells"]) == 2 and again["external"][0]["stale"] and "stale" not in again["external"][1]
    found = find_cell(again, place)
    assert found is not None and torch.allclose(tensor_of(found["worst"]), noise(2).double(), atol=1e-4)
    assert find_cell(again, place | {"readout": "grid"}) is None


@pytest.mark.parametrize(("spoil", "sentence"), [
    (lambda e: e | {"schema": 2}, r"^x.json must be a row of schema 1, got 2$"),
    (lambda e: {k: v for k, v in e.items() if k != "threat"}, r"^x.json must have the field threat, got none$"),
    (lambda e: e | {"cells": [{**e["cells"][0], "state": "good"}]}, r"^state must be one of "),
    (lambda e: e | {"cells": [{**e["cells"][0], "noise": []}]}, r"^x.json must have one value an image"),
    (lambda e: e | {"cells": [{}]}, r"^x.json must have the field backwards in every cell"),
    (lambda e: [e], r"^x.json must be a row of schema 1, got list$"),
])  # fmt: skip
def test_files_are_checked(tmp_path: Path, spoil, sentence: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps(spoil(entry("a", cell("a", noise(0))))))
    with pytest.raises(ValueError, match=sentence):
        load_board(tmp_path)
    file.write_text("{")
    with pytest.raises(ValueError, match=r"^x.json must hold JSON"):
        load_board(tmp_path)


def test_ranks_are_of_attacked_rows_that_depend_on_the_network() -> None:
    base = noise(0) / 4
    entries = [
        entry("low", cell("low", base)), entry("high", cell("high", base + 0.5 + 0.1 * noise(1))),
        entry("edge", cell("edge", base + 0.7), dependence=0.0), entry("weak", cell("weak", base + 0.6, "weak")),
        entry("still", cell("still", base + 0.7, "not attacked")), entry("few", cell("few", base[:5] + 0.7)),
    ]  # fmt: skip
    lines = {line.row: line for line in board_lines(entries)}
    assert [line.row for line in board_lines(entries)][:2] == ["high", "low"]
    assert board_lines(entries)[-1].row == "edge" and lines["edge"].ignores_network
    ranks = {row: line.standing and line.standing.rank for row, line in lines.items()}
    assert ranks == {"high": 1, "low": 2, "edge": None, "weak": None, "still": None, "few": None}
    assert 2 in lines["weak"].p and 2 not in lines["still"].p and 2 not in lines["few"].p
    assert lines["high"].excess is not None and lines["high"].excess.value == pytest.approx(0.2, abs=1e-3)
    assert set(stored_values(entries, 2 / 255)) == {"low", "high", "edge"}


def test_the_area_needs_the_whole_curve_and_counts_from_chance() -> None:
    curve = [
        cell("a", torch.full((N,), p), eps=e / 255) for e, p in ((1, 1.0), (2, 0.6), (4, 0.2), (8, 0.05))
    ]
    (line,) = board_lines([entry("a", *curve)])
    q = [(p - 0.05) / 0.95 for p in (1.0, 0.6, 0.2, 0.05)]
    assert line.area is not None
    assert line.area.value == pytest.approx((q[0] / 2 + q[1] + q[2] + q[3] / 2) / 3, abs=1e-3)
    assert board_lines([entry("a", *curve[:3])])[0].area is None
    weak = [*curve[:3], cell("a", torch.full((N,), 0.05), "weak", eps=8 / 255)]
    assert board_lines([entry("a", *weak)])[0].area is None
    assert board_lines([]) == []


def test_one_state_for_several_networks_is_the_worse() -> None:
    two = entry("a", cell("a", noise(0)), cell("a", noise(1), "weak", network="animals4-s1"))
    (line,) = board_lines([two])
    assert line.state == "weak" and line.networks == 2 and line.reason == "A reason."


def test_plans_name_what_exists_and_keys_depend_on_what_they_should() -> None:
    for profile, plan in PLANS.items():
        assert plan and {b.pitch for b in plan} <= set(PITCHES) and blocks(profile) == list(plan)
    pitch = PITCHES["animals4-s0"]
    given: dict = {"eps": 2 / 255, "norm": "linf", "readout": "own", "suite": "quick", "version": "1"}
    key = cell_key(pitch, pitch.data(8), **given)
    assert key == cell_key(pitch, pitch.data(8), **given)
    others = [
        cell_key(pitch, pitch.data(9), **given),
        cell_key(PITCHES["animals4-s1"], pitch.data(8), **given),
    ]
    others += [
        cell_key(pitch, pitch.data(8), **{**given, k: v})
        for k, v in (("eps", 0.1), ("readout", "grid"), ("version", "2"))
    ]
    assert len({key, *others}) == 6
    x, y, masks = pitch.images(pitch.data(3))
    assert (
        torch.equal(x, pitch.images(pitch.data(8))[0][:3])
        and masks.shape == (3, 56, 56)
        and 0.02 < masks.mean() < 0.4
    )
    with pytest.raises(ValueError, match=r"^n must be at most 128"):
        pitch.data(129)
    assert len(y) == 3
    with pytest.raises(
        ValueError, match=r"^data must be of menagerie animals4, 56 px, got menagerie animals10"
    ):
        pitch.images(PITCHES["animals10-s0"].data(2))
