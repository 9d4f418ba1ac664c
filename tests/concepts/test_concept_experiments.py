"""The chapter's experiments on a tiny network and few pictures: shapes, honest wiring, and no leak of class images."""

import os
from dataclasses import replace

import pytest
import torch
from tiny import net

from robustxai.concepts.attacks.centroid_distance import centroids, squared_distances
from robustxai.concepts.cav import CAV
from robustxai.concepts.defences import CLEANERS, Behind, halved, vote
from robustxai.concepts.rendered_classes import CLASSES, NAMES
from robustxai.concepts.study.cases import (
    CASES,
    attack_case,
    clean_table,
    materials,
    null_answers,
    verdict_cells,
)
from robustxai.concepts.study.defences import (
    CLEAN,
    aware,
    cleaned,
    collected,
    detected,
    several_sets,
    voted,
)
from robustxai.concepts.study.facets import FACETS, facet_swap, judge_of
from robustxai.concepts.study.recipes import Photographs, build, build_photographs, zoo_name
from robustxai.concepts.tcav import TCAV

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
    whole = TCAV(MODEL, ["b3"]).score(
        GIVEN.scored["zebra"], GIVEN.index("zebra"), GIVEN.concepts, GIVEN.random, permutations=99
    )
    for bare, cell in zip(table["zebra"].cells, whole.cells, strict=True):
        assert torch.equal(bare.scores, cell.scores) and (bare.p, bare.state) == (cell.p, cell.state)
        assert not len(bare.cavs.vectors) and len(cell.cavs.vectors) == 3  # what takes the memory
    for test in ("runs", "sets"):
        assert len(null_answers(MODEL, GIVEN, "zebra", layers=("b3",), test=test)) == len(GIVEN.null)


def test_defences():
    sets = {CLEAN: GIVEN.concepts[CASE.concept], "push": attack_case(MODEL, GIVEN, CASE, layer="b3").x}
    rows = cleaned(MODEL, GIVEN, CASE, sets, layer="b3", cleaners={"same": lambda x: x})
    assert [r.name for r in rows] == ["none", "same"]
    assert rows[0].score == rows[1].score
    assert rows[0].holds("push") == (rows[0].state[CLEAN] == rows[0].state["push"])
    one = voted([MODEL], GIVEN, CASE, sets, layers=("b3",))
    assert one.score == pytest.approx(rows[0].score) and one.state == rows[0].state
    goal = GIVEN.goal[CASE.concept]
    one = several_sets(MODEL, GIVEN, CASE, [sets, {CLEAN: goal}, {CLEAN: goal}], layer="b3")
    named = {"first": sets[CLEAN], "pushed": sets["push"], "other": goal}
    cell = {k: c["b3"] for k, c in verdict_cells(TCAV(MODEL, ["b3"]), GIVEN, CASE.target, named).items()}
    assert one.name == "vote of 3 concept sets, 1 attacked"
    assert one.state["push"] == vote([cell["pushed"].state, cell["other"].state, cell["other"].state])
    assert one.score["push"] == pytest.approx((cell["pushed"].mean + 2 * cell["other"].mean) / 3)
    assert one.score[CLEAN] == pytest.approx((cell["first"].mean + 2 * cell["other"].mean) / 3)
    hit = collected(MODEL, GIVEN, CASE, goal, ["push"], layer="b3")
    assert torch.equal(hit[CLEAN], goal) and not torch.equal(hit["push"], goal)
    two = several_sets(MODEL, GIVEN, CASE, [sets, hit, {CLEAN: goal}], layer="b3")
    assert two.name == "vote of 3 concept sets, 2 attacked"
    assert two.score[CLEAN] == one.score[CLEAN] and two.score["push"] != one.score["push"]
    assert 0 <= detected(MODEL, GIVEN, CASE, sets["push"], layer="b3") <= 1


def test_the_aware_attacker_reaches_through_the_defence():
    blind = attack_case(MODEL, GIVEN, CASE, layer="b3")
    behind = Behind(MODEL, CLEANERS["half size"], halved)
    seen = attack_case(behind, GIVEN, CASE, layer="model.b3")
    centre = centroids(MODEL, GIVEN.goal[CASE.towards], ["b3"])
    left = [squared_distances(MODEL, CLEANERS["half size"](p.x), centre)["b3"].mean() for p in (blind, seen)]
    assert left[1] < left[0]
    assert aware(MODEL, GIVEN, CASE, layer="b3").name == "half size, attacker aware"


def test_facets():
    judge = judge_of(OTHER, n=10, size=32, layer="b3")
    s = facet_swap(MODEL, judge, GIVEN, n=2, steps=3, attack_steps=2)
    bare = facet_swap(MODEL, judge, GIVEN, also=(), n=2, steps=3)
    assert set(bare.pictures) == {"A", "B"} and torch.equal(bare.pictures["A"].images, s.pictures["A"].images)
    assert set(s.pictures) == set(s.preference) == {"A", "B", "none", "noise", "fresh", "replace", "destroy"}
    assert s.accuracy == judge.accuracy
    assert s.pictures["A"].images.shape == (2, 3, 32, 32) and s.likeness["A"] == pytest.approx(1)
    assert s.likeness["replace"] < 1 and set(s.cosine) == {"noise", "fresh", "replace", "destroy"}
    assert s.way("A") == 0 and s.way("B") == pytest.approx(1)
    still = facet_swap(MODEL, judge, GIVEN, also=("replace", "none"), n=2, steps=3, attack_steps=2, eps=0.0)
    assert still.way("replace") == pytest.approx(0, abs=1e-5)
    assert torch.equal(still.pictures["replace"].images, still.pictures["A"].images)
    assert still.cosine["replace"][0] == pytest.approx(1, abs=1e-5) and len(FACETS) == 2
    with pytest.raises(ValueError, match=r"also must be among .* got 'x'"):
        facet_swap(MODEL, judge, GIVEN, also=("x",))
    for a, b, read in ((1.0, 0.0, True), (0.9, 0.1, True), (0.875, 0.0, False), (1.0, 0.125, False)):
        assert replace(s, preference={"A": a, "B": b}).read is read


def test_the_recipe_trains_two_networks(tmp_path):
    from robustxai.nets.recipes import Job

    job = Job("concepts-menagerie", 3, torch.device("cpu"), tmp_path, progress=False)
    nets = build(job, n=2, n_test=1, epochs=1)
    assert [n.name for n in nets] == [zoo_name("plain", 3), zoo_name("inception", 3)]
    assert all(0 <= n.metrics["test_accuracy"] <= 1 for n in nets)


@pytest.mark.mirror
@pytest.mark.skipif("ROBUSTXAI_DATA" not in os.environ, reason="ROBUSTXAI_DATA is not set")
def test_real_pictures(tmp_path):
    from robustxai.concepts.study import photographs
    from robustxai.nets.recipes import Job

    given = photographs.materials(runs=3, n=20)
    assert given.names[given.index("spider web")] == "spider web" and len(given.random) == 3
    assert all(c.target in given.scored and c.concept in given.concepts for c in photographs.CASES)
    assert all(len(x) == 35 and different(x, given.goal[k]) for k, x in given.concepts.items())
    plan = Photographs(n=64, n_test=25, epochs=1, widths=(4, 4, 8, 8, 8))
    nets = build_photographs(Job("concepts-textures", 0, torch.device("cpu"), tmp_path, progress=False), plan)
    assert [n.name for n in nets] == ["concepts-textures-plain-s0", "concepts-textures-inception-s0"]
    p = attack_case(nets[0].module, given, photographs.CASES[0], layer="b4")
    cells = verdict_cells(TCAV(nets[1].module, ["b4"]), given, "spider web", {"attacked": p.x})
    assert 0 <= cells["attacked"]["b4"].mean <= 1
    with pytest.raises(ValueError, match="unicorn"):
        photographs.materials(("unicorn",))
    with pytest.raises(ValueError, match="striped"):
        photographs.textures(("striped",))
