"""Third-party networks layer by layer: which attack is tried when, parts, and the images of zebras and spider webs."""

import os

import pytest
import torch
from tiny import images, net

from robustxai import parts
from robustxai.concepts.rendered_classes import NAMES
from robustxai.concepts.study import layer_or_network as L
from robustxai.concepts.study.cases import CASES, materials
from robustxai.concepts.study.outcomes import Flip
from robustxai.concepts.study.study import Study
from robustxai.concepts.study.zebras_and_webs import CLASSES, SIZE, materials as real, views

GIVEN = materials(8, runs=3, classes=("zebra", "honeycomb"), size=32)
QUICK = (L.Try("push", 8, 1), L.Try("gradient", 8, 1), L.Try("push", 16, 2))


class Tiny(Study):
    given = GIVEN  # pyright: ignore[reportAssignmentType]

    def network(self, kind, seed):
        return self._nets.setdefault(kind, net(seed, classes=len(NAMES)))


@pytest.fixture
def study():
    return Tiny("menagerie", seeds=(0,), networks=("plain",))


@pytest.mark.parametrize(("counts", "flips"), [(True, False), (True, True), (False, False)])
def test_more_is_tried_only_where_less_left_the_verdict(study, monkeypatch, counts, flips):
    monkeypatch.setattr(Flip, "counts", counts)
    monkeypatch.setattr(Flip, "flipped", counts and flips)
    rows = L.place_rows(study, "plain", "b3", CASES[3:4], tries=QUICK)
    tried = [row["attack"] for row in rows]
    assert tried == [t.words for t in QUICK if t.level == 8 or (counts and not flips)]
    assert all(row["flipped"] is (flips if counts else None) for row in rows)
    for row in rows:
        push = str(row["attack"]).startswith("push")
        assert (row["left"] is not None) == push and (not push or 0 < row["left"] < 1)
        assert row["network"] == "plain" and row["layer"] == "b3" and 0 <= row["noise"] <= 1


def test_every_network_and_layer_is_a_part_that_is_made_once(study, monkeypatch, tmp_path):
    monkeypatch.setattr(parts, "commit", lambda: "0123456789ab")
    made = L.layer_or_network(study, folder=tmp_path, layers=("b2", "b3"), tries=QUICK[:1])
    assert sorted(f.stem for f in tmp_path.iterdir()) == ["plain-b2", "plain-b3"]
    assert [len(p.rows) for p in made] == [len(study.task.cases)] * 2
    monkeypatch.setattr(L, "place_rows", lambda *_, **__: pytest.fail("made again"))
    assert L.layer_or_network(study, folder=tmp_path, layers=("b2", "b3"), tries=QUICK[:1]) == made


def test_ten_views_of_one_photograph():
    x = images(1, size=64)[0]
    found = views(x)
    assert found.shape == (10, 3, SIZE, SIZE) and torch.equal(found[5:].flip(3), found[:5])
    assert len(found.flatten(1).unique(dim=0)) == 10
    assert torch.allclose((255 * found).round(), 255 * found, atol=1e-3)


@pytest.mark.mirror
@pytest.mark.skipif("ROBUSTXAI_DATA" not in os.environ, reason="ROBUSTXAI_DATA is not set")
def test_the_attacker_has_no_zebra_and_nobody_shares_a_photograph():
    given = real(n=6, runs=3)
    assert len(given.scored["zebra"]) == 10 and len(given.scored["spider web"]) == 50
    assert torch.equal(given.own["zebra"], given.goal["random"])
    sets = [*given.random, *given.null, given.goal["random"]]
    every = torch.cat(sets).flatten(1)
    assert len(every.unique(dim=0)) == len(every) and {len(s) for s in sets} == {6}
    for name, x in given.concepts.items():
        both = torch.cat((x, given.goal[name])).flatten(1)
        assert len(x) == 6 and len(both.unique(dim=0)) == len(both)
    assert {"striped", "cobwebbed", "bubbly", "chequered"} <= set(given.concepts)
    assert given.names[:2] == CLASSES
    with pytest.raises(ValueError, match=r"^runs and n must need at most 998 random images, got 1160$"):
        real(n=40, runs=20)
