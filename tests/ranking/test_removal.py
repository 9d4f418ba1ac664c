"""DFFOT, COMP and SUFF on networks whose answers can be computed by hand."""

import pytest
import torch
from tables import cnn, images, mlp, rows
from torch import nn

from robustxai.ranking import GradientTimesInput, Saliency, comp, dffot, suff


class Sum(nn.Module):
    """Class 1 while the sum of the features is above a threshold."""

    def forward(self, x):
        z = x.flatten(1).sum(1) - 2.5
        return torch.stack((torch.zeros_like(z), z), 1)


def test_dffot_by_hand():
    x = torch.tensor([[4.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    flip = dffot(Sum(), x, x + torch.tensor([0.3, 0.2, 0.1, 0.0]))
    assert flip.fraction.tolist() == [0.25, 0.5, 1.0] and flip.flipped.tolist() == [True, True, False]
    worst = dffot(Sum(), x, -x - torch.tensor([0.3, 0.2, 0.1, 0.0]))
    assert worst.fraction.tolist() == [1.0, 0.5, 1.0], "the order of removal counts"
    coarse = dffot(Sum(), x, x, levels=2)
    assert coarse.fraction.tolist() == [0.5, 0.5, 1.0]
    kept = dffot(Sum(), x, x, baseline=torch.tensor([4.0, 4.0, 4.0, 4.0]))
    assert kept.flipped.tolist() == [False, False, True] and kept.fraction[2].item() == 0.25


def test_comp_and_suff_by_hand():
    x = torch.tensor([[4.0, 1.0, 1.0, 0.0]])
    p = lambda total: torch.sigmoid(torch.tensor(total - 2.5))  # noqa: E731
    got = comp(Sum(), x, x, shares=(0.25, 0.5))
    torch.testing.assert_close(got, ((p(6.0) - p(2.0)) + (p(6.0) - p(1.0)))[None] / 2)
    got = suff(Sum(), x, x, shares=(0.25, 0.5))
    torch.testing.assert_close(got, ((p(6.0) - p(4.0)) + (p(6.0) - p(5.0)))[None] / 2)
    assert suff(Sum(), x, x, shares=(1.0,)).item() == 0
    other = comp(Sum(), x, x, 0, shares=(0.25, 0.5))
    torch.testing.assert_close(other, -comp(Sum(), x, x, shares=(0.25, 0.5)))


def test_true_importance_beats_its_reverse():
    model, x = mlp(), rows(200)
    scores = GradientTimesInput(model).signed(x)
    assert comp(model, x, scores).mean() > comp(model, x, -scores).mean() + 0.05
    assert suff(model, x, scores).mean() < suff(model, x, -scores).mean() - 0.05


def test_images_lose_whole_positions():
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(x.clone())
            return x.flatten(1)[:, :2]

    x, scores = images(1), torch.zeros(1, 1, 6, 6).double()
    scores[0, 0, 2, 3] = 1
    comp(Spy(), x, scores, shares=(1 / 36,), baseline=-1.0)
    changed = (seen[-1] != x)[0]
    assert changed.sum() == 2 and changed[:, 2, 3].all() and (seen[-1][0, :, 2, 3] == -1).all()
    assert comp(cnn(), images(), Saliency(cnn())(images())).shape == (5,)


def test_bad_input(as_shipped):
    model, x = mlp(), rows(3)
    for make, words in (
        (
            lambda: comp(model, x, x[:, :5]),
            "scores must hold one score for each of the 12 features of 3 inputs",
        ),
        (
            lambda: comp(model, x, x[:2]),
            r"scores must hold one score for each of the 12 features of 3 .*, got shape \(2, 12\)",
        ),
        (lambda: suff(model, x, x, shares=()), r"shares must be numbers in \(0, 1\], got \(\)"),
        (lambda: suff(model, x, x, shares=(0.0,)), r"shares must be numbers in \(0, 1\], got \(0\.0,\)"),
        (lambda: comp(model, x, x, 5), r"target must be classes in \[0, 1\], got class 5"),
        (lambda: dffot(model, x, x, levels=0), "levels must be an integer >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match=words):
            make()
