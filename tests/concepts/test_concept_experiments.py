"""The chapter's experiments on a tiny network and few pictures: shapes, honest wiring, and no leak of class images."""

import os

import pytest
import torch
from tiny import net

from robustxai.concepts.cav import CAV
from robustxai.concepts.defence_study import cleaned, detected, moved_tokens, several_sets, voted
from robustxai.concepts.experiments import (
    CASES,
    EPS,
    attacked,
    clean_table,
    cos_to,
    exceeds_controls,
    judge,
    materials,
    null_rate,
    poisoned_share,
    sweep,
    universal,
    with_controls,
)
from robustxai.concepts.facet_study import FACETS, facet_swap, judge_of
from robustxai.concepts.recipes import Photographs, build, build_photographs, zoo_name
from robustxai.concepts.tcav import TCAV
from robustxai.concepts.world import CLASSES, NAMES

GIVEN = materials(12, runs=3, classes=("zebra", "honeycomb"), size=32)
MODEL, OTHER = net(1, classes=len(NAMES)), net(2, classes=len(NAMES))
CASE = CASES[2]


def different(a, b):
    return bool((a.flatten(1)[:, None] != b.flatten(1)).any(2).all())


def test_nobody_shares_pictures():
    for name in ("zebra", "honeycomb"):
        assert different(GIVEN.scored[name], GIVEN.own[name])
    for name, shown in GIVEN.concepts.items():
        assert different(shown, GIVEN.goal[name])
    every = [*GIVEN.random, *GIVEN.null, GIVEN.goal["random"]]
    assert all(different(a, b) for i, a in enumerate(every) for b in every[:i])


def test_cases_are_possible():
    for case in CASES:
        assert case.target in CLASSES and case.concept in GIVEN.concepts and case.towards in GIVEN.goal
        assert case.sign in (1, -1)


def test_clean_table_and_null_rate():
    table = clean_table(MODEL, GIVEN, cav=CAV(), layers=("b3",), permutations=99)
    assert set(table) == {"zebra", "honeycomb"} and len(table["zebra"].cells) == len(GIVEN.concepts)
    for test in ("runs", "sets"):
        assert 0 <= null_rate(MODEL, GIVEN, "zebra", layers=("b3",), test=test) <= 1


@pytest.mark.parametrize("attack", ["push", "gradient"])
def test_a_sweep_starts_clean(attack):
    cells = sweep(MODEL, GIVEN, CASE, attack=attack, layer="b3", eps=(0.0, EPS))
    clean = judge(TCAV(MODEL, ["b3"]), GIVEN, CASE.target, {"c": GIVEN.concepts[CASE.concept]})["c"]["b3"]
    assert torch.equal(cells[0].cavs.vectors, clean.cavs.vectors) and cos_to(cells[0], clean) > 0.999
    assert cos_to(cells[1], clean) < 0.999


def test_transfer_has_all_controls():
    cells = with_controls(MODEL, OTHER, GIVEN, CASE, layer="b3", judged="b3")
    assert list(cells)[:2] == ["clean", "attacked"] and len(cells) == 8
    assert exceeds_controls(cells, 1) in (True, False)
    same = dict.fromkeys(cells, cells["clean"])
    assert not exceeds_controls(same, 1)


def test_shares_and_universal():
    cells = poisoned_share(MODEL, GIVEN, CASE, layer="b3", shares=(0.0, 0.5, 1.0))
    whole = judge(TCAV(MODEL, ["b3"]), GIVEN, CASE.target, {"a": attacked(MODEL, GIVEN, CASE, layer="b3").x})
    assert list(cells) == [0.0, 0.5, 1.0]
    assert torch.equal(cells[1.0].scores, whole["a"]["b3"].scores)
    assert cos_to(cells[0.5], cells[0.0]) > cos_to(cells[1.0], cells[0.0])
    assert list(universal(MODEL, GIVEN, CASE, layer="b3")) == ["clean", "universal", "per token"]


def test_defences():
    moved = moved_tokens(MODEL, GIVEN, CASE)
    rows = cleaned(MODEL, GIVEN, CASE, moved, layer="b3", cleaners={"same": lambda x: x})
    assert [r.name for r in rows] == ["none", "same", "noise-averaged CAV", "median CAV"]
    assert rows[0].attacked == rows[1].attacked and rows[0].holds == (
        rows[0].clean_state == rows[0].attacked_state
    )
    one = voted([MODEL], GIVEN, CASE, moved, layers=("b3",))
    assert (one.clean, one.attacked) == pytest.approx((rows[0].clean, rows[0].attacked))
    many = several_sets(MODEL, GIVEN, CASE, moved, [GIVEN.goal[CASE.concept]] * 2, layer="b3")
    assert many.clean_state == many.attacked_state  # two sets of three are not attacked
    assert 0 <= detected(MODEL, GIVEN, CASE, moved, layer="b3") <= 1


@pytest.mark.parametrize("aim", ["replace", "destroy"])
def test_facets(aim):
    judge = judge_of(OTHER, GIVEN, n=10)
    s = facet_swap(MODEL, judge, GIVEN, aim=aim, n=2, steps=3, attack_steps=2)
    assert set(s.pictures) == set(s.preference) == {"A", "attacked", "B", "none"}
    assert s.pictures["A"].images.shape == (2, 3, 32, 32) and -1 <= s.likeness <= 1
    still = facet_swap(MODEL, judge, GIVEN, aim=aim, n=2, steps=3, attack_steps=2, eps=0.0)
    assert torch.equal(still.pictures["attacked"].images, still.pictures["A"].images)
    assert still.cosine[0] == pytest.approx(1, abs=1e-5) and len(FACETS) == 2
    with pytest.raises(ValueError, match="aim is 'x'"):
        facet_swap(MODEL, judge, GIVEN, aim="x")


def test_the_recipe_trains_two_networks(tmp_path):
    from robustxai.nets.recipes import Job

    job = Job("concepts-menagerie", 3, torch.device("cpu"), tmp_path, progress=False)
    nets = build(job, n=2, n_test=1, epochs=1)
    assert [n.name for n in nets] == [zoo_name("plain", 3), zoo_name("inception", 3)]
    assert all(0 <= n.metrics["test_accuracy"] <= 1 for n in nets)


@pytest.mark.mirror
@pytest.mark.skipif("ROBUSTXAI_DATA" not in os.environ, reason="ROBUSTXAI_DATA is not set")
def test_real_pictures(tmp_path):
    from robustxai.concepts import real
    from robustxai.nets.recipes import Job

    given = real.materials(runs=3, n=20)
    assert given.names[given.index("spider web")] == "spider web" and len(given.random) == 3
    assert all(c.target in given.scored and c.concept in given.concepts for c in real.CASES)
    assert all(len(x) == 35 and different(x, given.goal[k]) for k, x in given.concepts.items())
    plan = Photographs(n=64, n_test=25, epochs=1, widths=(4, 4, 8, 8, 8))
    nets = build_photographs(Job("concepts-textures", 0, torch.device("cpu"), tmp_path, progress=False), plan)
    assert [n.name for n in nets] == ["concepts-textures-plain-s0", "concepts-textures-inception-s0"]
    cell = with_controls(nets[0].module, nets[1].module, given, real.CASES[0], layer="b4", judged="b4")[
        "attacked"
    ]
    assert 0 <= cell.mean <= 1
    with pytest.raises(ValueError, match="unicorn"):
        real.materials(("unicorn",))
    with pytest.raises(ValueError, match="striped"):
        real.textures(("striped",))
