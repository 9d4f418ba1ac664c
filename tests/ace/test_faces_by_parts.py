"""Faces explained in parts: every image once, parts that are kept, bytes that come back, one row for the set."""

from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import nn
from toys import Classifier, filtered

from robustxai import parts
from robustxai.ace import metrics as M
from robustxai.ace.study import faces_by_parts as faces
from robustxai.ace.study.filter_experiments import explained_parts
from robustxai.ace.study.measures import Judges
from robustxai.ace.study.photographs import PAIRS, balanced_accuracy, pick
from robustxai.ace.study.recipes import RECIPES
from robustxai.data import Dataset
from robustxai.nets.recipes import Job

X = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
QUICK = {"steps": 2, "distance": "l1", "lam": 0.01, "threshold": 0.15, "dilation": 1, "mode": "strict"}
FILTER = filtered(2)


@pytest.fixture
def judges(monkeypatch):
    monkeypatch.setattr(parts, "commit", lambda: "0123456789ab")
    oracle, reader = Classifier(seed=1), Classifier(4, seed=2)
    return Judges(Classifier(), oracle, FILTER, M.Features("oracle", oracle), reader, draws=1)


def test_every_image_is_in_one_part_and_a_part_is_made_once(judges, tmp_path, monkeypatch):
    made = faces.faces_by_parts(judges, X, FILTER, folder=tmp_path, name="toy", size=4, **QUICK)
    assert [len(p.rows) for p in made] == [4, 2]
    assert sorted(f.stem for f in tmp_path.iterdir()) == ["toy-0000", "toy-0004"]
    monkeypatch.setattr(faces, "face_rows", lambda *_, **__: pytest.fail("made again"))
    assert faces.faces_by_parts(judges, X, FILTER, folder=tmp_path, name="toy", size=4, **QUICK) == made


def test_another_noise_or_weight_is_another_part(judges, tmp_path):
    made = faces.faces_by_parts(judges, X[:2], FILTER, folder=tmp_path, name="toy", size=2, **QUICK)
    for filter, options in ((filtered(3), QUICK), (FILTER, QUICK | {"lam": 10.0})):
        other = faces.faces_by_parts(judges, X[:2], filter, folder=tmp_path, name="toy", size=2, **options)
        assert other[0].rows != made[0].rows


def test_counterfactuals_come_back_as_bytes_and_the_set_has_one_row(judges, tmp_path):
    made = faces.faces_by_parts(judges, X, FILTER, folder=tmp_path, name="toy", size=4, **QUICK)
    found = faces.counterfactuals(made, X)
    assert found.shape == X.shape and torch.equal((255 * found).round(), 255 * found)
    direct = explained_parts(judges, X[:4], filter=FILTER, seed=0, **QUICK).image
    assert (found[:4] - direct).abs().max() <= 0.5 / 255 + 1e-6 and not torch.equal(found, X)
    labels = torch.rand(20, 4, generator=torch.Generator().manual_seed(1)) > 0.5
    row = faces.faces_summary(judges, made, X, labels=labels, query=1)
    assert row["n"] == 6 and {"flip", "cout", "mnac", "fid", "sfid", "cd"} < set(row)
    flips = torch.tensor([float(r["flip"]) for p in made for r in p.rows])
    assert cast(tuple[float, float, float], row["flip"])[0] == pytest.approx(float(flips.mean()))


def test_balanced_accuracy_counts_yes_and_no_alike():
    truth = torch.tensor([[True], [False], [False], [False]])
    assert balanced_accuracy(nn.Identity(), torch.full((4, 1), -1.0), truth).tolist() == [0.5]
    assert balanced_accuracy(nn.Identity(), truth.float() - 0.5, truth).tolist() == [1.0]


def test_the_recipe_of_faces_adds_a_reader_of_attributes(monkeypatch, tmp_path):
    pair = PAIRS["celebahq"]
    generator = torch.Generator().manual_seed(0)

    def load(source, split, *, limit=None):
        y = torch.arange(32) % 2
        flags = torch.stack((y == 1, torch.arange(32) % 4 < 2), 1)
        x = torch.rand(32, 3, 16, 16, generator=generator)
        return Dataset(x, y, pair.classes, source, split, features=("Smiling", "Young"), attributes=flags)

    monkeypatch.setattr("robustxai.ace.study.photographs.load", load)
    found = pick(pair, "train")
    assert found.x.shape == (32, 3, 8, 8) and found.names == ("Smiling", "Young")
    assert found.attributes is not None and torch.equal(found.attributes[:, 0], found.y == 1)
    quick = replace(pair, epochs=1, classifier_epochs=1, reader_epochs=1, denoiser={"widths": (8, 8)})
    monkeypatch.setitem(PAIRS, "celebahq", quick)
    nets = RECIPES["ace-celebahq"].build(Job("ace-test", 0, torch.device("cpu"), tmp_path, False))
    kinds = ("ddpm", "attributes", "pair", "oracle")
    assert [net.name for net in nets] == [f"ace-{kind}-celebahq-s0" for kind in kinds]
    assert set(nets[1].metrics["balanced_accuracy"]) == {"Smiling", "Young"}
    assert nets[1].module(torch.zeros(1, 3, 8, 8)).shape == (1, 2) and not PAIRS["celebahq"].pictures
