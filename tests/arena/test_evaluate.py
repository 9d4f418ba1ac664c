"""The loop: proofs, trivial rows, masked gradients, budgets, batches, what is undefined, and what is refused."""

from typing import Any

import pytest
import torch
from arena_toys import EPS, Detached, convolved, images, linear
from torch import nn

from robustxai.arena.catalogue import EXPLAINERS
from robustxai.arena.cells import ArenaCell
from robustxai.arena.evaluate import evaluate
from robustxai.arena.measures import overlap
from robustxai.arena.registry import ExplainerRow, Parts
from robustxai.explainers.gradient import Saliency

TRIVIAL = ["constant", "centre blob", "fixed random", "fresh random", "edge", "brightness"]


def cells(found) -> dict[tuple[str, str], ArenaCell]:
    return {(cell.row, cell.readout): cell for cell in found.cells}


@pytest.fixture(scope="module")
def mixed():
    rows = [*TRIVIAL, "GradCAM", "Saliency", "DiffGradCAM (lse)"]
    return evaluate(convolved(), images(12), rows=rows, eps=(EPS,))


@pytest.mark.parametrize("suite", ["quick", "real"])
def test_a_linear_network_is_a_proof_for_its_gradient_and_not_for_gradient_times_input(suite):
    found = cells(
        evaluate(
            linear(),
            images(8),
            rows=["Saliency", "SmoothGrad (4)", "Gradient x Input"],
            suite=suite,
            eps=(EPS,),
        )
    )
    for row in ("Saliency", "SmoothGrad (4)"):
        for readout in ("own", "grid"):
            cell = found[row, readout]
            assert cell.state == "proof" and "one linear map" in cell.reason
            assert not cell.followed.any() and not any(v.any() for v in cell.followed_by.values())
            assert cell.worst.eq(1).all() and cell.noise.eq(1).all() and cell.number == 1
    assert found["Gradient x Input", "own"].state == "attacked"


def test_maps_that_read_no_image_are_proofs_and_depend_on_nothing(mixed):
    for row in TRIVIAL[:3]:
        for readout in ("own", "grid"):
            cell = cells(mixed)[row, readout]
            assert cell.state == "proof" and not cell.followed.any() and cell.worst.eq(1).all()
            assert "ignores the network" in cell.flags
            assert cell.depends is not None and cell.depends.abs().max() < 1e-5


def test_a_map_of_chance_is_random_keeps_what_chance_keeps_and_was_not_attacked(mixed):
    cell = cells(mixed)["fresh random", "own"]
    assert "random" in cell.flags and cell.state == "not attacked" and cell.number is None
    chance = round(0.05 * 256) / 256
    assert float(cell.worst.mean()) == pytest.approx(chance, abs=0.02)
    assert float(cell.noise.mean()) == pytest.approx(chance, abs=0.02)


def test_no_other_row_is_random(mixed):
    assert {cell.row for cell in mixed.cells if "random" in cell.flags} == {"fresh random"}


def test_what_a_relu_hides_the_twin_finds(mixed):
    cell = cells(mixed)["Saliency", "own"]
    assert not cell.followed_by["topk"].any() and cell.followed_by["topk-twin"].all() and cell.followed.all()
    assert cell.by_attack["topk"].eq(1).all() and "gradient masked" in cell.flags
    assert cell.state == "attacked" and float(cell.worst.mean()) < float(cell.noise.mean()) - 0.02


def test_worst_is_the_least_of_each_image_over_all_attacks_and_transfers(mixed):
    for cell in mixed.cells:
        if "random" in cell.flags:
            continue
        lowest = torch.stack(list(cell.by_attack.values())).amin(0)
        assert torch.equal(cell.worst, lowest), cell.row
        named = torch.stack([cell.by_attack[name][i] for i, name in enumerate(cell.worst_attack)])
        assert torch.equal(named, cell.worst)
        foreign = [v for name, v in cell.by_attack.items() if name.startswith("from ")]
        assert torch.equal(cell.transfer, torch.stack(foreign).amin(0))
        assert {f"from {r}" for r in ("edge", "GradCAM", "Saliency")} - {f"from {cell.row}"} <= set(
            cell.by_attack
        )


def test_the_adversarials_are_the_worst_images_in_budget_of_the_same_class_and_read_the_same_again(mixed):
    net, x = convolved(), images(12)
    for (row, eps), changed in mixed.adversarials.items():
        assert float((changed - x).abs().max()) <= eps + 1e-6 and changed.min() >= 0 and changed.max() <= 1
        assert torch.equal(net(changed).argmax(1), net(x).argmax(1))
        cell = cells(mixed)[row, "own"]
        assert cell.kept.all() and cell.dropped == 0
        stored = (changed * 255).round() / 255  # 8 bit
        assert float((stored - x).abs().max()) <= eps + 1e-6
        if row in ("GradCAM", "Saliency", "edge"):
            again = cells(evaluate(net, x, rows=[row], eps=(EPS,), readout=("own",)))[row, "own"]
            explain = EXPLAINERS[row].explainer(net, Parts(layer="features"))
            t = net(x).argmax(1)
            p = overlap(explain(x, t), explain(stored, t))
            assert float(p.mean()) == pytest.approx(float(cell.worst.mean()), abs=0.03)
            assert float(cell.worst.mean()) <= float(again.worst.mean()) + 1e-6  # transfers only lower


def test_batches_change_nothing_and_two_runs_are_the_same():
    net, x = convolved(), images(5)
    how: dict[str, Any] = dict(rows=["edge", "Saliency"], eps=(EPS,), readout=("own",))
    one, parts, again = (evaluate(net, x, batch_size=size, **how) for size in (5, 2, 5))
    for a, b, c in zip(one.cells, parts.cells, again.cells, strict=True):
        torch.testing.assert_close(a.worst, b.worst, atol=0.08, rtol=0)  # one value of a top of 13
        assert (a.worst != b.worst).float().mean() <= 0.2
        assert torch.equal(a.worst, c.worst) and torch.equal(a.noise, c.noise) and a.forwards == c.forwards


def test_two_threads_change_nothing():
    before, runs = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        runs.append(evaluate(convolved(), images(2), rows=["GradCAM"], eps=(EPS,), readout=("own",)).cells[0])
    torch.set_num_threads(before)
    torch.testing.assert_close(runs[0].worst, runs[1].worst, atol=0.08, rtol=0)


def test_a_detached_explainer_was_not_attacked_by_anything():
    row = ExplainerRow(
        name="detached", family="pixel", make=lambda model: Detached(Saliency(model, score="logit"))
    )
    for suite in ("quick", "real"):
        found = cells(evaluate(convolved(), images(8), rows=[row], suite=suite, eps=(EPS,)))
        for cell in found.values():
            assert cell.state == "not attacked" and not cell.followed.any() and cell.number is None
            assert all(v.eq(1).all() for v in cell.by_attack.values())  # jittered starts come back as well


def test_a_row_that_needs_what_is_not_there_says_so():
    found = evaluate(linear(), images(8), rows=["GradCAM", "EIG", "constant"], eps=(EPS,))
    for cell in found.cells:
        assert (cell.state == "n/a") == (cell.row != "constant")
    said = {cell.row: cell.reason for cell in found.cells}
    assert said["GradCAM"] == "It needs layer, and there is none."
    assert said["EIG"] == "It needs autoencoder, and there is none."
    assert {line["state"] for line in found.table()} == {"n/a", "proof"}


def test_fewer_than_eight_images_have_no_number():
    few = evaluate(convolved(), images(7), rows=["GradCAM"], eps=(EPS,), readout=("own",)).cells[0]
    assert few.number is None and "P" not in few.line() and few.n == 7


def test_dead_maps_count_as_chance_and_constant_clean_maps_as_nothing():
    class Switched(Saliency):
        """The saliency, and 0 for images that were touched."""

        def attribute(self, x, target=None):
            values = super().attribute(x, target)
            return values * ((255 * x - (255 * x).round()).flatten(1).abs().amax(1) < 1e-3).view(-1, 1, 1, 1)

    row = ExplainerRow(name="switched", family="pixel", make=lambda model: Switched(model))
    x = images(8)
    cell = evaluate(convolved(), x, rows=[row], eps=(EPS / 3.1,), readout=("own",)).cells[0]
    assert cell.dead == 8 and cell.worst.sub(13 / 256).abs().max() < 1e-6
    blank = ExplainerRow(name="blank", family="pixel", make=lambda model: Blank(model))
    cell = evaluate(convolved(), x, rows=[blank], eps=(EPS,), readout=("own",)).cells[0]
    assert cell.n == 0 and cell.worst.isnan().all() and cell.number is None and cell.state == "not attacked"


class Blank(Saliency):
    """0 everywhere, of which there is no top."""

    def attribute(self, x, target=None):
        return 0 * x.sum(1, keepdim=True)


def test_frozen_parameters_and_a_convolutional_head():
    cell = evaluate(
        convolved("conv"), images(8), rows=["GradCAM"], eps=(EPS,), readout=("own",), layer="features"
    )
    assert cell.cells[0].state == "attacked" and cell.cells[0].followed_by["topk-twin"].all()


def test_every_cell_is_told_twice_and_true_ends_the_loop():
    told = []
    evaluate(
        convolved(), images(8), rows=["edge", "GradCAM"], eps=(EPS,), readout=("own",), on_cell=told.append
    )
    assert [cell.row for cell in told] == ["edge", "GradCAM", "edge", "GradCAM"]
    assert told[0].transfer.isnan().all() and not told[2].transfer.isnan().any()
    found = evaluate(
        convolved(),
        images(8),
        rows=["edge", "GradCAM"],
        eps=(EPS, 2 * EPS),
        readout=("own",),
        on_cell=lambda _: True,
    )
    assert [(cell.row, cell.eps) for cell in found.cells] == [("edge", EPS)]


def test_a_defence_is_attacked_itself_and_reads_what_was_crafted_without_it():
    how: dict[str, Any] = dict(rows=["Saliency", "edge"], eps=(EPS,), readout=("own",))
    plain = cells(evaluate(convolved(), images(12), **how))["Saliency", "own"]
    found = cells(evaluate(convolved(), images(12), defence="softplus(2)", **how))
    assert found["edge", "own"].state == "n/a" and "no defence" in found["edge", "own"].reason
    cell = found["Saliency", "own"]
    assert (
        cell.defence == "softplus(2)" and "undefended" in cell.by_attack and "topk-twin" not in cell.by_attack
    )
    assert cell.followed_by["topk"].all()  # smooth: it needs no twin
    assert float(cell.worst.mean()) > float(plain.worst.mean())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (dict(rows=["GradCAMM"]), "rows must be one of"),
        (dict(eps=(0.0,)), "eps must be a finite number > 0"),
        (dict(norm="l1"), "norm must be one of"),
        (dict(suite="long"), "suite must be one of"),
        (dict(readout=("native",)), "readout must be one of"),
        (dict(defence="luck"), "defence must be one of"),
        (dict(layer="body"), "layer must be a module of the model"),
        (dict(batch_size=0), "batch_size must be an integer >= 1"),
        (dict(target=7), "target must be classes in"),
    ],
)
def test_what_is_refused_is_said_in_one_sentence(changed, said):
    with pytest.raises(ValueError, match=said):
        evaluate(convolved(), images(2), **changed)


def test_images_and_modes_are_checked():
    with pytest.raises(ValueError, match="x must be images in"):
        evaluate(convolved(), 2 * images(2))
    with pytest.raises(ValueError, match="eval mode"):
        evaluate(nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(768, 2)), images(2))


def test_a_row_without_a_derivative_meets_its_guide_and_a_search_without_gradients():
    row = ExplainerRow(name="signs only", family="pixel", make=Stepped)
    found = cells(evaluate(convolved(), images(8), rows=[row, "edge"], eps=(2 * EPS,)))
    for readout in ("own", "grid"):
        cell = found["signs only", readout]
        assert set(cell.by_attack) >= {"topk-bpda", "black box", "from edge"}
        assert not cell.followed.any() and cell.state == "weak" and "crafted elsewhere" in cell.reason
        assert float(cell.by_attack["black box"].mean()) < float(cell.noise.mean())
        assert torch.equal(
            cell.transfer, torch.minimum(cell.by_attack["black box"], cell.by_attack["from edge"])
        )


class Stepped(Saliency):
    """The saliency in steps, and no guide."""

    differentiable = False

    def guide(self, x, *, beta=10.0):
        return self

    def attribute(self, x, target=None):
        with torch.no_grad():
            return super().attribute(x.detach(), target)
