"""A figure that moves without a kernel: frames computed beforehand, driven by an `<input type=range>`.

One piece of HTML with its images, style and 40 lines of script inside: it needs no network, and works in
the built book (also from a file), in Colab and in JupyterLab, with a mouse, a finger or the arrow keys.
Without JavaScript the first, the middle and the last frame stand side by side. The template is `slider.html`.
Knows nothing about what the frames show.
"""

import base64
import html
import io
import re
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from robustxai.plots.numbers import DIGEST_TYPE, number
from robustxai.plots.output import digest_line, digests, display
from robustxai.plots.style import picture

MAX_BYTES = 1_500_000  # of the finished HTML
QUALITIES = (88, 80, 70, 60, 50, 40)


def slider(
    frames: Sequence[Any],
    *,
    values: Sequence[Any],
    label: str,
    alt: str,
    data: Any,
    unit: str = "",
    captions: Sequence[str] | None = None,
    start: int = 0,
    pace: float = 0.7,
) -> None:
    """Display `frames` behind a slider and print the digest of `data`.

    `frames` are figures, or images (height, width, 3) as uint8 or as floats in [0, 1], all of one size.
    `values` names each frame (numbers or text), with `unit` after it; `label` says what the slider changes
    and must be unique on its page; `alt` describes the images in eight words or more; `captions` is a line
    under each frame; `pace` is the seconds a frame stays when played. 9 parameters, as a reader who sees no
    picture needs the words. Raises ValueError when counts differ or the HTML would exceed 1.5 MB.
    """
    line = digest_line(data, label=label)
    markup = slider_html(
        frames, values=values, label=label, alt=alt, unit=unit, captions=captions, start=start, pace=pace
    )
    plain = f"Interactive figure: {label} ({len(frames)} frames)"
    display({"text/html": markup, "text/plain": plain, DIGEST_TYPE: digests(data, label=label)}, {})
    print(line)


def slider_html(
    frames: Sequence[Any],
    *,
    values: Sequence[Any],
    label: str,
    alt: str,
    unit: str = "",
    captions: Sequence[str] | None = None,
    start: int = 0,
    pace: float = 0.7,
) -> str:
    """The HTML that `slider` displays, for pages that are not notebooks."""
    if len(frames) < 2:
        raise ValueError(f"frames must be two pictures or more, got {len(frames)}")
    if len(values) != len(frames) or (captions is not None and len(captions) != len(frames)):
        raise ValueError(f"values and captions must have one entry for each of the {len(frames)} frames.")
    if not 0 <= start < len(frames):
        raise ValueError(f"start must be a frame in [0, {len(frames) - 1}], got {start}")
    if len(alt.split()) < 8:
        raise ValueError(f"alt must describe the pictures in eight words or more, got {len(alt.split())}")
    slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
    if not slug:
        raise ValueError(f"label must have a letter or a digit, got {label!r}")
    pictures = [_picture(frame) for frame in frames]
    if len({image.size for image in pictures}) > 1:
        raise ValueError(f"frames must have one size, got {sorted({image.size for image in pictures})}")
    readouts = [f"{v if isinstance(v, str) else number(v)} {unit}".strip() for v in values]
    width = pictures[0].width if not isinstance(frames[0], Figure) else round(frames[0].get_figwidth() * 96)
    texts = list(captions) if captions is not None else [""] * len(frames)
    template = Template((files("robustxai.plots") / "slider.html").read_text(encoding="utf-8"))
    for quality in QUALITIES:
        sources = [_webp(image, quality) for image in pictures]
        markup = template.substitute(
            id=f"rx-{slug}",
            label=html.escape(label),
            width=max(width, 320),
            readout=max(map(len, readouts)),
            frames="\n".join(_frames(sources, readouts, texts, alt=alt, size=pictures[0].size)),
            last=len(frames) - 1,
            start=start,
            startvalue=html.escape(readouts[start]),
            pace=round(1000 * pace),
        )
        if len(markup) <= MAX_BYTES:
            return markup
    raise ValueError(
        f"the slider {label!r} must have at most {MAX_BYTES} bytes, got more: use smaller frames."
    )


def _frames(sources: list[str], readouts: list[str], captions: list[str], *, alt: str, size: tuple[int, int]):
    """One block per frame; all but the first, the middle and the last are hidden until the script runs."""
    kept = {0, len(sources) // 2, len(sources) - 1}
    for k, (source, readout, caption) in enumerate(zip(sources, readouts, captions, strict=True)):
        value, note, words = html.escape(readout), html.escape(caption), html.escape(f"{alt} ({readout})")
        hidden = "" if k in kept else " hidden"
        yield (
            f'<div data-value="{value}" data-caption="{note}"{hidden}><img class="dark-light"'
            f' alt="{words}" width="{size[0]}" height="{size[1]}" src="{source}">'
            f"<small>{value}<br>{note}</small></div>"
        )


def _picture(frame: Any) -> Image.Image:
    if isinstance(frame, Figure):
        plt.close(frame)
        return picture(frame, dpi=110)
    pixels = np.asarray(frame)
    if pixels.dtype.kind == "f":
        pixels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"frames must be (height, width, 3), uint8, got {pixels.shape}, {pixels.dtype}")
    return Image.fromarray(pixels)


def _webp(image: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
