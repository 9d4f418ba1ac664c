"""The experiments on tiny networks: what they return, what they hold fixed, and that their controls are controls."""

from dataclasses import replace

import pytest
import torch
from toys import Classifier, filtered, images

from robustxai.ace import ATTACKS, PGD, Calls, metrics as M
from robustxai.ace.study.faces import edit_region, faces, redrawn
from robustxai.ace.study.filter_experiments import (
    at_level,
    bare_filter,
    distances,
    explained_parts,
    noise_sweep,
    refinement,
    with_and_without,
)
from robustxai.ace.study.matched_steps import attacks, matched
from robustxai.ace.study.measures import Judges, measured, of_set
from robustxai.ace.study.routes_and_realism import bias, gradient_routes, modes, realism, repeated
from robustxai.metrics import energy_inside

N = 5
OPTIONS = {"steps": 3, "step": 0.02, "lam": 0.001, "dilation": 3}
QUANTITIES = {
    "flip",
    "transfer",
    "purified",
    "high_frequency",
    "l1",
    "l0",
    "touched",
    "linf",
    "cout",
    "similarity",
    "mnac",
}


@pytest.fixture(scope="module")
def judges() -> Judges:
    classifier = Classifier()
    return Judges(
        classifier,
        Classifier(seed=1),
        filtered(2),
        M.Features("toy", classifier),
        Classifier(4, seed=2),
        draws=2,
    )


def test_everything_is_measured_once_per_image(judges):
    x, moved = images(N), images(N, seed=1)
    ones = torch.ones(N, dtype=torch.int64)
    row = measured(judges, x, moved, 1 - ones, ones)
    assert set(row) == QUANTITIES
    assert all(v.shape == (N,) for v in row.values())
    cheap = measured(judges, x, moved, 1 - ones, ones, purified=False, cout=False)
    assert set(cheap) == QUANTITIES - {"purified", "cout"}


def test_sets_and_their_numbers(judges):
    x, moved = images(8), images(8, seed=1)
    labels = torch.rand(20, 4, generator=torch.Generator().manual_seed(0)) > 0.5
    found = of_set(judges, x, moved, torch.ones(8, dtype=torch.bool), repeats=2, labels=labels)
    assert found["fid"] > 0 and found["sfid"] > 0 and found["cd"] >= 0
    few = of_set(judges, x, moved, torch.arange(8) < 3, repeats=2, labels=labels)
    assert all(value != value for value in few.values())


def test_the_attack_without_a_filter_asks_no_denoiser_and_both_have_one_target(judges):
    rows, results = with_and_without(judges, images(N), **OPTIONS)
    assert list(rows) == ["no filter", "filtered", "refined"]
    plain, found = results["no filter"], results["filtered"]
    assert plain.unet_forwards.sum() == 0 and (found.unet_backwards == 3 * 2).all()
    assert torch.equal(plain.target, found.target)
    torch.testing.assert_close(rows["filtered"]["l1"], M.mean_change(found.x, found.pre))
    torch.testing.assert_close(rows["refined"]["flip"].bool(), found.flipped)


def test_a_watch_sees_the_attack_through_the_filter(judges):
    x, seen = images(N), []
    _, results = with_and_without(
        judges, x, watch=lambda index, k, image: seen.append((k.tolist(), image)), **OPTIONS
    )
    assert [k for k, _ in seen] == [[step] * N for step in range(4)]
    assert torch.equal(seen[-1][1], results["filtered"].pre) and torch.equal(seen[0][1], x)


def test_noise_levels_are_evenly_spaced_from_zero():
    base = filtered(2)
    assert at_level(base, 120).timesteps == (0, 30, 60, 90, 120)
    assert at_level(base, 2).timesteps == (0, 1, 2)
    assert at_level(base, 40, 1).timesteps == (40,)
    assert at_level(base, 0).tau == 0


def test_level_zero_is_the_attack_without_filter(judges):
    x = images(N)
    rows, results = noise_sweep(judges, x, levels=(0, 20), tau=2, **OPTIONS)
    assert list(results) == ["0", "20"]
    plain = explained_parts(judges, x, filter=None, **OPTIONS)
    torch.testing.assert_close(rows["0"]["l1"], M.mean_change(x, plain.pre))
    assert rows["0"]["agreement"].eq(1).all() and rows["0"]["shift"].eq(0).all()
    assert rows["20"]["shift"].gt(0).all()


def test_the_bare_filter_is_judged_by_the_classifiers_clean_decision(judges):
    x = images(N)
    found = bare_filter(judges, x, judges.filter, draws=3)
    assert ((3 * found["agreement"]).round() == 3 * found["agreement"]).all()


def test_refinement_thresholds_go_from_all_pixels_to_fewer(judges):
    x = images(N)
    found = explained_parts(judges, x, filter=judges.filter, attack="gd", steps=3, lam=0.0)
    rows = refinement(judges, found, judges.filter, thresholds=(0.0, 0.5, 2.0), dilation=1)
    edited = [rows[name]["edited"].mean().item() for name in ("0", "0.5", "2")]
    assert edited[0] == 1 and 0 < edited[1] < 1 and edited[2] == 0
    assert rows["2"]["l1"].eq(0).all() and torch.equal(rows["pre"]["l1"], M.mean_change(x, found.pre))


def test_a_huge_weight_of_the_distance_keeps_the_image(judges):
    x = images(N)
    options = {k: v for k, v in OPTIONS.items() if k != "lam"}
    rows = distances(judges, x, judges.filter, weights={"l1": (1e6,), "none": (0.0,)}, **options)
    assert list(rows) == ["l1 1e+06", "none"]
    assert rows["l1 1e+06"]["l1"].max() <= 0.02 + 1e-6
    assert rows["none"]["l1"].mean() > rows["l1 1e+06"]["l1"].mean()


def test_the_other_attacks_change_as_much_as_pgd(judges):
    x = images(N)
    pgd = PGD(steps=3, step=0.02, distance="none", lam=0.0)
    done = explained_parts(judges, x, filter=judges.filter, attack=pgd, dilation=3)
    known = {"pgd": done}
    rows, used = attacks(judges, x, judges.filter, pgd=pgd, probe=N, rounds=12, known=known, dilation=3)
    torch.testing.assert_close(rows["pgd"]["l1"], M.mean_change(x, done.pre))
    assert list(rows) == ["pgd", "gd", "cw"]
    goal = rows["pgd"]["l1"].mean().item()
    assert rows["gd"]["l1"].mean().item() == pytest.approx(goal, rel=0.2)
    assert rows["cw"]["l1"].mean().item() == pytest.approx(goal, rel=0.3)
    assert used["gd"].step != used["cw"].step


def test_a_step_is_found_in_few_trials_and_stays_in_its_range(judges):
    x, gd = images(N), ATTACKS["gd"](steps=3, distance="none", lam=0.0)

    def change(attack):
        return float(
            M.mean_change(x, explained_parts(judges, x, filter=judges.filter, attack=attack).pre).mean()
        )

    goal = change(replace(gd, step=0.37))
    found = matched(judges, x, judges.filter, gd, goal, rounds=4)
    assert change(found) == pytest.approx(goal, rel=0.1)
    assert matched(judges, x, judges.filter, gd, 1e-9, rounds=3, low=0.01).step == 0.01


def test_routes_agree_with_themselves_and_cost_less(judges):
    rows = gradient_routes(judges, images(N), judges.filter, **OPTIONS)
    torch.testing.assert_close(rows["full"]["cosine"], torch.ones(N))
    assert rows["shortcut"]["backwards"].sum() == 0
    assert rows["one-step"]["forwards"][0] < rows["full"]["forwards"][0]
    assert rows["shortcut"]["cosine"].mean() < 1


def test_modes_are_counted_and_an_unknown_one_is_refused(judges):
    rows, results = modes(judges, images(N), judges.filter, names=("joint", "checkpointed"), **OPTIONS)
    assert rows["joint"]["forwards"].eq(3 * 2 + 2).all() and rows["joint"]["backwards"].eq(3 * 2).all()
    assert rows["checkpointed"]["forwards"].eq(2 * 3 * 2 + 2).all()
    torch.testing.assert_close(results["joint"].image, results["checkpointed"].image, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match=r"names must be among .* got 'turbo'"):
        modes(judges, images(N), judges.filter, names=("turbo",))
    assert isinstance(judges.filter.calls, Calls)


def test_realism_has_a_floor_and_asks_for_labels_for_cd(judges):
    x, others = images(8), images(8, seed=1)
    labels = torch.rand(20, 4, generator=torch.Generator().manual_seed(0)) > 0.5
    options = OPTIONS | {"steps": 40}
    rows = realism(judges, x, others, judges.filter, labels=labels, **options)
    assert list(rows) == ["other images", "no filter", "ACE-fast"]
    assert rows["other images"]["fid"] == M.frechet(judges.features, x, others)
    assert rows["ACE-fast"]["flip"] == 1 and rows["ACE-fast"]["cd"] >= 0 and rows["no filter"]["sfid"] > 0
    assert all(
        row["cd"] != row["cd"] for row in realism(judges, x, others, judges.filter, **options).values()
    )


def test_the_true_edit_of_a_smile_is_at_the_mouth_and_of_glasses_at_the_eyes():
    scenes = faces("test", 12)
    for name, part, other in (("smile", "mouth", "hair"), ("glasses", "glasses", "mouth")):
        region = edit_region(scenes, name)
        assert region.any((1, 2)).all()
        rows = torch.arange(32.0).view(1, -1, 1).expand_as(region)
        middle = rows[region].mean()
        assert (middle > 16) == (name == "smile")
        inside = energy_inside(region.float(), (scenes.mask(part) > 0).float())
        assert inside.nanmean() > energy_inside(region.float(), (scenes.mask(other) > 0).float()).nanmean()


def test_a_face_that_is_redrawn_has_the_other_factor_and_the_same_rest():
    scenes = faces("test", 6)
    again = redrawn(scenes, "smile")
    unchanged = ~edit_region(scenes, "smile")
    assert (scenes.images - again).abs().amax(1)[unchanged].max() <= 2 / 255 + 1e-5
    with pytest.raises(
        ValueError, match=r"name must be one of smile, mouth_open, eye_open, eye_size, .*, got 'moustache'"
    ):
        redrawn(scenes, "moustache")


def test_a_known_result_is_used_and_not_run_again(judges):
    x, moved = images(N), images(N, seed=1)
    known = replace(explained_parts(judges, x, filter=judges.filter, **OPTIONS), pre=moved, image=moved)
    pgd = PGD(steps=3, step=0.02, distance="none", lam=0.0)
    f, change = judges.filter, M.mean_change(x, moved)
    rows = {
        "level": noise_sweep(judges, x, levels=(20,), known={"20": known}, **OPTIONS)[0]["20"],
        "distance": distances(judges, x, f, weights={"none": (0.0,)}, known={"none": known}, steps=1)["none"],
        "route": gradient_routes(judges, x, f, known={"full": known}, **OPTIONS)["full"],
        "mode": modes(judges, x, f, names=["joint"], known={"joint": known}, **OPTIONS)[0]["joint"],
        "attack": attacks(judges, x, f, pgd=pgd, probe=1, rounds=1, known={"pgd": known})[0]["pgd"],
    }
    for row in rows.values():
        torch.testing.assert_close(row["l1"], change)
    assert rows["mode"]["seconds"].isnan().all()


class Reader(torch.nn.Module):
    """Reads the first factor off the image's mean, and 24 constants."""

    def forward(self, x):
        return torch.cat([4 * (x.mean((1, 2, 3)) - 0.5)[:, None], x.new_ones(len(x), 24)], 1)


def test_bias_measures_label_and_confounder_for_every_classifier(judges):
    scenes = faces("test", 3, size=16)
    judge = replace(judges, reader=Reader().eval(), features=judges.features)
    rows, results = bias({"a": judge, "b": judge}, scenes, judges.filter, **OPTIONS)
    assert set(rows) == {"a", "b"} and torch.equal(results["a"].image, results["b"].image)
    row = rows["a"]
    assert row["confounder moved"].eq(0).all() and row["confounder crossed"].eq(0).all()
    sign = 2.0 * results["a"].target - 1
    expected = sign * 4 * (results["a"].image.mean((1, 2, 3)) - results["a"].x.mean((1, 2, 3)))
    torch.testing.assert_close(row["label moved"], expected, atol=1e-5, rtol=0)
    assert (row["label chance"] > 0).all() and (row["label chance"] < 0.6).all()
    assert bias({"a": judge}, scenes, judges.filter, known={"a": results["a"]}, steps=1)[1] == {
        "a": results["a"]
    }
    with pytest.raises(ValueError, match="judges must have a reader each"):
        bias({"a": replace(judges, reader=None)}, scenes, judges.filter, **OPTIONS)


def test_each_classifier_has_its_own_part_of_the_images(judges):
    x, region = images(6), torch.zeros(6, 8, 8, dtype=torch.bool)
    region[1:, 2:4, 2:4] = True
    other = replace(judges, classifier=Classifier(seed=3))
    found = repeated({4: judges, 7: other}, x, judges.filter, region=region, **OPTIONS)
    assert list(found) == [4, 7]
    rows, results = with_and_without(other, x[3:], filter=judges.filter, **OPTIONS)
    torch.testing.assert_close(found[7]["refined"]["l1"], rows["refined"]["l1"])
    moved = (results["filtered"].pre - x[3:]).abs().sum(1)
    inside = moved[:, 2:4, 2:4].sum((1, 2)) / moved.sum((1, 2))
    torch.testing.assert_close(found[7]["filtered"]["inside"], inside)
    assert found[4]["filtered"]["inside"].isnan().tolist() == [True, False, False]
    with pytest.raises(ValueError, match=r"x must hold a multiple of 2 images, .* got 5"):
        repeated({4: judges, 7: other}, x[:5], judges.filter, **OPTIONS)
