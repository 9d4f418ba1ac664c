"""The look of every figure: colours that colour-blind readers tell apart, on a card that suits light and dark
pages.

The palette is Okabe and Ito's (2008), without its yellow, which fades on a light ground. Figures are drawn on
a soft neutral card with dark ink instead of a transparent ground: heat maps need a known surround, and no
single ink is legible on both white and near-black. Knows nothing about data.
"""

import io
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure
from PIL import Image

BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK = PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
    "#24292F",
)
CARD, GRID, MUTED = "#F6F5F1", "#DAD8D0", "#5C636A"
MARKERS, DASHES = "osD^vP*", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
DPI, MAX_BYTES, WIDTH = 150, 400_000, 7.5  # per inch; of one figure; inches of a wide one

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": CARD,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=PALETTE, marker=list(MARKERS), linestyle=list(DASHES)),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.dpi": DPI,
    "figure.edgecolor": CARD,
    "figure.facecolor": CARD,
    "figure.figsize": (WIDTH, 3.4),
    "font.size": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "image.cmap": "inferno",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "savefig.facecolor": CARD,
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


def style() -> AbstractContextManager[None]:
    """The book's look for figures made inside `with plots.style():`. The helpers of this package use it
    themselves.
    """
    return mpl.rc_context(_STYLE)


def picture(figure: Figure, *, dpi: int = DPI) -> Image.Image:
    """The figure as an RGB image on its card."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, facecolor=CARD)
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def png(image: Image.Image, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The image as a PNG without metadata; with fewer bits a channel, then smaller, to fit `max_bytes`."""
    data = _png(image)
    for bits in (7, 6):
        if len(data) > max_bytes:
            step = 2 ** (8 - bits)
            data = _png(image.point([v // step * step + step // 2 for v in range(256)] * 3))
    while len(data) > max_bytes and min(image.size) > 64:
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5), Image.Resampling.LANCZOS)
        data = _png(image.quantize(256, method=Image.Quantize.MEDIANCUT))
    return data


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
