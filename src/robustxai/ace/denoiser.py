"""Wrapper around a denoising network: input checks, frozen parameters, pass counting.

Knows a network that is called as unet(z, timesteps), and nothing about schedules or noise.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.ace.frozen_parameters import frozen_parameters
from robustxai.eval_mode import check_calm
from robustxai.models import fitting

_lock = threading.Lock()


@dataclass
class Calls:
    """Queries to the denoising network: calls, and images over all calls, forwards and backwards.

    Several threads may count in one.

    >>> calls = Calls()
    >>> calls.count_forward(4)
    >>> calls
    Calls(forward_calls=1, backward_calls=0, forwards=4, backwards=0)
    """

    forward_calls: int = 0
    backward_calls: int = 0
    forwards: int = 0
    backwards: int = 0

    def count_forward(self, images: int) -> None:
        """Count a forward pass of so many images."""
        with _lock:
            self.forward_calls += 1
            self.forwards += images

    def count_backward(self, gradient: Tensor) -> None:
        """A hook for the network's output: counts a backward pass where it arrives."""
        with _lock:
            self.backward_calls += 1
            self.backwards += len(gradient)


class Denoiser:
    """A network that predicts the noise in images from [-1, 1]; `width` times as many channels come out as go in.

    The network returns a tensor or an object with `.sample`. bf16: call under bfloat16 autocast. Raises
    ValueError for a network in training mode or of another width.
    """

    def __init__(self, unet: nn.Module, *, width: int, bf16: bool):
        if not callable(unet):
            raise ValueError(f"unet must be a network called as unet(z, t), got {type(unet).__name__}")
        check_calm("unet", unet)
        self.unet, self.width, self.bf16 = unet, width, bf16
        inputs, outputs = setting(unet, "in_channels"), setting(unet, "out_channels")
        if inputs is not None and outputs is not None and outputs != width * inputs:
            raise ValueError(
                f"unet must give {width * inputs} channels for {inputs}, twice as many with variance='learned', "
                f"else as many, got {outputs}"
            )

    def ask(self, z: Tensor, timestep: int, calls: Calls) -> Tensor:
        """The network's answer at a base timestep, of the dtype of `z`, differentiable in `z` alone."""
        calls.count_forward(len(z))
        t = torch.full((len(z),), timestep, device=z.device, dtype=torch.long)
        with frozen_parameters(self.unet), torch.autocast(z.device.type, torch.bfloat16, enabled=self.bf16):
            with fitting("unet", z):
                out = self.unet(z, t)
        out = out if isinstance(out, Tensor) else getattr(out, "sample", None)
        if not isinstance(out, Tensor) or out.ndim != 4 or out.shape[2:] != z.shape[2:] or len(out) != len(z):
            found = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else "no tensor and no .sample"
            raise ValueError(
                f"unet must return images of the size of its input, {tuple(z.shape)}, got {found}"
            )
        out = out.to(z.dtype)
        if out.shape[1] != self.width * z.shape[1]:
            raise ValueError(
                f"unet must return {self.width * z.shape[1]} channels for {z.shape[1]}, got {out.shape[1]}"
            )
        if out.requires_grad:
            out.register_hook(calls.count_backward)
        return out

    def check(self, x: Tensor) -> None:
        """The images fit the network: channels, sizes its downsampling divides, dtype. Else ValueError."""
        channels = setting(self.unet, "in_channels")
        if channels is not None and x.shape[1] != channels:
            raise ValueError(f"x must have the {channels} channels that unet takes, got {x.shape[1]}")
        factor = 2 ** (len(setting(self.unet, "down_block_types") or "1") - 1)
        first = getattr(self.unet, "conv_in", None)
        factor *= first.stride[0] if isinstance(first, nn.Conv2d) else 1
        if x.shape[2] % factor or x.shape[3] % factor:
            raise ValueError(
                f"x must have sides in multiples of {factor}, the unet's downsampling, got {x.shape[2]} x {x.shape[3]}"
            )
        own = next((p.dtype for p in self.unet.parameters()), x.dtype)
        if own != x.dtype and not self.bf16:
            raise ValueError(f"x must have the dtype of unet, {own}, without bf16=True, got {x.dtype}")


def setting(owner: Any, name: str) -> Any:
    """A number of a diffusers object's config, None where there is no config."""
    return getattr(getattr(owner, "config", None), name, None)
