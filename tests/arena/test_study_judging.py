"""Numbers of the chapter's claims, on findings that are made up, so that each has a known answer."""

import pytest
import torch

from robustxai.arena.cells import ArenaCell, Evaluation
from robustxai.arena.study import judging
from robustxai.arena.study.looking import median_images
from robustxai.arena.study.rounds import BUDGETS, MIDDLE, Round, RoundCells, fresh_images, honest, planned

N = 12
NETWORKS = [honest("animals4", seed) for seed in (0, 1, 2)]


def cell(row: str, network: str, p: torch.Tensor, eps: float = MIDDLE, **more: object) -> ArenaCell:
    true = torch.ones(N, dtype=torch.bool)
    given = dict(
        row=row, family="cam", network=network, eps=eps, norm="linf", readout="own", state="attacked", reason="",
        worst=p, noise=torch.full((N,), 0.9), transfer=p * torch.nan, by_attack={"topk": p}, by_grid=p,
        worst_attack=["topk"] * N, followed=true, kept=true, dead=0, dropped=0, followed_by={"topk": true},
    )  # fmt: skip
    return ArenaCell(**(given | more))  # pyright: ignore[reportArgumentType]


def findings(*cells: ArenaCell) -> RoundCells:
    """Each cell in an evaluation of its own."""
    x, maps = torch.zeros(N, 3, 8, 8), torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return RoundCells(
        [Round(c.network, (c.row,), (c.eps,), N) for c in cells],
        [Evaluation([c], {c.row: maps}, {(c.row, c.eps): x}, x, torch.zeros(N).long(), {}) for c in cells],
    )


def test_a_difference_is_taken_image_by_image_and_its_interval_covers_networks_and_images():
    p = torch.linspace(0.2, 0.8, N)
    found = findings(
        *(cell("a", name, p + 0.01 * i) for i, name in enumerate(NETWORKS)),
        *(cell("b", name, p - 0.3) for name in NETWORKS),
    )
    values = judging.difference(found, NETWORKS, "a", "b", MIDDLE)
    assert values.shape == (3, N)
    got = judging.claim_of(values)
    assert got["value"] == pytest.approx(0.31) and (got["n"], got["seeds"]) == (N, 3)
    assert got["interval"][0] < 0.31 < got["interval"][1] and got["interval"][0] > 0.25


def test_the_least_of_several_has_a_wider_interval_than_alone():
    g = torch.Generator().manual_seed(1)
    one, two = torch.rand(3, N, generator=g), torch.rand(3, N, generator=g) + 1
    both, alone = judging.outer([one, two], least=True), judging.claim_of(one)
    assert both["value"] == pytest.approx(alone["value"])
    assert both["interval"][0] < alone["interval"][0]
    assert judging.outer([one, two], least=False)["value"] == pytest.approx(float(two.mean()))


def test_an_image_without_a_number_is_left_out_of_all_networks():
    values = torch.tensor([[0.0, 1.0, torch.nan], [0.0, 1.0, 1.0]])
    assert judging.interval_over(values).value == pytest.approx(0.5)


def test_orders_that_agree_have_stability_one():
    rows = {"a": 0.2, "b": 0.5, "c": 0.8}
    found = findings(*(cell(r, name, torch.full((N,), v)) for r, v in rows.items() for name in NETWORKS))
    got = judging.orders(found, rows, NETWORKS)
    assert got["value"] == pytest.approx(1.0) and got["seeds"] == 3


def test_a_cell_that_was_not_measured_is_named():
    found = findings(cell("a", NETWORKS[0], torch.zeros(N)))
    assert found.has("a", MIDDLE, NETWORKS[0]) and not found.has("a", BUDGETS[0], NETWORKS[0])
    with pytest.raises(ValueError, match="cell must be measured, got b, 2/255"):
        found.cell("b", MIDDLE, NETWORKS[0])


def test_images_are_the_same_for_every_network_and_the_first_of_more():
    few, more = fresh_images("animals4", 2), fresh_images("animals4", 5)
    assert torch.equal(few.images, more.images[:2])


def test_every_network_meets_the_core_and_the_first_all_budgets():
    rounds = planned([0, 1, 2], ["animals4", "animals10"], n=8, n_dear=4, n_masked=4)
    assert {r.network for r in rounds} == {*NETWORKS, honest("animals10", 0)}
    first = {e for r in rounds if r.network == NETWORKS[0] and "GradCAM" in r.rows for e in r.eps}
    assert first == set(BUDGETS)


def test_the_median_image_is_in_the_middle():
    assert median_images(torch.tensor([0.9, 0.1, 0.5, 0.4, 0.6]), 1) == [2]
