"""Kinds of networks that people bring, each tiny: what `tests/test_contract.py` walks every explainer over.

A kind is a network of images (n, channels, 16, 16), how its explained layer is called, and what a reader must know.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Kind:
    """net: in eval mode. layer, reshape: of CAMs. classes: of the logits, 2 for a single one. follow: whether a graph
    leads from the images to the logits. gap: logits are a linear layer of the mean of the layer's map.
    """

    net: nn.Module
    layer: str = "body"
    reshape: Any = None
    classes: int = 3
    channels: int = 3
    dtype: torch.dtype = torch.float32
    follow: bool = True
    gap: bool = False
    smooth: bool = False

    def images(self, n: int = 3, seed: int = 0) -> Tensor:
        x = torch.rand(n, self.channels, 16, 16, generator=torch.Generator().manual_seed(seed))
        return x.to(self.dtype)


class Net(nn.Module):
    """Two convolutions, global average pooling, a linear head."""

    def __init__(self, classes: int = 3, act: nn.Module | None = None, norm: nn.Module | None = None):
        super().__init__()
        act = nn.ReLU() if act is None else act
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), norm or nn.BatchNorm2d(6), act, nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU()
        )
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.body(x))

    def head(self, a: Tensor) -> Any:
        return self.fc(a.mean((2, 3)))


class TwoLayers(Net):
    def __init__(self):
        super().__init__()
        self.hidden, self.fc = nn.Linear(8, 7), nn.Linear(7, 3)

    def head(self, a: Tensor) -> Tensor:
        return self.fc(self.hidden(a.mean((2, 3))).tanh())


class ConvHead(Net):
    def __init__(self):
        super().__init__()
        self.fc = nn.Conv2d(8, 3, 1)

    def head(self, a: Tensor) -> Tensor:
        return self.fc(a).mean((2, 3))


class Unused(Net):
    """A linear layer that is registered last and never runs, and one that runs beside the head."""

    def __init__(self):
        super().__init__()
        self.beside, self.spare = nn.Linear(8, 3), nn.Linear(8, 16)

    def head(self, a: Tensor) -> Tensor:
        self.beside(a.mean((2, 3)))
        return super().head(a)


class Returns(nn.Module):
    """The network, and what its output is made into."""

    def __init__(self, net: nn.Module, make: Callable[[Tensor], Any]):
        super().__init__()
        self.net, self.make = net, make

    def forward(self, x: Tensor) -> Any:
        return self.make(self.net(x))


class OwnNormalisation(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x - 0.45) / 0.22)


class Grey(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.expand(-1, 3, -1, -1))


class NoGrad(TwoLayers):
    """A frozen backbone, under no_grad in forward: no gradient reaches the images."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            a = self.body(x)
        return self.head(a)


class ChannelNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ViT(nn.Module):
    """Tokens with one class token; only that one goes on to the head."""

    def __init__(self):
        super().__init__()
        self.patch, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.attend, self.fc = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.patch(x).flatten(2).transpose(1, 2)
        t = self.norm(torch.cat((self.token.expand(len(t), -1, -1), t), 1))
        return self.fc((t + self.attend(t, t, t, need_weights=False)[0])[:, 0])


class Swin(nn.Module):
    """Maps with channels last."""

    def __init__(self):
        super().__init__()
        self.patch, self.body, self.fc = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(self.patch(x).permute(0, 2, 3, 1)).mean((1, 2)))


class TwiceUsed(Net):
    """One activation that runs twice."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU6()
        self.body = nn.Conv2d(3, 6, 3, padding=1)
        self.deep = nn.Conv2d(6, 8, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.deep(self.act(self.body(x)))))


def _frozen(net: nn.Module) -> nn.Module:
    return net.requires_grad_(False)


def _settled(net: nn.Module) -> nn.Module:
    """Batch norm with statistics of its own, which eval mode then keeps."""
    net.train()
    with torch.no_grad():
        net(torch.rand(8, 1 if isinstance(net, Grey) else 3, 16, 16))
    return net.eval()


def kinds() -> dict[str, Callable[[], Kind]]:
    """From names to makers; a maker gives the same network each time."""
    named = "net.body"
    makers: dict[str, Callable[[], Kind]] = {
        "GAP + linear": lambda: Kind(Net(), gap=True),
        "smooth": lambda: Kind(Net(act=nn.Softplus(5)), gap=True, smooth=True),
        "convolutional head": lambda: Kind(ConvHead()),
        "two-layer head": lambda: Kind(TwoLayers()),
        "one logit (n, 1)": lambda: Kind(Net(1), classes=2, gap=True),
        "one logit (n,)": lambda: Kind(Returns(Net(1), lambda y: y.squeeze(1)), named, classes=2, gap=True),
        "ModelOutput": lambda: Kind(Returns(Net(), lambda y: SimpleNamespace(logits=y)), named, gap=True),
        "dict": lambda: Kind(Returns(Net(), lambda y: {"logits": y}), named, gap=True),
        "dict out": lambda: Kind(Returns(Net(), lambda y: {"out": y, "aux": y * 0}), named, gap=True),
        "tuple": lambda: Kind(Returns(Net(), lambda y: (y, y * 0)), named, gap=True),
        "own normalisation": lambda: Kind(OwnNormalisation(), gap=True),
        "GroupNorm": lambda: Kind(Net(norm=nn.GroupNorm(2, 6)), gap=True),
        "LayerNorm": lambda: Kind(Net(norm=ChannelNorm()), gap=True),
        "ReLU in place": lambda: Kind(Net(act=nn.ReLU(inplace=True)), "body.1", gap=False),
        "grey widened inside": lambda: Kind(Grey(), named, channels=1, gap=True),
        "unused linear layers": lambda: Kind(Unused(), gap=True),
        "frozen": lambda: Kind(_frozen(TwoLayers())),
        "backbone under no_grad": lambda: Kind(NoGrad(), follow=False),
        "ViT": lambda: Kind(ViT(), "norm", "vit"),
        "Swin": lambda: Kind(Swin(), "body", "channels_last", gap=True),
        "shared activation": lambda: Kind(TwiceUsed(), "act:2", gap=True),
        "bfloat16": lambda: Kind(Net().bfloat16(), gap=True, dtype=torch.bfloat16),
        "channels last in memory": lambda: Kind(Net().to(memory_format=torch.channels_last), gap=True),
        "DataParallel": lambda: Kind(nn.DataParallel(Net()), "module.body", gap=True),
        "wrapped, the wrapper in train mode": lambda: Kind(nn.Sequential(Net()), "0.body", gap=True),
    }

    def seeded(make: Callable[[], Kind], name: str) -> Callable[[], Kind]:
        def build() -> Kind:
            state = torch.random.get_rng_state()
            torch.manual_seed(0)
            try:
                kind = make()
                if kind.dtype == torch.float32:
                    _settled(kind.net)
                kind.net.eval()
                if "wrapper" in name:
                    kind.net.training = True
                return kind
            finally:
                torch.random.set_rng_state(state)

        return build

    return {name: seeded(make, name) for name, make in makers.items()}
