"""Small random networks for the tests of ACE, and a denoiser that knows the answer."""

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn

from robustxai.ace import DiffusionFilter


def scheduler(base: int = 1000) -> DDPMScheduler:
    return DDPMScheduler(num_train_timesteps=base, beta_schedule="linear")


def unet(channels: int = 3, *, seed: int = 0, out: int | None = None, size: int = 8) -> UNet2DModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = UNet2DModel(
            sample_size=size, in_channels=channels, out_channels=out or channels, layers_per_block=1,
            block_out_channels=(8, 8), norm_num_groups=4, down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"), attention_head_dim=4,
        )  # fmt: skip
    return net.eval()


def filtered(tau: int = 3, *, double: bool = False, channels: int = 3, **options) -> DiffusionFilter:
    net = unet(channels)
    return DiffusionFilter(net.double() if double else net, scheduler(), 100, tau, **options)


class Classifier(nn.Module):
    """A linear score of smoothed pixels through a batch norm, so that modes and statistics can be checked."""

    def __init__(self, classes: int = 2, *, channels: int = 3, seed: int = 0, scale: float = 20.0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(channels, 6, 3, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.head = nn.Linear(6 * 16, classes)
        self.scale = scale
        self.eval()

    def forward(self, x):
        h = self.norm(self.conv(x)).tanh()
        h = nn.functional.adaptive_avg_pool2d(h, 4).flatten(1)
        return self.scale * self.head(h - h.mean(1, keepdim=True))


class Smooth(nn.Module):
    """A smooth denoiser with a few parameters; predicts the noise badly but differentiably."""

    def __init__(self, channels: int = 2, out: int | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.conv = nn.Conv2d(channels, out or channels, 3, padding=1)
        self.seen: list[int] = []

    def forward(self, z, t):
        self.seen += t.unique().tolist()
        return 0.3 * torch.tanh(self.conv(z)) * (1 + t.view(-1, 1, 1, 1) / 1000)


class Knows(nn.Module):
    """The oracle: it knows the clean image (in [-1, 1]) and returns the noise that was added to it."""

    def __init__(self, clean, bars) -> None:
        super().__init__()
        self.clean, self.bars = clean, bars.double()

    def forward(self, z, t):
        bar = self.bars[t].view(-1, 1, 1, 1).to(z)
        return (z - bar.sqrt() * self.clean) / (1 - bar).sqrt()


def images(n: int = 4, *, channels: int = 3, size: int = 8, seed: int = 0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    x = 0.1 + 0.8 * torch.rand(n, channels, size, size, generator=g)
    return ((x * 255).round() / 255).to(dtype)
