"""Filters from a folder saved by diffusers and from a network of the zoo."""

import pytest
import torch
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from torch import nn
from toys import images, scheduler, unet

from robustxai.ace import DiffusionFilter, load_denoiser


@pytest.mark.parametrize("layout", ["pipeline", "top"])
def test_a_folder(tmp_path, layout):
    net, plan = unet(), scheduler(500)
    if layout == "pipeline":
        DDPMPipeline(net, plan).save_pretrained(tmp_path)
    else:
        net.save_pretrained(tmp_path)
        plan.save_pretrained(tmp_path)
    loaded = DiffusionFilter.load(tmp_path, 50, 4, variance="large")
    assert loaded.timesteps == (0, 10, 20, 31) and not loaded.unet.training
    x = images()
    assert torch.equal(
        loaded(x, generators=0), DiffusionFilter(net, plan, 50, 4, variance="large")(x, generators=0)
    )


def test_a_network_that_brings_its_schedule(monkeypatch):
    net = unet()
    net.scheduler = scheduler(500)
    monkeypatch.setattr(load_denoiser, "zoo", lambda: {"drawn": None})
    monkeypatch.setattr(load_denoiser, "pretrained", lambda name, map_location: net)
    assert DiffusionFilter.load("drawn", 50, 5).timesteps == (0, 10, 20, 31, 41)
    monkeypatch.setattr(load_denoiser, "pretrained", lambda name, map_location: nn.Identity())
    with pytest.raises(ValueError, match="network 'drawn' must be a denoiser with alphas_cumprod"):
        DiffusionFilter.load("drawn")


def test_what_is_not_there(tmp_path, as_shipped):
    with pytest.raises(ValueError, match="name must be a network of the zoo, got"):
        DiffusionFilter.load("no such denoiser")
    with pytest.raises(ValueError, match="could not be read as a diffusers model"):
        DiffusionFilter.load(tmp_path)
    unet().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has no readable scheduler_config\.json"):
        DiffusionFilter.load(tmp_path)
