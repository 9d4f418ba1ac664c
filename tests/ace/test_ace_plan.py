"""The scheduler's settings are kept or refused, never overlooked: the filter is diffusers' own step."""

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn
from toys import images, scheduler, unet

from robustxai.ace import DiffusionFilter
from robustxai.ace.scheduler_plan import StepSettings


class Loud(nn.Module):
    """Predicts so much noise that the estimate leaves [-1, 1], and a variance where it is asked for one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, z, t):
        noise = 4 * torch.sin(3 * z)
        return torch.cat((noise, torch.cos(9 * z)), 1) if self.channels == 2 else noise


def reference(plan: DDPMScheduler, net: nn.Module, f: DiffusionFilter, x, noise, monkeypatch):
    """`DDPMScheduler.step` over all base timesteps that the filter visits."""
    import diffusers.schedulers.scheduling_ddpm as module

    plan.set_timesteps(timesteps=list(reversed(f.timesteps)))
    z = f.noised(2 * x - 1, f.tau - 1, noise[:, 0])
    for i in reversed(range(f.tau)):
        drawn = noise[:, f.tau - i] if i else torch.zeros_like(z)
        monkeypatch.setattr(module, "randn_tensor", lambda *a, drawn=drawn, **k: drawn)
        z = plan.step(net(z, torch.tensor([f.timesteps[i]])), f.timesteps[i], z).prev_sample
    return ((z + 1) / 2).clamp(0, 1)


SETTINGS = [
    dict(variance_type=v, clip_sample=c, clip_sample_range=r)
    for v in ("fixed_small", "fixed_small_log", "fixed_large", "learned_range")
    for c, r in ((True, 1.0), (True, 0.5), (True, 1.5), (False, 1.0))
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_filter_is_the_schedulers_own_step(settings, monkeypatch):
    plan = DDPMScheduler(beta_schedule="linear", **settings)
    net, x = Loud(2 if settings["variance_type"] == "learned_range" else 1), images()
    f = DiffusionFilter(net, plan, timesteps=(0, 20, 60, 150))
    noise = f.noise(x, 0)
    expected = reference(plan, net, f, x.double(), noise.double(), monkeypatch)
    torch.testing.assert_close(f(x.double(), noise=noise.double()), expected, rtol=0, atol=1e-5)


def test_each_setting_makes_a_difference():
    x, found = images(), []
    for settings in (*SETTINGS[:1], *SETTINGS[1:4], *SETTINGS[8:9]):
        f = DiffusionFilter(
            Loud(1), DDPMScheduler(beta_schedule="linear", **settings), timesteps=(0, 20, 60, 150)
        )
        found.append(f(x, generators=0))
    assert all(not torch.equal(a, b) for i, a in enumerate(found) for b in found[:i])


def test_an_argument_stands_above_the_scheduler_and_silence_is_the_paper():
    large = DDPMScheduler(beta_schedule="linear", variance_type="fixed_large")
    x, net = images(), unet()
    assert DiffusionFilter(net, large).variance == "large"
    forced = DiffusionFilter(net, large, variance="small")
    assert torch.equal(forced(x, generators=0), DiffusionFilter(net, scheduler())(x, generators=0))
    assert forced.with_(tau=3).variance == "small" and forced.fewer(1).variance == "small"
    assert StepSettings.of(DDIMScheduler()) == StepSettings.of(object()) == StepSettings("small", 1.0)
    loose = DiffusionFilter(net, DDPMScheduler(clip_sample=False))
    assert loose.clip is None and loose.with_(tau=2).clip is None and loose.checkpointed().clip is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(thresholding=True), "scheduler must have thresholding=False, got True"),
        (
            dict(variance_type="fixed_large_log"),
            "scheduler must have a variance_type of .*got 'fixed_large_log'",
        ),
        (
            dict(variance_type="learned"),
            "scheduler must have a variance_type of .*got 'learned'; or pass variance=",
        ),
        (dict(prediction_type="sample"), "scheduler must have prediction_type 'epsilon', got 'sample'"),
        (
            dict(clip_sample_range=0.0),
            "the scheduler's clip_sample_range must be a finite number > 0, got 0.0",
        ),
        (
            dict(clip_sample_range=float("nan")),
            "the scheduler's clip_sample_range must be a finite number > 0, got nan",
        ),
    ],
)
def test_what_the_filter_does_not_have_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DiffusionFilter(unet(), DDPMScheduler(**settings))


def test_without_clipping_images_stay_images_and_have_a_gradient():
    f = DiffusionFilter(Loud(1), DDPMScheduler(clip_sample=False), timesteps=(0, 60, 150))
    x = images().requires_grad_()
    out = f(x, generators=0)
    assert 0 <= out.min() and out.max() <= 1
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert gradient.isfinite().all() and bool((gradient != 0).any())
