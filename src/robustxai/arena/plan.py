"""Which rows meet which networks on which images in a profile, and what a row's result depends on.

The networks are those of the zoo that were trained on rendered animals; their images are drawn anew, never those on
which settings were tried out. Knows no attack.
"""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import robustxai
from robustxai.arena.catalogue import FAST
from robustxai.checks import check_count, check_name
from robustxai.data.scenes import menagerie
from robustxai.nets.zoo import pretrained, zoo
from robustxai.shapes import Images

SIZE, POOL, IMAGE_SEED = 56, 128, 4100
"""Images are the first n of a pool of 128, so that a row on fewer images has the same ones."""
CODE = (
    "data/scenes",
    "arena",
    "attacks",
    "explainers",
    "scores",
    "metrics",
    "diffgradcam",
    "manifold_ig",
    "ranking",
)
"""Rooms whose code decides a cell; what only shows results is not looked at."""
SHOWS = {
    "board.py",
    "board_run.py",
    "lines.py",
    "plan.py",
    "verify.py",
    "standing.py",
    "clusters.py",
    "weights.py",
    "planted.py",
}


@dataclass(frozen=True)
class Pitch:
    """A network of the zoo and its images: `name` in cells, `weights` in the zoo, `labels` of the rendered animals.

    >>> pitch = PITCHES["animals4-s0"]
    >>> pitch.images(pitch.data(2))[0].shape, pitch.network().training
    (torch.Size([2, 3, 56, 56]), False)
    """

    name: str
    weights: str
    labels: str

    def network(self) -> nn.Module:
        """The network in eval mode. Raises WeightsError where its file is not the one of the manifest."""
        return pretrained(self.weights)

    @property
    def sha256(self) -> str:
        """Of the file that holds the weights."""
        return zoo()[self.weights].sha256

    def data(self, n: int, *, seed: int = IMAGE_SEED, pool: int = POOL) -> dict[str, Any]:
        """What the images are, for the record: the first n of a pool that is drawn from a seed."""
        if check_count("n", n) > check_count("pool", pool):
            raise ValueError(f"n must be at most {pool}, the images of the pool, got {n}")
        return {"set": f"menagerie {self.labels}", "size": SIZE, "seed": seed, "pool": pool, "n": n}

    def images(self, data: Mapping[str, Any]) -> tuple[Images, Tensor, Tensor]:
        """The images that a record names, their labels (n,), and the masks (n, H, W) of the animal, in [0, 1]."""
        if data["set"] != f"menagerie {self.labels}" or data["size"] != SIZE:
            raise ValueError(
                f"data must be of menagerie {self.labels}, {SIZE} px, got {data['set']}, {data['size']} px"
            )
        pool = _pool(self.labels, data["seed"], data["pool"])
        return tuple(part[: data["n"]].clone() for part in pool)  # pyright: ignore[reportReturnType]


@functools.lru_cache(maxsize=8)
def _pool(labels: str, seed: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
    scenes = menagerie(n, size=SIZE, classes=labels, generator=torch.Generator().manual_seed(seed))
    return scenes.images, scenes.labels, scenes.mask("object")


PITCHES = {
    name: Pitch(name, f"diffgradcam-{name}-clean", name.rpartition("-s")[0].replace("-", "_"))
    for name in ("animals4-s0", "animals4-s1", "animals4-s2", "animals10-s0", "animal-colour100-s0")
}


@dataclass(frozen=True)
class Block:
    """Rows that meet each other's images: on one pitch, at these budgets in units of 1/255, with n images."""

    pitch: str
    levels: tuple[float | int, ...]
    n: int
    rows: tuple[str, ...]

    @property
    def eps(self) -> tuple[float | int, ...]:
        """The budgets."""
        return tuple(level / 255 for level in self.levels)


SLOW = ("SmoothGrad (4)", "IG (6)", "BlurIG (6)")
CAM_ROWS = tuple(name for name in FAST if "CAM" in name)
PIXEL_ROWS = tuple(name for name in FAST if "CAM" not in name)
PLANS: dict[str, tuple[Block, ...]] = {
    "quick": (
        Block("animals4-s0", (1, 2, 4, 8), 32, FAST),
        Block("animals4-s1", (2, 8), 32, FAST),
        Block("animals10-s0", (2, 8), 32, FAST),
        Block("animals4-s0", (2,), 16, SLOW),
    ),
    "real": tuple(
        block
        for pitch in PITCHES
        for block in (
            Block(pitch, (1, 2, 4, 8), 128, CAM_ROWS),
            Block(pitch, (1, 2, 4, 8), 64, PIXEL_ROWS),
            Block(pitch, (2, 8), 32, SLOW),
        )
    ),
}
"""Suites have the names of the profiles."""


def blocks(
    profile: str, rows: Sequence[str] | None = None, pitches: Sequence[str] | None = None
) -> list[Block]:
    """The blocks of a profile; with `rows` only those, and each that no block has joins the first of every pitch, with
    its budgets and images.

    >>> [(b.pitch, b.n, b.rows) for b in blocks("quick", ["IG (6)"])]
    [('animals4-s0', 16, ('IG (6)',))]
    >>> [b.levels for b in blocks("quick", ["Score-CAM"], ["animals10-s0"])]
    [(2, 8)]
    """
    check_name("profile", profile, PLANS)
    for pitch in pitches or ():
        check_name("network", pitch, PITCHES)
    plan = [b for b in PLANS[profile] if pitches is None or b.pitch in pitches]
    if rows is None:
        return plan
    planned = {row for block in PLANS[profile] for row in block.rows}
    new, seen, found = tuple(r for r in rows if r not in planned), set[str](), []
    for block in plan:
        here = tuple(r for r in block.rows if r in rows) + (() if block.pitch in seen else new)
        seen.add(block.pitch)
        if here:
            found.append(Block(block.pitch, block.levels, block.n, here))
    return found


@functools.lru_cache(maxsize=1)
def code_digest() -> str:
    """The sha256 of the code that decides a cell."""
    root, found = Path(robustxai.__file__).parent, hashlib.sha256()
    for room in CODE:
        for file in sorted((root / room).rglob("*.py")):
            if (
                not (room == "arena" and (file.name in SHOWS or "auditing" in file.parts))
                and "study" not in file.parts
            ):
                found.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return found.hexdigest()


def cell_key(
    pitch: Pitch,
    data: Mapping[str, Any],
    *,
    eps: float | int,
    norm: str,
    readout: str,
    suite: str,
    version: str,
) -> str:
    """What a cell depends on, as one short digest: code, weights, images, threat model, suite."""
    return digest_of(pitch, data, round(eps, 10), norm, readout, suite, version)


def digest_of(pitch: Pitch, data: Mapping[str, Any], *more: object) -> str:
    """A short digest of the code, a network's weights, images, and what else a number depends on."""
    parts = [code_digest(), pitch.weights, pitch.sha256, dict(data), *more]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
