"""The study on two tiny networks: one thing changes at a time, nothing is attacked twice, tables add up."""

from dataclasses import replace

import pytest
import torch
from tiny import net

from robustxai.concepts import ablations, summaries
from robustxai.concepts.experiments import CASES, clean_table, exceeds_controls, materials
from robustxai.concepts.facet_study import judge_for
from robustxai.concepts.measures import turned_by
from robustxai.concepts.study import TASKS, Study
from robustxai.concepts.transfer import LEVELS, ensemble, routes, transfer
from robustxai.concepts.world import NAMES

GIVEN = materials(12, runs=3, classes=("zebra", "honeycomb"), size=32)
DOTS, _, CORGIS, STRIPES, _ = CASES


class Tiny(Study):
    given = GIVEN

    def network(self, kind, seed):
        key = f"{kind} {seed}"
        if key not in self._nets:
            self._nets[key] = net(10 * ("plain", "inception").index(kind) + seed, classes=len(NAMES))
        return self._nets[key]


@pytest.fixture
def study():
    return Tiny("menagerie", seeds=(0, 1), layer="b3")


def test_a_study_has_a_known_name():
    with pytest.raises(ValueError, match="name is 'zoo'; accepted are menagerie, textures"):
        Study("zoo")
    with pytest.raises(ValueError, match="networks has 'plain'; accepted for imagenet are squeezenet, goo"):
        Study("imagenet", networks=("plain",))
    assert all(c.concept for t in TASKS.values() for c in t.cases)


def test_a_network_from_elsewhere_has_one_seed():
    mixed = Study("textures", seeds=(0, 1), networks=("plain", "squeezenet"))
    found = list(routes(mixed, other_layer="b3"))
    assert len(found) == 2 * 4 + 3  # two seeds of one (same, layer, seed, architecture), one of the other
    assert {v for level, s, v, _ in found if level == LEVELS[3] and s[0] == "plain"} == {("squeezenet", 0)}
    assert {v for level, s, v, _ in found if level == LEVELS[3] and s[0] == "squeezenet"} == {("plain", 0)}


def test_attacks_are_remembered_and_the_class_gradient_knows_no_goal(study):
    first = study.moved("plain", 0, STRIPES)
    assert study.moved("plain", 0, STRIPES) is first
    assert study.moved("plain", 0, CASES[4]) is not first
    gradient = study.moved("plain", 0, STRIPES, "gradient")
    assert study.moved("plain", 0, CASES[4], "gradient") is gradient
    assert study.moved("plain", 0, STRIPES, eps=2 / 255).linf == pytest.approx(2, abs=1e-3)


def test_outcomes_and_their_rows(study):
    found = study.outcomes("push", (DOTS, STRIPES))
    assert len(found) == 2 * 2 * 2 and {o.case.name for o in found} == {DOTS.name, STRIPES.name}
    for o in found:
        important = o.clean.state == "important"
        assert o.counts == (important if o.case.sign < 0 else not important)
        assert not o.flipped or o.counts
        assert not o.strong or o.flipped
    rows = summaries.by_case(found)
    assert len(rows) == 2 and all(len(r["attacked"]) == 3 for r in rows)
    seen = summaries.traces(found, study)
    for row in seen:
        assert row["largest change"] == pytest.approx(8, abs=1e-3) and 0 < row["SSIM"][0] < 1
        assert -1 <= row["derivative, attacked"][0] < 1
        assert 0 <= row["other label"][0] <= 1 and 0 < row["distance left"][0] < 1


def test_the_smallest_budget_is_given_network_by_network(study):
    some = study.judged("plain", 0, STRIPES, {"c": GIVEN.concepts["striped"]})["c"]

    def cell(mean, state):
        return replace(some, scores=torch.full((3,), mean), state=state)

    early = [cell(1.0, "important"), cell(0.4, "not significant"), cell(0.1, "anti-important")]
    never = [cell(0.9, "important"), cell(0.9, "important"), cell(0.8, "important")]
    (row,) = summaries.by_budget({STRIPES: [early, never]}, [0, 4, 8])
    assert row["smallest budget"] == "4, –" and row["case"] == STRIPES.name
    assert row["without attack"][0] == pytest.approx(0.95)
    assert row["area under the score"][0] == pytest.approx(((0.7 + 0.25) / 2 + (0.9 + 0.85) / 2) / 2)


def test_no_budget_changes_nothing(study):
    cells = ablations.budgets(study, "plain", 0, CORGIS, eps=(0.0, 8 / 255))
    clean = study.judged("plain", 0, CORGIS, {"c": GIVEN.concepts["corgi"]})["c"]
    assert (
        torch.equal(cells[0].cavs.vectors, clean.cavs.vectors)
        and turned_by(cells[1].cavs, clean.cavs) < 0.999
    )


def test_settings(study):
    probes = ablations.probes(study, "plain", 0, CORGIS)
    assert set(ablations.PROBES) < set(probes) and all(len(pair) == 2 for pair in probes.values())
    induced, removed = (ablations.aims(study, "plain", 0, c, steps=(3,)) for c in (CORGIS, STRIPES))
    assert "towards images of the class" in induced and "away from its own centroid" in removed
    few = ablations.counts(study, "plain", 0, CORGIS, n=(6, 12))
    assert torch.equal(few[12][0].scores, probes["ridge"][0].scores)
    rows = summaries.by_setting([probes], 1)
    assert [r["setting"] for r in rows] == list(probes)


def test_shares_universal_and_layers(study):
    cells = ablations.poisoned(study, "plain", 0, CORGIS, shares=(0.0, 0.5, 1.0))
    whole = study.judged("plain", 0, CORGIS, {"a": study.moved("plain", 0, CORGIS).x})["a"]
    assert torch.equal(cells[1.0].scores, whole.scores)
    assert turned_by(cells[0.5].cavs, cells[0.0].cavs) > turned_by(cells[1.0].cavs, cells[0.0].cavs)
    assert list(ablations.universal(study, "plain", 0, CORGIS)) == ["clean", "universal", "per exemplar"]
    table = ablations.layers(study, "plain", 0, CORGIS, judged=("b2", "b3"))
    assert set(table) == {"clean", "one layer", "all layers"} and set(table["clean"]) == {"b2", "b3"}


def test_transfer_has_all_levels_and_controls(study):
    found = transfer(study, CORGIS, other_layer="b2")
    assert {t.level for t in found} == set(LEVELS)
    assert all(len(t.cells) == 8 and list(t.cells)[:2] == ["clean", "attacked"] for t in found)
    same = dict.fromkeys(found[0].cells, found[0].cells["clean"])
    assert not exceeds_controls(same, 1)
    assert all(t.victim == t.surrogate for t in found if t.level in LEVELS[:2])
    assert all(t.victim != t.surrogate for t in found if t.level not in LEVELS[:2])
    assert [r["judged on"] for r in summaries.by_level(found)] == list(LEVELS)
    alone = Tiny("menagerie", seeds=(0,), layer="b3")
    with pytest.raises(ValueError, match="seeds has one value"):
        ensemble(alone, CORGIS, victim=("plain", 0))


def test_truth_has_a_row_a_class(study):
    tables = [clean_table(m, GIVEN, cav=study.cav, layers=("b3",), permutations=9) for *_, m in study.each()]
    rows = summaries.truth(tables, ["striped", "corgi"], "b3")
    assert [r["class"] for r in rows] == ["zebra", "honeycomb"]
    assert rows[0]["striped"][0] == pytest.approx(sum(t["zebra"]["striped", "b3"].mean for t in tables) / 4)


def test_the_judge_is_another_network_and_best_one_that_nobody_here_trained(study, monkeypatch):
    monkeypatch.setattr(
        "robustxai.concepts.facet_study.lesson", lambda texture, n, size: GIVEN.concepts[texture]
    )
    assert judge_for(study, "plain", 1).model is study.network("inception", 1)
    with pytest.raises(ValueError, match="networks has one architecture"):
        judge_for(Tiny("menagerie", networks=("plain",)), "plain", 0)
    photographs = Tiny("textures", seeds=(0, 1), networks=("plain", "inception", "squeezenet"))
    photographs.given = replace(
        GIVEN,
        goal=dict(zip(photographs.task.facets, (GIVEN.goal[f] for f in ("striped", "dotted")), strict=True)),
    )
    photographs._nets = {"squeezenet": study.network("plain", 0)} | {
        f"{kind} {seed}": study.network(kind, seed) for kind in ("plain", "inception") for seed in (0, 1)
    }
    monkeypatch.setattr(
        Tiny, "network", lambda self, kind, seed: self._nets.get(kind) or self._nets[f"{kind} {seed}"]
    )
    monkeypatch.setattr("robustxai.concepts.facet_study.JUDGE_LAYER", "b3")
    assert judge_for(photographs, "inception", 1).model is photographs._nets["squeezenet"]
    assert judge_for(photographs, "squeezenet", 0).model is photographs._nets["plain 0"]
