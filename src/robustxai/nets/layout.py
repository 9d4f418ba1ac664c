"""Channels last while a network trains on images, and in memory as before when it is done, however it ends.

Networks that flatten by `view` do not run with the channels last; the first batch tells. Knows how weights lie in
memory; knows nothing about losses or data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

VIEW = "view size is not compatible"
"""Words of torch's error about a `view` of a tensor that lies otherwise in memory."""


class Layout:
    """How a network's weights lie in memory while it trains.

    wanted: channels last, if the network runs so. `format` is that of batches; `restore` puts all tensors back.

    >>> net = nn.Conv2d(8, 8, 3)
    >>> layout = Layout(net, wanted=True)
    >>> net.weight.is_contiguous(), layout.restore(), net.weight.is_contiguous()
    (False, None, True)
    """

    def __init__(self, model: nn.Module, *, wanted: bool) -> None:
        self.model = model
        self._plain = {name for name, tensor in _maps(model) if tensor.is_contiguous()}
        self._sure = not wanted
        self.format = torch.channels_last if wanted else torch.contiguous_format
        if wanted:
            model.to(memory_format=self.format)  # pyright: ignore[reportCallIssue]

    def first(self, batch: Tensor, loss: Callable[[Tensor], Tensor], moved: Callable[[], object]) -> Tensor:
        """The loss of a batch; of the first one a second time, without channels last, where a `view` needs that.

        What the first attempt changed is put back: buffers and random state. moved: called when the weights have moved.
        """
        if self._sure:
            return loss(batch.contiguous(memory_format=self.format))
        before = {name: b.clone() for name, b in self.model.named_buffers()}
        state = torch.get_rng_state(), torch.cuda.get_rng_state(batch.device) if batch.is_cuda else None
        self._sure = True
        try:
            return loss(batch.contiguous(memory_format=self.format))
        except (RuntimeError, ValueError) as error:  # `logits_of` makes a ValueError of it
            if VIEW not in str(error):
                raise
        self.format = torch.contiguous_format
        self.restore()
        moved()
        with torch.no_grad():
            for name, buffer in self.model.named_buffers():
                buffer.copy_(before[name])
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1], batch.device)
        return loss(batch.contiguous())

    @torch.no_grad()
    def restore(self) -> None:
        """Every tensor that was contiguous before is so again; values stay."""
        for name, tensor in _maps(self.model):
            if name in self._plain and not tensor.is_contiguous():
                tensor.data = tensor.data.contiguous()


def _maps(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The tensors that channels last moves: parameters and buffers with four axes or five."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.ndim in (4, 5):
            yield name, tensor


def narrow(model: nn.Module) -> bool:
    """Whether a strided 1x1 convolution reads fewer than 8 channels: with channels last and one thread its weight
    gradient writes past its memory on processors without AVX-512 (oneDNN in torch 2.15), which ends the process."""
    return any(
        isinstance(m, nn.Conv2d) and m.in_channels < 8 and set(m.kernel_size) == {1} and max(m.stride) > 1
        for m in model.modules()
    )
