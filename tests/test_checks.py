"""The contracts that chapters share: what they accept, and one sentence that names the argument otherwise."""

import math

import pytest
import torch
from torch import nn

from robustxai.checks import as_target, check_count, check_name, check_number, check_positive
from robustxai.eval_mode import check_calm


def test_what_is_accepted_comes_back():
    check_name("mode", "fast", ("strict", "fast"))
    assert check_number("eps", 0) == 0.0 and check_positive("eps", 0.5) == 0.5
    assert check_count("steps", 3) == 3 and check_count("tau", 0, 0) == 0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: check_name("mode", "slow", ("strict", "fast")),
            "mode must be one of strict, fast, got 'slow'",
        ),
        (lambda: check_number("eps", -1), "eps must be a finite number >= 0, got -1"),
        (lambda: check_number("eps", math.nan), "eps must be a finite number >= 0, got nan"),
        (lambda: check_number("eps", True), "eps must be a finite number >= 0, got True"),
        (lambda: check_positive("eps", 0), "eps must be a finite number > 0, got 0"),
        (lambda: check_positive("eps", math.inf), "eps must be a finite number > 0, got inf"),
        (lambda: check_count("k", 0), "k must be an integer >= 1, got 0"),
        (lambda: check_count("k", 2.0), "k must be an integer >= 1, got 2.0"),
        (lambda: check_count("k", True), "k must be an integer >= 1, got True"),
    ],
)
def test_one_sentence_names_the_argument(as_shipped, call, sentence):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == sentence


def test_a_network_whose_samples_depend_on_each_other():
    norm, drop = nn.BatchNorm2d(1), nn.Dropout(0.5)
    net = nn.Sequential(nn.Conv2d(1, 1, 1), norm, nn.Sequential(drop, nn.Dropout(0.0)))
    with pytest.raises(
        ValueError,
        match=r"unet must be in eval mode, got training mode \(1 and 1 more\).*call unet\.eval\(\)",
    ):
        check_calm("unet", net)
    norm.eval()
    with pytest.raises(ValueError, match=r"^model must be in eval mode, got training mode \(2\.0\)"):
        check_calm("model", net)
    drop.eval()
    check_calm("model", net)
    with pytest.raises(ValueError, match=r"^model must be in eval mode, got training mode \(BatchNorm2d\)"):
        check_calm("model", nn.BatchNorm2d(1))


def test_targets_become_classes():
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]])
    assert as_target(None, logits).tolist() == [1, 0]
    assert as_target(2, logits).tolist() == [2, 2]
    given = torch.tensor([0, 2])
    found = as_target(given, logits)
    found[0] = 1
    assert given.tolist() == [0, 2]
    assert as_target(None, torch.tensor([[-1.0], [1.0]])).tolist() == [0, 1]
    assert as_target(1, torch.tensor([[-1.0], [1.0]])).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (3, r"target must be classes in \[0, 2\], got class 3"),
        (torch.tensor([-1, 0]), r"target must be classes in \[0, 2\], got class -1"),
        (
            torch.tensor([0.0, 1.0]),
            r"target must be an int, integers .* got shape \(2,\) and dtype torch.float32",
        ),
        (
            torch.tensor([0, 1, 2]),
            r"target must be an int, integers of shape \(2,\) or None, got shape \(3,\)",
        ),
        (torch.tensor([True, False]), "dtype torch.bool"),
    ],
)
def test_targets_that_are_none(as_shipped, target, sentence):
    with pytest.raises(ValueError, match=sentence):
        as_target(target, torch.zeros(2, 3))


def test_logits_of_another_shape(as_shipped):
    with pytest.raises(ValueError, match=r"classifier must return logits \(n, classes\), got shape \(2,\)"):
        as_target(None, torch.zeros(2), model="classifier")
