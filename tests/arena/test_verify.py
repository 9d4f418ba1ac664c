"""Evaluations from elsewhere (T17): what breaks the rules is refused, and none raises a number."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from robustxai.arena import board_run, plan
from robustxai.arena.board import load_entry, number_of
from robustxai.arena.board_run import run_rows, store
from robustxai.arena.evaluate import evaluate
from robustxai.arena.measures import overlap
from robustxai.arena.plan import PITCHES, Block
from robustxai.arena.protocol import as_bytes
from robustxai.arena.verify import verify
from robustxai.attacks.budget import Budget
from robustxai.attacks.ghorbani import TopKAttack
from robustxai.explainers.gradient import Saliency
from robustxai.nets.softplus import softplus_copy

EPS, N = 4 / 255, 8
PITCH = PITCHES["animals4-s0"]
X = PITCH.images(PITCH.data(N))[0]
NET = PITCH.network()
EXPLAIN = Saliency(NET, score="logit")


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Path:
    """A board of one row, with its real code; quick."""
    folder = tmp_path_factory.mktemp("arena")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plan.PLANS, "quick", (Block("animals4-s0", (4,), N, ("Saliency",)),))
        assert run_rows("quick", folder) == ["Saliency"]
        assert run_rows("quick", folder) == [], "nothing is missing the second time"
        patch.setattr(board_run, "VERSION", "another")
        assert not board_run._done("Saliency", plan.PLANS["quick"][0], PITCH.data(N), "quick", folder)
    return folder


@pytest.fixture
def folder(board: Path, tmp_path: Path) -> Path:
    """A copy of the board, to be changed."""
    (tmp_path / "arena").mkdir()
    (tmp_path / "arena" / "saliency.json").write_bytes((board / "saliency.json").read_bytes())
    return tmp_path / "arena"


@functools.lru_cache(maxsize=1)
def stronger() -> Tensor:
    """Better images than the quick suite's: more steps. One tensor for all tests, which copy what they change."""
    twin = EXPLAIN.on(softplus_copy(NET, 20))
    found = TopKAttack(157, EPS, steps=60, clip=(0, 1)).perturb(NET, X, explain=EXPLAIN, guide=lambda _: twin)
    return as_bytes(found.x, X, EPS)


def p_of(x: Tensor) -> float:
    t = NET(X).argmax(1)
    return float(overlap(EXPLAIN(X, t), EXPLAIN(x, t)).mean())


def submitted(tmp_path: Path, x: Tensor, **more) -> Path:
    np.savez(tmp_path / "images.npz", x=x.numpy())
    said = {
        "row": "Saliency", "network": "animals4-s0", "norm": "linf", "eps": EPS, "readout": "own",
        "images": "images.npz", "who": "a reader", "attack": "60 steps", **more,
    }  # fmt: skip
    if "p" not in more:
        said["p"] = p_of(x)
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps(said))
    return file


def number(folder: Path) -> float:
    (cell,) = (c for c in load_entry(folder / "saliency.json")["cells"] if c["readout"] == "own")
    found = number_of(cell)
    assert found is not None
    return found


def test_the_row_is_whole(board: Path) -> None:
    entry = load_entry(board / "saliency.json")
    assert {c["readout"] for c in entry["cells"]} == {"own", "grid"} and len(entry["cells"]) == 2
    facts = entry["clean"]["animals4-s0"]
    assert facts["dependence"] > 0.1 and facts["faith"] is not None and 0 < facts["mass"] < 1
    assert entry["networks"]["animals4-s0"]["sha256"] == PITCH.sha256 and entry["made"]["commit"]
    assert entry["cells"][0]["met"] == []


def test_better_images_lower_the_number(folder: Path, tmp_path: Path) -> None:
    before, x = number(folder), stronger()
    dry = verify(submitted(tmp_path, x), folder, write=False)
    assert number(folder) == before and dry.after < before
    found = verify(submitted(tmp_path, x), folder)
    assert number(folder) == pytest.approx(found.after, abs=1e-4) and found.after < before == found.before
    entry = load_entry(folder / "saliency.json")
    assert entry["external"][0]["who"] == "a reader" and "external" in entry["flags"]
    assert found.state == ("weak" if found.after < before - 0.05 else "attacked")
    with pytest.raises(ValueError, match=r"^x must lower P"):  # the same again lowers nothing
        verify(submitted(tmp_path, x), folder)


def test_who_leaves_the_rules_is_refused_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    x, before = stronger(), (folder / "saliency.json").read_bytes()
    far = (X + (x - X).sign() * (EPS + 1e-3)).clamp(0, 1)
    soft = (X + 0.9 * (x - X)).clamp(0, 1)
    cases = [
        (submitted, far, {}, r"^x must stay within 0.01569 in linf, got 8 images outside"),
        (submitted, soft, {}, r"^x must be images of 8 bits, got \d+ values"),
        (submitted, x, {"p": p_of(x) - 0.02}, r"^p must be what is computed again, "),
        (submitted, X, {"p": 1.0}, r"^x must lower P, "),
        (submitted, x[:7].repeat(2, 1, 1, 1)[:7], {}, r"^x must have the shape of the clean images"),
        (submitted, x, {"network": "animals9-s0"}, r"^network must be one of "),
        (submitted, x, {"row": "Salience"}, r"^row must be one of "),
        (submitted, x, {"row": "GradCAM"}, r"^row must be on the board of this profile"),
        (submitted, x, {"eps": 2 / 255}, r"^the board must have the cell"),
        (submitted, x, {"images": "other.npz"}, r"^other.npz must be a file .npz"),
        (submitted, x, {"who": 3}, r"^evaluation.json must have the field who, got 3$"),
    ]  # fmt: skip
    for make, images, more, sentence in cases:
        given = {"p": 0.5, **more} if len(images) != N else more
        with pytest.raises(ValueError, match=sentence):
            verify(make(tmp_path, images, **given), folder)
        assert (folder / "saliency.json").read_bytes() == before


def test_an_image_that_lost_its_class_keeps_the_old_number(folder: Path, tmp_path: Path) -> None:
    x = stronger().clone()
    t, flipped = NET(X).argmax(1), X
    for _ in range(10):
        v = flipped.clone().requires_grad_()
        torch.nn.functional.cross_entropy(NET(v), t, reduction="sum").backward()
        assert v.grad is not None
        flipped = as_bytes(Budget(EPS).project(flipped + EPS / 2 * v.grad.sign(), X), X, EPS)
    lost = (NET(flipped).argmax(1) != t).nonzero()
    assert len(lost), "no image changes its class under this budget"
    x[lost[0]] = flipped[lost[0]]
    found = verify(submitted(tmp_path, x, p=1.0), folder)
    assert found.lost == 1


def test_an_evaluation_made_elsewhere_is_stored_with_the_images_it_had(tmp_path: Path) -> None:
    data = PITCH.data(N, seed=77_001, pool=N)
    x = PITCH.images(data)[0]
    assert not torch.equal(x, X)
    found = evaluate(NET, x, rows=["constant", "edge"], eps=(EPS,), readout=("own",), network="mine")
    with pytest.raises(ValueError, match=r"^data must name the images of the evaluation"):
        store(found, tmp_path, pitch=PITCH, data=PITCH.data(N))
    store(found, tmp_path, pitch=PITCH, data=data)
    entry = load_entry(tmp_path / "edge.json")
    (cell,) = entry["cells"]
    assert cell["network"] == PITCH.name and cell["met"] == ["constant"]
    assert entry["networks"][PITCH.name]["data"] == data and entry["clean"][PITCH.name]["dependence"] == 0
    assert number_of(cell) == pytest.approx(found.cells[-1].number, abs=1e-3)
