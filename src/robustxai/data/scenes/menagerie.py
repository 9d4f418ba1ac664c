"""The `menagerie`: animals x textures x colours x poses on a soft landscape, rendered differentiably.

The class is decided by the animal's shape (and texture or colour where the label set says so); everything
else is drawn independently of it. An image is a deterministic function of its factor vector. Knows nothing
about datasets or networks.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from .animals import ANIMAL_PARTS, ANIMALS, FRAME, draw_animal, shadow_of
from .base import Scenes, uniform_factors
from .landscape import mix_colours, render_landscape, weighted_sum
from .menagerie_factors import COLOURS, FACTOR_NAMES, FACTORS, LABEL_SETS, PARTS
from .sdf import Points, pixel_coverage, points, rotate
from .textures import TEXTURES, pattern

SHADED = ("coat", "shade", "texture")
CHUNK_PIXELS = 1 << 17  # a working set that mostly stays in the cache

ClassPairs = tuple[tuple[str, str], ...]


def menagerie(
    n: int,
    *,
    size: int = 64,
    classes: str | ClassPairs = "animals10",
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Scenes:
    """Draw n labelled scenes of size x size pixels, classes as balanced as n allows and in random order.

    `classes` is one of LABEL_SETS or a tuple of (animal, texture) pairs, each pair a class. Factors are
    sampled on the generator's device and rendered on `device`, so one generator gives the same scenes there.
    Raises ValueError for an unknown label set, animal or texture, and for n or size below 1.
    """
    if n < 1 or size < 1:
        raise ValueError(f"n and size must be integers >= 1, got {n} and {size}")
    names, fixed = _label_set(classes)
    factors = uniform_factors(FACTORS, n, generator=generator)
    labels = torch.arange(n, device=factors.device) % len(names)
    labels = labels[torch.randperm(n, generator=generator, device=factors.device)]
    column = FACTOR_NAMES.index
    strength = factors[:, column("texture_strength")]
    # A mild texture keeps the coat's colour decidable; otherwise it is always visible.
    factors[:, column("texture_strength")] = (
        0.3 * strength if classes == "animal_colour100" else 0.75 + 0.25 * strength
    )
    for name, values in fixed.items():
        factors[:, column(name)] = torch.tensor(values, device=factors.device, dtype=factors.dtype)[labels]
    factors = factors.to(device=device, dtype=dtype)
    images, masks = render_menagerie(factors, size)
    return Scenes(images, labels.to(device), factors, FACTOR_NAMES, masks, PARTS, names)


def render_menagerie(
    factors: Float[Tensor, "n f"], size: int, *, without: tuple[str, ...] = ()
) -> tuple[Float[Tensor, "n 3 size size"], Float[Tensor, "n p size size"]]:
    """Render factor vectors (columns FACTOR_NAMES) to images in [0, 1] and the visible coverage of PARTS.

    Pure, on the device and in the dtype of `factors`, and differentiable in the continuous ones. `without`
    leaves out animal parts, "texture", "shadow" or "object" (the animal and its shadow).
    Raises ValueError for an empty batch, a wrong number of columns, an unknown animal and an unknown part.
    """
    if factors.shape[1] != len(FACTORS):
        raise ValueError(
            f"factors must have the {len(FACTORS)} columns of FACTOR_NAMES, got {factors.shape[1]}"
        )
    if not len(factors) or size < 1:
        raise ValueError(
            f"factors must have a row or more and size be an integer >= 1, got {len(factors)} rows and size {size}"
        )
    kinds = factors.detach()[:, 0].round().long()
    if kinds.min() < 0 or kinds.max() >= len(ANIMALS):
        raise ValueError(
            f"factors must name animals in [0, {len(ANIMALS) - 1}], got {int(kinds.min())} to {int(kinds.max())}"
        )
    accepted = ("object", "shadow", "texture", *ANIMAL_PARTS)
    if unknown := [w for w in without if w not in accepted]:
        raise ValueError(f"without must be names among {', '.join(accepted)}, got {unknown[0]!r}")
    images, masks, done = [], [], []
    for kind in range(
        len(ANIMALS)
    ):  # one kind of animal at a time, sorted by size so that its window is tight
        members = torch.nonzero(kinds == kind)[:, 0]
        members = members[torch.argsort(factors.detach()[members, FACTOR_NAMES.index("scale")], stable=True)]
        for rows in members.split(max(1, CHUNK_PIXELS // (size * size))):
            if len(rows):
                image, mask = _render_kind(factors[rows], kind, size, without)
                images.append(image)
                masks.append(mask)
                done.append(rows)
    return _in_order(images, done), _in_order(masks, done)


def _in_order(chunks: list[Tensor], rows: list[Tensor]) -> Tensor:
    """The chunks as one batch, in which chunk k fills the given rows."""
    if any(c.requires_grad for c in chunks):
        return torch.cat(chunks)[torch.argsort(torch.cat(rows))]
    out = chunks[0].new_empty(sum(map(len, chunks)), *chunks[0].shape[1:])
    for chunk, where in zip(chunks, rows, strict=True):
        out[where] = chunk
    return out


def _render_kind(rows: Tensor, kind: int, size: int, without: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Render scenes that all show animal number `kind`, drawn in a window just large enough for it."""
    f = dict(zip(FACTOR_NAMES, rows.unbind(1), strict=True))
    scale = f["scale"]
    shadow = None
    if "object" not in without and "shadow" not in without:
        sx, sy, width = shadow_of(ANIMALS[kind])
        side = 1 - 2 * f["facing"].detach().round()
        shadow = (f["x"] + side * sx * scale, f["y"] + sy * scale, width * scale, 0.14 * scale)
    back = render_landscape(f, size, shadow=shadow)
    window = min(size, int(float(scale.detach().max()) * size) + 4)
    q, pixels = _window(f, size, window)
    layers = [
        y for y in draw_animal(ANIMALS[kind], q, f["leg_length"], f["head_size"]) if y.part not in without
    ]
    unit = scale / FRAME[ANIMALS[kind]][2]  # of the distances, in image units
    clear = torch.ones_like(q[..., 0])
    part: dict[str, Tensor] = {}
    role: dict[str, Tensor] = {}
    for layer in reversed(layers if "object" not in without else []):  # front to back
        seen = clear * pixel_coverage(layer.distance, size, scale=unit)
        clear = clear - seen
        part[layer.part] = part[layer.part] + seen if layer.part in part else seen
        role[layer.role] = role[layer.role] + seen if layer.role in role else seen
    textured = torch.zeros_like(clear)
    if "coat" in role and "texture" not in without:
        textured = role["coat"] * _texture(f, q, size)
        role["coat"], role["texture"] = role["coat"] - textured, textured
    shading = 1.04 - 0.16 * q[..., 1]
    colours = _palette(f)
    front = weighted_sum(
        [(colours[k], w * shading if k in SHADED else w) for k, w in role.items()]
        or [(colours["coat"], textured)]
    )
    parts = [part.get(name, torch.zeros_like(clear)) for name in ANIMAL_PARTS]
    planes = torch.cat((front, *(t[:, None] for t in (1 - clear, *parts, textured, clear))), 1).flatten(2)
    canvas = torch.zeros(len(rows), planes.shape[1], size * size, device=rows.device, dtype=rows.dtype)
    canvas[:, -1] = 1
    canvas = canvas.scatter_(2, pixels[:, None].expand_as(planes), planes).unflatten(2, (size, size))
    return torch.addcmul(canvas[:, :3], back, canvas[:, -1:]).clamp(0, 1), canvas[:, 3:]


def _window(f: dict[str, Tensor], size: int, window: int) -> tuple[Points, Tensor]:
    """Points (N, window, window, 2) in the animal's own units, and their flat pixel numbers."""
    corner = [
        ((f[k].detach() + 1) * (size / 2) - window / 2).round().clamp(0, size - window).long()[:, None]
        for k in ("x", "y")
    ]
    steps = torch.arange(window, device=f["x"].device)
    col, row = corner[0] + steps, corner[1] + steps
    pixels = (row[:, :, None] * size + col[:, None, :]).flatten(1)
    dx = ((col.to(f["x"].dtype) + 0.5) * (2 / size) - 1 - f["x"][:, None])[:, None, :]
    dy = ((row.to(f["x"].dtype) + 0.5) * (2 / size) - 1 - f["y"][:, None])[:, :, None]
    side = 1 - 2 * f["facing"].detach().round()
    c, s = torch.cos(f["rotation"]) / f["scale"], torch.sin(f["rotation"]) / f["scale"]
    ux, uy, vx, vy = (t.reshape(-1, 1, 1) for t in (side * c, side * s, -s, c))
    return points(ux * dx + uy * dy, vx * dx + vy * dy), pixels


def _palette(f: dict[str, Tensor]) -> dict[str, Tensor]:
    """The colour (N, 3) of each role, and of the texture, from the colour factors."""
    hue = f["colour_hue"]
    base = hue.new_tensor(list(COLOURS.values()))[f["colour"].detach().round().long()]
    c, s = torch.cos(hue)[:, None], torch.sin(hue)[:, None]
    mean = base.mean(1, keepdim=True)
    across = torch.stack((base[:, 2] - base[:, 1], base[:, 0] - base[:, 2], base[:, 1] - base[:, 0]), 1)
    coat = mean + c * (base - mean) + s * across / 3**0.5 + f["colour_light"][:, None]

    def toward(r: float, g: float, b: float, t: float) -> Tensor:
        return coat + (coat.new_tensor((r, g, b)) - coat) * t

    lighter, darker = toward(1.0, 0.97, 0.90, 0.78), toward(0.12, 0.09, 0.16, 0.72)
    contrast = mix_colours(lighter, darker, f["texture_dark"].round())
    return {
        "coat": coat,
        "shade": toward(0.12, 0.09, 0.20, 0.24),
        "light": toward(1.0, 0.95, 0.86, 0.74),
        "dark": toward(0.13, 0.10, 0.17, 0.86),
        "accent": toward(0.98, 0.56, 0.48, 0.82),
        "white": toward(1.0, 1.0, 0.98, 0.96),
        "texture": mix_colours(coat, contrast, f["texture_strength"]),
    }


def _texture(f: dict[str, Tensor], q: Points, size: int) -> Tensor:
    """Coverage (N, H, W) of each image's texture in the animal's coordinates."""
    kinds = f["texture"].detach().round().long()
    order = torch.argsort(kinds, stable=True)
    maps = []
    for rows in torch.split(order, torch.bincount(kinds, minlength=len(TEXTURES)).tolist()):
        if not len(rows):
            continue
        kind = int(kinds[rows[0]])
        if kind == 0:
            maps.append(torch.zeros_like(q[: len(rows), ..., 0]))
            continue
        g = {
            k: f[k][rows].reshape(-1, 1, 1) for k in ("texture_period", "texture_phase_u", "texture_phase_v")
        }
        t = rotate(points(q[..., 0][rows], q[..., 1][rows]), f["texture_angle"][rows])
        u = t[..., 0] / g["texture_period"] + g["texture_phase_u"]
        v = t[..., 1] / g["texture_period"] + g["texture_phase_v"]
        period = f["texture_period"][rows] * f["scale"][rows]
        maps.append(pixel_coverage(pattern(kind, u, v), size, scale=period))
    return torch.cat(maps)[torch.argsort(order)]


def _label_set(classes: str | ClassPairs) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    """Class names, and for each factor the label fixes its value per class."""
    if isinstance(classes, str):
        if classes in ("animals2", "animals4", "animals10"):
            count = int(classes.removeprefix("animals"))
            return ANIMALS[:count], {"animal": [float(i) for i in range(count)]}
        other = {"animal_texture60": ("texture", TEXTURES), "animal_colour100": ("colour", tuple(COLOURS))}
        if classes not in other:
            raise ValueError(
                f"classes must be one of {', '.join(LABEL_SETS)} "
                f"or a tuple of (animal, texture) pairs, got {classes!r}"
            )
        factor, values = other[classes]
        names = tuple(f"{value} {animal}" for animal in ANIMALS for value in values)
        animal = [float(i) for i in range(len(ANIMALS)) for _ in values]
        return names, {"animal": animal, factor: [float(j) for _ in ANIMALS for j in range(len(values))]}
    for pair in classes:
        if len(pair) != 2 or pair[0] not in ANIMALS or pair[1] not in TEXTURES:
            raise ValueError(
                f"classes must be pairs of an animal ({', '.join(ANIMALS)}) "
                f"and a texture ({', '.join(TEXTURES)}), got {pair!r}"
            )
    if not classes:
        raise ValueError("classes must hold at least one (animal, texture) pair, got none")
    names = tuple(f"{texture} {animal}" for animal, texture in classes)
    return names, {
        "animal": [float(ANIMALS.index(a)) for a, _ in classes],
        "texture": [float(TEXTURES.index(t)) for _, t in classes],
    }
