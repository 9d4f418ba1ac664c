"""The sets of concepts that a study can be made of: rendered images, photographs found on this machine, a reader's own.

Says which materials, cases and true concepts belong together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from robustxai.concepts.study import (
    cases as E,
    imagenet_folder,
    photographs as real,
    zebras_and_webs as large,
)


@dataclass(frozen=True)
class Task:
    """A set: its materials for (n exemplars, runs, folder), its cases, and which concepts are true.

    `induce`, `remove`: the cases that experiments with one case look at. `true`: (class, concept) pairs that should
    be important; `absent`: a pair that should not. `unit`, `facets`: the class that is visualised, with two themes.
    `stem`, `recipe`: of its networks; "" if none is trained for it.
    """

    help: str
    materials: Callable[[int, int, Path | str | None], E.Materials]
    cases: tuple[E.Case, ...]
    induce: E.Case
    remove: E.Case
    true: tuple[tuple[str, str], ...]
    absent: tuple[str, str]
    unit: str
    facets: tuple[str, str]
    stem: str = ""
    recipe: str = ""


TASKS = {
    "menagerie": Task(
        "drawn animals and textures, 64 px",
        lambda n, runs, _folder: E.materials(n, runs=runs),
        E.CASES,
        E.CASES[2],
        E.CASES[3],
        (("zebra", "striped"), ("honeycomb", "honeycombed"), ("appaloosa", "dotted")),
        ("appaloosa", "striped"),
        "patterned cat",
        ("striped", "dotted"),
        recipe="concepts-menagerie",
    ),
    "textures": Task(
        "photographs of 25 classes and of textures, 64 px",
        lambda n, runs, _folder: real.materials(n=n, runs=runs),
        real.CASES,
        real.CASES[0],
        real.CASES[2],
        (("spider web", "cobwebbed"),),
        ("trolleybus", "cobwebbed"),
        "spider web",
        ("cobwebbed", "chequered"),
        stem="textures",
        recipe="concepts-textures",
    ),
    "stripes": Task(
        "one photograph of a zebra and many of spider webs, textures of DTD, 128 px",
        lambda n, runs, _folder: large.materials(n=n, runs=runs),
        large.CASES,
        large.CASES[2],
        large.CASES[0],
        (("zebra", "striped"), ("spider web", "cobwebbed")),
        ("spider web", "striped"),
        "zebra",
        ("striped", "chequered"),
    ),
    "imagenet": Task(
        "photographs of zebras and honeycombs from a folder, textures of DTD, 224 px",
        lambda n, runs, folder: imagenet_folder.materials(folder, n=n, runs=runs),
        imagenet_folder.CASES,
        imagenet_folder.CASES[2],
        imagenet_folder.CASES[3],
        (("zebra", "striped"), ("honeycomb", "honeycombed")),
        ("zebra", "polka-dotted"),
        "zebra",
        ("striped", "polka-dotted"),
    ),
}
