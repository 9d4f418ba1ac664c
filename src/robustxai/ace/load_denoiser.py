"""Where a denoising network and its schedule come from: the zoo, a folder saved by diffusers, or a hub id.

Knows files and names; knows nothing about filtering.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustxai.nets import pretrained, zoo


def read_denoiser(source: str | Path, *, map_location: torch.device | str = "cpu") -> tuple[nn.Module, Any]:
    """The network in eval mode on `map_location`, and its scheduler.

    Raises ValueError when there is neither a network of this name nor a readable model, or diffusers is missing.
    """
    if isinstance(source, str) and source in zoo():
        net = pretrained(source, map_location=map_location)
        return net, own_schedule(net, source)
    subfolder = "unet" if not Path(source).is_dir() or (Path(source) / "unet").is_dir() else None
    if not Path(source).is_dir() and str(source).count("/") != 1:
        pretrained(source)  # says which names are near
    net = _network(source, subfolder, map_location)
    return net, _scheduler(source)


def own_schedule(net: nn.Module, name: str) -> Any:
    """What a network brings as its schedule: itself if it has `alphas_cumprod`, or its `.scheduler`."""
    for owner in (net, getattr(net, "scheduler", None)):
        if getattr(owner, "alphas_cumprod", None) is not None:
            return owner
    raise ValueError(
        f"network {name!r} must be a denoiser with alphas_cumprod, got one that has no noise schedule"
    )


def _network(source: str | Path, subfolder: str | None, where: torch.device | str) -> nn.Module:
    try:
        return pretrained(source, subfolder=subfolder, map_location=where)
    except ValueError:
        if subfolder is None or Path(source).is_dir():
            raise
        return pretrained(source, map_location=where)  # older repositories keep the network at their top


def _scheduler(source: str | Path) -> Any:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    if not Path(source).is_dir() or (Path(source) / "scheduler").is_dir():
        try:
            return DDPMScheduler.from_pretrained(str(source), subfolder="scheduler")
        except OSError:
            pass
    try:
        return DDPMScheduler.from_pretrained(str(source))
    except OSError as error:
        raise ValueError(f"{source} has no readable scheduler_config.json: {error}") from error
