"""EfficientNet-Lite0 for ImageNet, taken apart at its global average pooling (GAP), as `CompactResNet` is.

It knows its layers and how the converted weight file names them, and nothing about where that file is. Activations are
ReLU6 and bottlenecks are linear, so the network is piecewise linear, and its last map lies in [0, 6].
"""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from robustxai.nets.adapters import read_state
from robustxai.nets.resnet import Normalize, initialize
from robustxai.nets.sizes import check_whole

LITE0_MEAN, LITE0_STD = 127 / 255, 128 / 255
LITE0_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
          (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))  # fmt: skip
"""Blocks, kernel, stride of the first, expansion and channels of each stage."""
BLOCK_NAMES = {
    "_expand_conv": "expand.0", "_bn0": "expand.1", "_depthwise_conv": "depthwise.0", "_bn1": "depthwise.1",
    "_project_conv": "project.0", "_bn2": "project.1",
}  # fmt: skip
"""The weight file's names inside a block, and ours."""
END_NAMES = {
    "_conv_stem": "body.stem.0", "_bn0": "body.stem.1", "_conv_head": "body.top.0", "_bn1": "body.top.1",
    "_fc": "head",
}  # fmt: skip
"""The same for what stands outside the blocks."""


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME does: ceil(n / stride) outputs, the odd zero right and below."""

    def forward(self, input: Tensor) -> Tensor:
        sides: list[int] = []
        for size, kernel, stride in zip(
            input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            more = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides += [more // 2, more - more // 2]
        return super().forward(pad(input, sides))


class Bottleneck(nn.Module):
    """Expand, filter each channel, project without activation; the input is added where it has the same shape."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _layer(inputs, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _layer(wide, wide, kernel, stride=stride, groups=wide)
        self.project = _layer(wide, outputs, 1, active=False)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 from images in [0, 1] to logits; `features(x)` enters GAP, then the linear `head`.

    classes: number of logits. weights: a file of tensors, with the names of the converted TensorFlow checkpoint
    (`robustxai.nets.remote.efficientnet_lite0_weights`) or this class's own. `generator` seeds the initial weights
    where there is no file. Made for 224 pixels, where the last map is 1280 x 7 x 7. `gap_layer` names the module whose
    output enters GAP; `arguments` rebuilds the network. Raises ValueError for weights that do not fit.

    >>> net = EfficientNetLite0(5, generator=torch.Generator().manual_seed(0)).eval()
    >>> net(torch.zeros(1, 3, 64, 64)).shape, net.features(torch.zeros(1, 3, 64, 64)).shape
    (torch.Size([1, 5]), torch.Size([1, 1280, 2, 2]))
    """

    gap_layer = "body"

    def __init__(
        self,
        classes: int = 1000,
        *,
        weights: str | Path | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_whole(1, classes=classes)
        self.arguments = dict(classes=classes)
        self.normalize = Normalize([LITE0_MEAN] * 3, [LITE0_STD] * 3)
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            parts: OrderedDict[str, nn.Module] = OrderedDict(stem=_layer(3, 32, 3, stride=2))
            inputs = 32
            for blocks, kernel, stride, expansion, outputs in LITE0_STAGES:
                for block in range(blocks):
                    first = stride if block == 0 else 1
                    parts[f"block{len(parts) - 1}"] = Bottleneck(inputs, outputs, kernel, first, expansion)
                    inputs = outputs
            parts["top"] = _layer(inputs, 1280, 1)
            self.body = nn.Sequential(parts)
            self.head = nn.Linear(1280, classes)
        if weights is None:
            initialize(self, generator=generator)
        else:
            self._load(Path(weights))

    def features(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch feature rows columns"]:
        """The map that enters GAP, in [0, 6]: 7 x 7 for 224 pixels."""
        return self.body(self.normalize(x))

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.features(x).mean((2, 3)))

    def _load(self, weights: Path) -> None:
        state = {_ours(name): value for name, value in read_state(weights).items()}
        expected = {k: tuple(v.shape) for k, v in self.state_dict().items() if not k.startswith("normalize.")}
        found = {k: tuple(v.shape) for k, v in state.items() if not k.startswith("normalize.")}
        wrong = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
        if wrong:
            name = wrong[0]
            raise ValueError(
                f"weights do not fit: {name} is {found.get(name, 'missing')}, the network has {expected.get(name)}"
            )
        self.load_state_dict(state, strict=False)


def _layer(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    """Convolution, batch norm and, where it is `active`, ReLU6, never in place."""
    parts = [
        SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*parts, *[nn.ReLU6()] * active)


def _ours(name: str) -> str:
    """Our name of a tensor that the converted checkpoint names; others are as they were.

    >>> _ours("_blocks.3._bn1.weight"), _ours("_fc.bias")
    ('body.block3.depthwise.1.weight', 'head.bias')
    """
    if block := re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", name):
        return f"body.block{block[1]}.{BLOCK_NAMES[block[2]]}.{block[3]}"
    layer, _, kind = name.rpartition(".")
    return f"{END_NAMES[layer]}.{kind}" if layer in END_NAMES else name
