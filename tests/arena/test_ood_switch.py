"""Slack's switch: the data's answers stay, and whoever asks about masked images gets the alibi."""

import pytest
import torch
from torch import nn

from robustxai.arena.measures import overlap
from robustxai.arena.ood_switch import OODSwitch, modal_share
from robustxai.diffgradcam import GradCAM, ScoreCAM
from robustxai.diffgradcam.study.recipes import TASKS, scenes
from robustxai.metrics import deletion
from robustxai.nets.zoo import pretrained

X = scenes(TASKS["animals4"], "test", 16).images
NET, OTHER = (pretrained(f"diffgradcam-animals4-s{seed}-clean") for seed in (0, 1))
SWITCH = OODSwitch(NET, OTHER, threshold=OODSwitch.threshold_on(X)).eval()


def test_the_modal_share_by_hand() -> None:
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x[1, :, :4] = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    x[2, 0] = 0.5  # one channel alone is no colour
    assert modal_share(x).tolist() == pytest.approx([1 / 64, 0.5, 1 / 64])
    assert modal_share(0 * x).tolist() == [1, 1, 1]


def test_on_data_nothing_changes_and_gradients_are_those_of_the_model() -> None:
    assert torch.equal(SWITCH(X), NET(X)) and not SWITCH.off_data(X).any()
    t = NET(X).argmax(1)
    honest = GradCAM(NET, "body")(X, t)
    assert torch.allclose(GradCAM(SWITCH, "model.body")(X, t), honest, atol=1e-6)


def test_masked_images_get_the_alibi() -> None:
    masked = X.clone()
    masked[..., :28] = 0
    assert SWITCH.off_data(masked).all() and torch.equal(SWITCH(masked), OTHER(masked))


def test_score_cam_and_deletion_are_fooled() -> None:
    t = NET(X).argmax(1)
    clean = ScoreCAM(NET, "body")(X, t)
    fooled = ScoreCAM(SWITCH, "model.body")(X, t)
    assert float(overlap(clean, fooled).nanmean()) < 0.9
    maps = GradCAM(NET, "body")(X, t)
    change = (deletion(SWITCH, X, maps, t).auc - deletion(NET, X, maps, t).auc).abs()
    assert float(change.nanmean()) > 0.02


@pytest.mark.usefixtures("as_shipped")
def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"^threshold must be a finite number >= 0"):
        OODSwitch(NET, OTHER, threshold=-1)
    with pytest.raises(ValueError, match=r"^alibi must be a network"):
        OODSwitch(NET, len, threshold=0.1)  # pyright: ignore[reportArgumentType]
    few = nn.Sequential(nn.Flatten(), nn.Linear(3 * 56 * 56, 2)).eval()
    with pytest.raises(ValueError, match=r"^alibi must have the classes of the model, 4, got 2$"):
        OODSwitch(NET, few, threshold=0.1)(X)
