"""A device without float64, faked on the CPU: Apple's MPS, as far as types go.

Tensors that are `put` on it say `device(type="mps")`, and so does whatever is computed from them, until `.cpu()` or
`.to("cpu")`. Where one would be float64 an error is raised, with PyTorch's own words. Values are those of the CPU, and
nothing is said about which operations MPS has. Meetings of tensors on two devices are `test_devices.py`'s affair.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

MPS = torch.device("mps")
LEAVES = {
    Tensor.cpu,
    Tensor.numpy,
    Tensor.tolist,
    Tensor.item,
    Tensor.__float__,
    Tensor.__int__,
    Tensor.__bool__,
}
FACTORIES = {
    torch.tensor, torch.as_tensor, torch.zeros, torch.ones, torch.full, torch.empty, torch.arange, torch.linspace,
    torch.eye, torch.rand, torch.randn, torch.randint, torch.randperm, torch.logspace, torch.from_numpy,
}  # fmt: skip
WORDS = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."


def kind_of(device: Any) -> str | None:
    """ "mps" or "cpu" for a device or its name, None for what is neither."""
    if isinstance(device, str) and device.partition(":")[0] in ("cpu", "mps"):
        return device.partition(":")[0]
    return str(device.type) if isinstance(device, torch.device) else None


class FakedMPS(TorchFunctionMode):
    """`with FakedMPS() as card: x = card.put(x)`: x and all that comes of it are on a device without float64."""

    def __init__(self) -> None:
        super().__init__()
        self._there = WeakTensorKeyDictionary()

    def put(self, what: Any) -> Any:
        """The tensors of a nested structure, and the parameters and buffers of networks in it, are on the device."""
        for found in tree_flatten(what)[0]:
            if isinstance(found, nn.Module):
                self.put([*found.parameters(), *found.buffers()])
            elif isinstance(found, Tensor):
                self._put(found)
        return what

    def _put(self, t: Tensor) -> None:
        if t.dtype == torch.float64:
            raise TypeError(WORDS)
        self._there[t] = True

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        flat = tree_flatten((args, kwargs))[0]
        card = any(isinstance(a, Tensor) and a in self._there for a in flat)
        if func == Tensor.device.__get__:  # pyright: ignore[reportAttributeAccessIssue]
            return MPS if card else func(*args)
        asked = [kind for a in flat if (kind := kind_of(a))]
        args, kwargs = tree_map(lambda a: torch.device("cpu") if kind_of(a) == "mps" else a, (args, kwargs))
        found = func(*args, **kwargs)
        if func in LEAVES or "cpu" in asked:
            away = isinstance(found, Tensor) and found in self._there
            return found.view_as(found) if away else found  # the CPU's own copy; the first stays where it is
        if "mps" in asked or (card and func not in FACTORIES):
            self.put(found)
        return found
