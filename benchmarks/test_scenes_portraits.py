"""Speed of the portraits: images per second on two cores, and the ratio to drawing one face at a time with
Pillow.

The Pillow face has the same parts (backdrop, disc, body, head, mouth, eyes, brows, hair, glasses, lines),
drawn four times too large and scaled down for smooth edges; it has no masks and no gradients.
"""

import time

import pytest
import torch
from PIL import Image, ImageDraw

from robustxai.data.scenes import portraits, render_portraits

N, SIZE, FINER = 256, 64, 4


def pillow_face(f: dict[str, float]) -> Image.Image:
    """One portrait with Pillow, from the same factors, simplified where Pillow has no such shape."""
    side = SIZE * FINER
    image = Image.new("RGB", (side, side), (255, 200, 160))
    draw = ImageDraw.Draw(image)

    def at(x: float, y: float) -> tuple[float, float]:
        s = 1.1 * f["scale"]
        return (f["x"] + s * x + 1) * side / 2, (f["y"] + 0.05 + s * y + 1) * side / 2

    def oval(x: float, y: float, rx: float, ry: float, colour: tuple[int, int, int]) -> None:
        draw.ellipse((*at(x - rx, y - ry), *at(x + rx, y + ry)), fill=colour)

    def line(*knots: tuple[float, float], colour: tuple[int, int, int], width: float) -> None:
        draw.line([at(*k) for k in knots], fill=colour, width=round(width * side / 2), joint="curve")

    skin, hair, dark = (250, 200, 170), (90, 50, 30), (40, 30, 40)
    oval(0, 0, 0.88, 0.88, (255, 225, 205))
    oval(0, -0.14, 0.5, 0.5, hair)
    draw.rounded_rectangle((*at(-0.66, 0.53), *at(0.66, 3.0)), radius=side // 6, fill=(40, 130, 140))
    draw.rectangle((*at(-0.145, 0.2), *at(0.145, 0.6)), fill=skin)
    for side_ in (-1, 1):
        oval(0.405 * side_, -0.03, 0.075, 0.1, skin)
    oval(0, -0.16, 0.40, 0.41, skin)
    oval(0, 0.07, 0.315, 0.315, skin)
    draw.pieslice((*at(-0.46, -0.62), *at(0.46, 0.3)), 180, 360, fill=hair)
    for side_ in (-1, 1):
        x = 0.165 * side_
        oval(x, -0.05, 0.08 * f["eye_size"], 0.074 * f["eye_size"] * f["eye_open"], (255, 255, 250))
        oval(x, -0.05, 0.05, 0.05, (60, 120, 190))
        oval(x, -0.05, 0.027, 0.027, dark)
        line((x - 0.08, -0.2), (x, -0.22), (x + 0.08, -0.2), colour=dark, width=0.04)
        line((0.285 * side_, -0.06), (0.335 * side_, -0.08), colour=(200, 140, 120), width=0.015)
        if f["glasses"]:
            box = (*at(x - 0.13, -0.165), *at(x + 0.13, 0.07))
            draw.rounded_rectangle(box, radius=side // 16, outline=dark, width=round(0.028 * side / 2))
    curve = [(u / 10 * 0.13, 0.2 + 0.075 * f["smile"] * (1 - (u / 10) ** 2)) for u in range(-10, 11)]
    line(*curve, colour=(180, 60, 70), width=0.035)
    return image.resize((SIZE, SIZE), Image.Resampling.BOX)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_portraits_against_one_at_a_time(benchmark, two_threads) -> None:
    scenes = portraits(N, size=SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        benchmark.pedantic(render_portraits, (scenes.factors, SIZE), rounds=5, warmup_rounds=1)
    names = scenes.factor_names
    rows = [dict(zip(names, row, strict=True)) for row in scenes.factors.tolist()]
    pillow = min(_seconds(rows) for _ in range(3))
    rate = N / benchmark.stats.stats.min
    benchmark.extra_info |= {
        "images_per_second": rate,
        "pillow_images_per_second": N / pillow,
        "target": 1000,
    }
    print(
        f"portraits {rate:.0f} images/s with masks, Pillow {N / pillow:.0f} without: {rate * pillow / N:.2f}x"
    )


def _seconds(rows: list[dict[str, float]]) -> float:
    began = time.perf_counter()
    for row in rows:
        pillow_face(row)
    return time.perf_counter() - began
