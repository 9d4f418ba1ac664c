"""The sets of the chapter: faces on which nothing was chosen, photographs in a fixed order, networks by name."""

from dataclasses import replace

import pytest
import torch

from robustxai.ace.study import photographs
from robustxai.ace.study.faces import faces
from robustxai.ace.study.measures import share_over_seeds
from robustxai.ace.study.photographs import PAIRS
from robustxai.ace.study.study import CHOSEN, FOLLOWS, PAPER_LEVELS, Study, held_back, unseen
from robustxai.data import Dataset
from robustxai.nets import pretrained, recipes


def test_the_faces_on_which_settings_were_chosen_are_not_among_the_studys():
    ours, kept = unseen(80), held_back(40)
    assert torch.equal(Study().images(80), ours.images) and torch.equal(
        Study().scenes(80).factors, ours.factors
    )
    for others in (*(faces(name, 200) for name in ("train", "oracle", "test", "ddpm")), ours):
        assert torch.cdist(kept.factors.double(), others.factors.double()).min() > 1e-9
    for name in ("train", "oracle", "test", "ddpm"):
        assert torch.cdist(ours.factors.double(), faces(name, 200).factors.double()).min() > 1e-9


def test_the_networks_of_drawn_faces_are_shipped():
    study = Study()
    assert study.drawn and study.classes == faces("test", 1).classes
    plain, shortcut = study.judges(0), study.judges(0, confounded=True)
    assert plain.filter is shortcut.filter and plain.filter.timesteps == (0, 10, 20)
    x = study.images(2)
    assert not torch.equal(plain.classifier(x), shortcut.classifier(x))
    torch.testing.assert_close(
        plain.classifier(x), pretrained("ace-smile-portraits-s0")(x), atol=1e-4, rtol=1e-4
    )
    assert plain.features.name == "portraits: factors" and plain.reader is not None
    (accuracy,) = study.notes("smile", "test_accuracy", [0])
    assert accuracy > 0.9
    with pytest.raises(ValueError, match=r"seed must be one of the shipped networks .* got 9"):
        study.judges(9)


def test_the_papers_noise_is_what_its_levels_are_called():
    scheduler = Study().filter.scheduler
    for name, level in PAPER_LEVELS.items():
        sigma = float((1 - scheduler.alphas_cumprod[level]) ** 0.5)
        assert name == f"noise {sigma:.2f}"
    assert CHOSEN not in PAPER_LEVELS


def test_one_of_the_confounded_classifiers_takes_the_shortcut():
    follows = [a > FOLLOWS for a in Study().notes("confounded", "glasses_agreement", [0, 1, 2])]
    assert follows == [True, False, False]


def test_a_share_over_seeds_is_no_point_where_all_agree():
    ones = share_over_seeds([torch.ones(12)] * 3)
    assert (
        ones.value == 1 and ones.low == pytest.approx(0.025 ** (1 / 36)) and ones.high == 1 and ones.n == 36
    )
    spread = share_over_seeds([torch.zeros(12), torch.ones(12), torch.full((12,), 0.5)])
    assert (spread.value, spread.low, spread.high) == (0.5, 0.0, 1.0)
    parts = [torch.tensor([1.0, 1.0, 0.5, torch.nan]), torch.tensor([1.0, 0.75, 0.5, 1.0])]
    assert share_over_seeds(parts).n == 7 and share_over_seeds(parts).skipped == 1
    assert torch.isnan(torch.tensor(share_over_seeds(parts[:1]).low))  # one seed says nothing of others


def test_photographs_have_an_order_and_networks_that_are_trained_once(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, 3, 32, 32, generator=generator)
    names = ("airplane", "automobile", "bird", "truck")
    monkeypatch.setattr(photographs, "load", lambda n, s, **_: Dataset(x, torch.arange(40) % 4, names, n, s))
    quick = replace(PAIRS["cifar"], epochs=1, classifier_epochs=1, denoiser={"widths": (8, 8)})
    monkeypatch.setitem(PAIRS, "cifar", quick)
    study = Study("cifar", cache=tmp_path)
    assert not study.drawn and study.pictures and study.classes == PAIRS["cifar"].classes
    few, more = study.images(5), study.images(20)
    assert torch.equal(few, more[:5]) and not torch.equal(more, x[1::2])
    with pytest.raises(ValueError, match="n must be at most 20"):
        study.images(21)
    judges = study.judges(0)
    assert judges.reader is None and judges.features.name == "cifar: oracle 0"
    monkeypatch.setattr(recipes, "run", lambda *_, **__: pytest.fail("trained again"))
    assert len(study.judges(0).classifier(few)) == 5 and len(study.notes("pair", "test_accuracy", [0])) == 1
    with pytest.raises(ValueError, match="a set of drawings"):
        study.scenes(2)


def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match=r"name must be one of .* got 'imagenet'"):
        Study("imagenet")


def test_no_pictures_of_persons_and_no_photographs_of_drawings():
    assert not Study("smiles").pictures and Study().pictures
    with pytest.raises(ValueError, match="a set of photographs"):
        Study().photographs(2)
