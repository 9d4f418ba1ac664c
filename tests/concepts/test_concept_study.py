"""The study on two tiny networks: one thing changes at a time, nothing is attacked twice, tables add up."""

import threading
from dataclasses import replace

import pytest
import torch
from tiny import net

from robustxai.concepts.defences import CLEANERS
from robustxai.concepts.rendered_classes import NAMES
from robustxai.concepts.study import ablations, facets, tables as summaries
from robustxai.concepts.study.cases import CASES, clean_table, exceeds_controls, materials
from robustxai.concepts.study.defences import ANOTHER, ATTACKS, CLEAN, NONE, defended, hardened, restored
from robustxai.concepts.study.facets import facet_swap, facet_swaps, rival_of, taught
from robustxai.concepts.study.image_sets import TASKS
from robustxai.concepts.study.measures import turned_by
from robustxai.concepts.study.outcomes import Flip, needed
from robustxai.concepts.study.study import Study
from robustxai.concepts.study.transfer import LEVELS, ensemble, routes, transfer

GIVEN = materials(12, runs=3, classes=("zebra", "honeycomb"), size=32)
DOTS, _, CORGIS, STRIPES, _ = CASES


def judge_for(study, kind, seed):
    """The judge of one network's images, as `facet_swaps` makes it."""
    return taught(study, *rival_of(study, kind, seed))


class Tiny(Study):
    given = GIVEN

    def network(self, kind, seed):
        key = f"{kind} {seed}"
        if key not in self._nets:
            self._nets[key] = net(
                10 * ("plain", "inception", "hardened").index(kind) + seed, classes=len(NAMES)
            )
        return self._nets[key]


@pytest.fixture
def study():
    return Tiny("menagerie", seeds=(0, 1), layer="b3")


def test_a_study_has_a_known_name():
    with pytest.raises(
        ValueError, match="name must be one of menagerie, textures, stripes, imagenet, got 'zoo'"
    ):
        Study("zoo")
    with pytest.raises(
        ValueError, match=r"networks must be among squeezenet, goo.* for imagenet, got 'plain'"
    ):
        Study("imagenet", networks=("plain",))
    assert all(c.concept for t in TASKS.values() for c in t.cases)


def test_a_network_from_elsewhere_has_one_seed():
    mixed = Study("textures", seeds=(0, 1), networks=("plain", "squeezenet"))
    found = list(routes(mixed, other_layer="b3"))
    assert len(found) == 2 * 4 + 3  # two seeds of one (same, layer, seed, architecture), one of the other
    others = {
        kind: {r.victim for r in found if r.level == LEVELS[3] and r.surrogate[0] == kind}
        for kind in mixed.networks
    }
    assert others == {"plain": {("squeezenet", 0)}, "squeezenet": {("plain", 0)}}


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
    for o in found:
        assert o.by_sets.clean.state == o.clean.by_sets.state and o.by_sets.network == o.network
        assert set(o.cells) == {"clean", "noise", "attacked", "goal"} and o.clean.p_sets == o.clean.p_sets
    for row in summaries.traces(found):
        assert row["largest change"] == pytest.approx(8, abs=1e-3) and 0 < row["SSIM"][0] < 1
        assert 0 < row["L2"][0] <= 8 / 255 * (3 * 32 * 32) ** 0.5
        assert 0 <= row["other label"][0] <= 1 and 0 < row["distance left"][0] < 1
    behind = summaries.evidence(found)
    assert [r["exemplars"] for r in behind] == ["clean", "attacked"] * 2
    for row in behind:
        assert -1 <= row["derivative"][0] < 1 and 0 < row["p"] <= 1 and 0 < row["p by sets"] <= 1
    turned = [r["cosine to the goal's"][0] for r in behind]
    assert turned[1] > turned[0] and turned[3] > turned[2]  # pushed exemplars look like the goal to the probe


def test_networks_work_side_by_side_and_give_what_one_thread_gives(study, monkeypatch):
    def told(s):
        return [
            (o.network, o.seed, o.case.name, o.attacked.mean, o.attacked.p_sets)
            for o in s.outcomes("push", (CORGIS,))
        ], [
            (t.level, t.victim, t.attacked.mean, t.strongest_control)
            for t in transfer(s, CORGIS, other_layer="b2")
        ]

    many = told(study)
    assert study.on(lambda kind, seed: f"{kind} {seed}") == [
        "plain 0",
        "plain 1",
        "inception 0",
        "inception 1",
    ]
    assert study.on(lambda kind, seed: seed, [("plain", 1)]) == [1]
    monkeypatch.setattr("robustxai.runtime.cores", lambda: 1)
    assert told(Tiny("menagerie", seeds=(0, 1), layer="b3")) == many


def test_the_needed_share_is_the_smallest_from_which_all_larger_ones_work(study):
    some = study.judged("plain", 0, STRIPES, {"c": GIVEN.concepts["striped"]})["c"]

    def flips(clean, *states):
        cells = [{"clean": replace(some, state=clean), "attacked": replace(some, state=s)} for s in states]
        return dict(zip((0.0, 0.5, 1.0), (Flip(case=STRIPES, cells=c) for c in cells), strict=True))

    yes, no = "important", "not significant"
    assert needed([flips(yes, yes, no, no)]) == 0.5
    assert needed([flips(yes, yes, no, no), flips(yes, yes, yes, no)]) == 1.0
    assert needed([flips(yes, no, yes, no)]) == 1.0  # works by chance without an attack, and not at a half
    assert needed([flips(yes, yes, no, no), flips(no, no, no, yes)]) == 0.5  # nothing to attack on the second
    assert needed([flips(yes, yes, no, yes)]) != needed([flips(yes, yes, no, yes)])  # nan
    assert needed([flips(no, no, no, no)]) != needed([])


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
    assert set(ablations.PROBES) < set(probes) and all(
        set(f.cells) == {"clean", "attacked"} for f in probes.values()
    )
    induced, removed = (ablations.aims(study, "plain", 0, c, steps=(3,)) for c in (CORGIS, STRIPES))
    assert "towards images of the class" in induced and "away from its own centroid" in removed
    few = ablations.counts(study, "plain", 0, CORGIS, n=(6, 12))
    assert torch.equal(few[12].clean.scores, probes["ridge"].clean.scores)
    rows = summaries.by_setting([probes])
    assert [r["setting"] for r in rows] == list(probes)
    assert [r["verdict as wanted"] for r in rows] == [
        summaries.count_of(summaries.flipped_verdicts([f])) for f in probes.values()
    ]


def test_shares_universal_and_layers(study):
    cells = ablations.poisoned(study, "plain", 0, CORGIS, shares=(0.0, 0.5, 1.0))
    whole = study.judged("plain", 0, CORGIS, {"a": study.moved("plain", 0, CORGIS).x})["a"]
    assert torch.equal(cells[1.0].attacked.scores, whole.scores)
    assert torch.equal(cells[0.0].attacked.scores, cells[1.0].clean.scores)
    half, all_ = (turned_by(cells[s].attacked.cavs, cells[s].clean.cavs) for s in (0.5, 1.0))
    assert half > all_
    assert list(ablations.universal(study, "plain", 0, CORGIS)) == ["universal", "per exemplar"]
    table = ablations.layers(study, "plain", 0, CORGIS, judged=("b2", "b3"))
    assert set(table) == {"clean", "one layer", "all layers"} and set(table["clean"]) == {"b2", "b3"}


def test_transfer_has_all_levels_and_controls(study):
    found = transfer(study, CORGIS, other_layer="b2")
    assert {t.level for t in found} == set(LEVELS)
    assert all(len(t.cells) == 8 and list(t.cells)[:2] == ["clean", "attacked"] for t in found)
    same = dict.fromkeys(found[0].cells, found[0].cells["clean"])
    assert not exceeds_controls(same, 1)
    some = found[0].clean
    ends, mixed = torch.ones(3), torch.tensor([0.0, 1.0, 1.0])
    cells = {"clean": some, "attacked": replace(some, scores=ends), "permuted": replace(some, scores=mixed)}
    assert not exceeds_controls(cells, 1)  # the control's own spread is larger than the difference
    cells["permuted"] = replace(some, scores=0.5 + 0.01 * mixed)
    assert exceeds_controls(cells, 1) and not exceeds_controls(cells, -1)
    assert all(t.victim == t.surrogate for t in found if t.level in LEVELS[:2])
    assert all(t.victim != t.surrogate for t in found if t.level not in LEVELS[:2])
    rows = summaries.by_level(found)
    assert [r["judged on"] for r in rows] == list(LEVELS)
    alone = Tiny("menagerie", seeds=(0,), layer="b3")
    with pytest.raises(ValueError, match=r"seeds must be two or more, .* got one"):
        ensemble(alone, CORGIS, without=0)
    several = {t.victim: t for t in found if t.level == LEVELS[4]}
    assert set(several) == {"plain 0", "inception 0"} and all("," in str(r["clean"]) for r in (rows[-1],))
    assert [rows[0][name] for name in ("sign noise", "strongest")] and "by sets" in rows[0]


def test_truth_has_a_row_a_class(study):
    tables = [clean_table(m, GIVEN, cav=study.cav, layers=("b3",), permutations=9) for *_, m in study.each()]
    rows = summaries.truth(tables, ["striped", "corgi"], "b3")
    assert [r["class"] for r in rows] == ["zebra", "honeycomb"]
    assert rows[0]["striped"][0] == pytest.approx(sum(t["zebra"]["striped", "b3"].mean for t in tables) / 4)


def test_the_judge_is_another_network_and_best_one_that_nobody_here_trained(study, monkeypatch):
    monkeypatch.setattr(
        "robustxai.concepts.study.facets.lesson", lambda texture, n, size: GIVEN.concepts[texture]
    )

    def of(judge, network):
        assert judge.model is not network  # a copy: two threads must not use one network
        return all(map(torch.equal, judge.model.parameters(), network.parameters()))

    assert of(judge_for(study, "plain", 1), study.network("inception", 1))
    with pytest.raises(ValueError, match=r"networks must have two architectures or more, .* got one"):
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
    monkeypatch.setattr("robustxai.concepts.study.facets.JUDGE_LAYER", "b3")
    assert of(judge_for(photographs, "inception", 1), photographs._nets["squeezenet"])
    assert of(judge_for(photographs, "squeezenet", 0), photographs._nets["plain 0"])


def test_every_defence_has_a_row(study):
    more = [GIVEN.goal["corgi"], GIVEN.goal["corgi"].flip(0)]
    tried = study.on(
        lambda *net: defended(study, *net, CORGIS, more, layers=("b2", "b3")), [("plain", 0), ("plain", 1)]
    )
    found = [rows for rows, _ in tried]
    assert all(0 <= caught[a] <= 1 for _, caught in tried for a in ATTACKS)
    rows = summaries.by_defence(found)
    assert [r["defence"] for r in rows] == list(found[0]) and "vote of 3 concept sets, 2 attacked" in found[0]
    for row, name in zip(rows, found[0], strict=True):
        here = [f[name] for f in found]
        assert row["push"][0] == pytest.approx(sum(d.score["push"] for d in here) / 2)
        undone = [f[name].restores("push") for f in found if f["none"].removed("push")]
        assert row["restores it, push"] == (f"{sum(undone)} of {len(undone)}" if undone else "–")
    kept = replace(
        found[0]["none"], state={CLEAN: "important", "push": "important", "gradient": "anti-important"}
    )
    assert kept.restores("push") and not kept.restores("gradient")
    assert not replace(kept, state=dict.fromkeys((CLEAN, "push"), "not significant")).restores("push")
    hit = replace(kept, state={CLEAN: "important", "push": "not significant", "gradient": "anti-important"})
    false = replace(kept, state=dict.fromkeys((CLEAN, *ATTACKS), "not significant"))
    assert restored([{NONE: hit, "half size": kept}], "half size") == [True, False]
    assert restored([{NONE: kept, "half size": kept}], "half size") == [False]  # of the attack that worked
    assert restored([{NONE: false, "half size": kept}], "half size") == []
    assert restored([{NONE: hit, ANOTHER: false}], ANOTHER) == []  # nothing true to be kept there
    assert restored([{NONE: hit, ANOTHER: kept}], ANOTHER) == [True, False]
    assert restored([{NONE: hit, ANOTHER: kept}, {NONE: hit}], ANOTHER) == [
        True,
        False,
    ]  # one has no such network
    last = summaries.by_defence([found[0] | {ANOTHER: kept}, found[1]])[-1]
    assert last["defence"] == ANOTHER and last["keeps the clean verdict"] == "1 of 1"


def test_few_cleaners_leave_out_the_other_probes(study):
    few = {"half size": CLEANERS["half size"]}
    rows, _ = defended(study, "plain", 0, CORGIS, [GIVEN.goal["corgi"]] * 2, layers=("b3",), cleaners=few)
    assert {NONE, "half size"} < set(rows) and not {"JPEG 75", "median CAV", "noise-averaged CAV"} & set(rows)


def test_every_network_draws_facets_for_a_judge_of_its_own(study, monkeypatch):
    monkeypatch.setattr(
        "robustxai.concepts.study.facets.lesson", lambda texture, n, size: GIVEN.concepts[texture]
    )
    swaps = facet_swaps(study, n=2, steps=2, attack_steps=2)
    assert list(swaps) == study.members
    first = {"A", "B", "none", "noise", "fresh", "replace", "destroy"}
    for (kind, seed), swap in swaps.items():
        assert set(swap.pictures) == (first if seed == 0 else {"A", "B", "replace"})
        alone = facet_swap(
            study.network(kind, seed), judge_for(study, kind, seed), GIVEN, n=2, steps=2, attack_steps=2
        )
        assert torch.equal(alone.pictures["replace"].images, swap.pictures["replace"].images)
        assert swap.way("replace") == pytest.approx(alone.way("replace"), abs=1e-4)


def test_judges_are_made_and_networks_copied_before_the_threads_that_draw(study, monkeypatch, as_shipped):
    lessons = "robustxai.concepts.study.facets.lesson"
    monkeypatch.setattr(lessons, lambda texture, n, size: GIVEN.concepts[texture])
    order, copied = [], facets.deepcopy

    def copying(model):
        assert threading.current_thread() is threading.main_thread()
        order.append("copy")
        return copied(model)

    def teaching(*args):
        order.append("judge")
        return judge(*args)

    def drawing(model, judge, *args, **options):
        order.append("draw")
        assert not any(judge.model is m for *_, m in study.each())
        return judge

    judge = facets.taught
    monkeypatch.setattr(facets, "deepcopy", copying)
    monkeypatch.setattr(facets, "taught", teaching)
    monkeypatch.setattr(facets, "facet_swap", drawing)
    judges = facet_swaps(study)
    assert order == ["copy"] * 4 + ["judge"] * 4 + ["draw"] * 4
    assert len({id(j.model) for j in judges.values()}) == 4  # each has a copy of its own


def test_a_hardened_network_is_attacked_itself(study):
    found = hardened(study, 1, STRIPES)
    assert found.name == "adversarially trained network" and set(found.state) == {CLEAN, *ATTACKS}
    own = study.moved("hardened", 1, STRIPES, "gradient")
    cell = study.judged("hardened", 1, STRIPES, {"gradient": own.x})["gradient"]
    assert (found.score["gradient"], found.state["gradient"]) == (pytest.approx(cell.mean), cell.state)
    assert not torch.equal(own.x, study.moved("plain", 1, STRIPES, "gradient").x)
