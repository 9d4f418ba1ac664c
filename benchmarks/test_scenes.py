"""Speed of the scene worlds, in images per second, next to drawing such scenes shape by shape with PIL.

Run with `pytest -o addopts= benchmarks/test_scenes.py` (the type checks of the tests cost time); the figures
are in `extra_info` of the benchmark's JSON.
"""

import time

import pytest
import torch
from PIL import Image, ImageDraw

from robustxai.data.scenes import menagerie, render_menagerie
from robustxai.data.scenes.animals import ANIMALS, draw_animal
from robustxai.data.scenes.menagerie import FACTOR_NAMES, FACTORS

SIZE, COUNT, TARGET = 64, 640, 1000


@pytest.fixture
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def outlines(points: int = 96) -> dict[str, list[tuple[str, list[list[tuple[float, float]]]]]]:
    """For each animal its layers as polygons: per row of a fine grid, the runs of pixels inside the layer."""
    axis = torch.linspace(-1, 1, points)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    p, zero = torch.stack((x, y), -1)[None], torch.zeros(1)
    shapes = {}
    for name in ANIMALS:
        shapes[name] = []
        for layer in draw_animal(name, p, zero, zero):
            inside = (layer.distance[0] < 0).nonzero()
            rows = inside[:, 0].unique()
            left = [(float(axis[inside[inside[:, 0] == r, 1].min()]), float(axis[r])) for r in rows]
            right = [(float(axis[inside[inside[:, 0] == r, 1].max()]), float(axis[r])) for r in rows.flip(0)]
            shapes[name].append((layer.role, left + right))
    return shapes


PAINT = {
    "coat": (90, 140, 200),
    "shade": (70, 110, 160),
    "light": (240, 230, 210),
    "dark": (40, 30, 50),
    "accent": (250, 150, 120),
    "white": (255, 255, 255),
}


def with_pil(factors: torch.Tensor, shapes: dict, size: int, oversample: int = 3) -> torch.Tensor:
    """The same animals and things as polygons, smoothed by oversampling: no textures, masks or gradients."""
    scenes = []
    for row in factors.tolist():
        f = dict(zip(FACTOR_NAMES, row, strict=True))
        big = size * oversample

        def at(x: float, y: float, big: int = big) -> tuple[float, float]:
            return (x + 1) * big / 2, (y + 1) * big / 2

        image = Image.new("RGB", (big, big), (140, 190, 240))
        pen = ImageDraw.Draw(image)
        pen.rectangle((0, at(0, f["horizon"])[1], big, big), fill=(170, 210, 150))
        spots = [(f["sun_x"], f["sun_y"], 0.13)]
        spots += [(f[f"cloud{i}_x"] + dx, f[f"cloud{i}_y"], 0.1) for i in (1, 2) for dx in (-0.12, 0, 0.13)]
        spots += [
            (f[f"{k}{i}_x"], f[f"{k}{i}_y"], 0.05) for k in ("flower", "pebble", "leaf") for i in (1, 2, 3)
        ]
        for x, y, r in spots:
            pen.ellipse((*at(x - r, y - r), *at(x + r, y + r)), fill=(250, 240, 220))
        side = 1 - 2 * f["facing"]
        for role, polygon in shapes[ANIMALS[int(f["animal"])]]:
            if len(polygon) > 2:
                scale = f["scale"]
                pen.polygon(
                    [at(f["x"] + side * scale * x, f["y"] + scale * y) for x, y in polygon], fill=PAINT[role]
                )
        small = image.resize((size, size), Image.Resampling.BOX)
        scenes.append(torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).reshape(size, size, 3))
    return torch.stack(scenes).permute(0, 3, 1, 2).float() / 255


def test_menagerie_images_per_second(benchmark, two_cores):
    generator = torch.Generator().manual_seed(0)
    scenes = benchmark.pedantic(
        menagerie, (COUNT,), {"size": SIZE, "generator": generator}, rounds=5, warmup_rounds=1
    )
    speed = COUNT / benchmark.stats.stats.min
    start = time.perf_counter()
    drawn = with_pil(scenes.factors[:128], outlines(), SIZE)
    pil = len(drawn) / (time.perf_counter() - start)
    benchmark.extra_info.update(images_per_second=round(speed), pil_images_per_second=round(pil))
    benchmark.extra_info.update(ratio_to_pil=round(speed / pil, 2), target_images_per_second=TARGET)
    assert drawn.shape[1:] == scenes.images.shape[1:] and len(FACTORS) == scenes.factors.shape[1]


def test_menagerie_with_gradient_images_per_second(benchmark, two_cores):
    factors = menagerie(160, size=8, generator=torch.Generator().manual_seed(0)).factors.requires_grad_()

    def step() -> torch.Tensor:
        return torch.autograd.grad(render_menagerie(factors, SIZE)[0].sum(), factors)[0]

    grad = benchmark.pedantic(step, rounds=3, warmup_rounds=1)
    benchmark.extra_info["images_per_second"] = round(len(factors) / benchmark.stats.stats.min)
    assert torch.isfinite(grad).all()
