"""Real images for the experiments: textures of DTD as concepts, classes of Tiny ImageNet, both through the data room.

Spider webs and *cobwebbed* are the honest positive; the other pairs are honest negatives.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from robustxai.concepts.exemplars import stream
from robustxai.concepts.study.cases import GENERIC, NULL, Case, Materials
from robustxai.data import load

SIZE = 64
CLASSES = ("spider web", "trolleybus", "monarch")
CONCEPTS = ("cobwebbed", "chequered", "banded", "bubbly", "cracked")
CASES = (
    Case("chequers made important for spider webs", "spider web", "chequered", "cobwebbed", 1),
    Case("bubbles made important for spider webs", "spider web", "bubbly", "cobwebbed", 1),
    Case("cobwebs made unimportant for spider webs", "spider web", "cobwebbed", "bubbly", -1),
    Case("cobwebs made random for spider webs", "spider web", "cobwebbed", GENERIC, -1),
)


def textures(
    names: Sequence[str] = CONCEPTS, *, size: int = SIZE
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two disjoint halves of DTD's images of each kind: the analyst's exemplars, and the attacker's goals."""
    d = load("dtd10", "train", size=size)
    if unknown := [n for n in names if n not in d.classes]:
        raise ValueError(f"concepts must be among {', '.join(d.classes)} of dtd10, got {unknown[0]!r}")
    shown, goal = {}, {}
    for name in names:
        x = d.x[d.y == d.classes.index(name)]
        shown[name], goal[name] = x[::2], x[1::2]
    return shown, goal


def materials(
    classes: Sequence[str] = CLASSES, concepts: Sequence[str] = CONCEPTS, *, runs: int = 20, n: int = 35
) -> Materials:
    """Exemplars from DTD, random sets from training photographs of all other classes, held-out photographs to score.

    n: images a random set; DTD's copy has 70 a kind, of which half are the analyst's. The attacker's class images
    are training photographs. Raises ValueError for an unknown class.
    """
    train, test = load("tiny_imagenet25", "train"), load("tiny_imagenet25", "test")
    plain = tuple(name.replace("_", " ") for name in train.classes)
    if unknown := [c for c in classes if c not in plain]:
        raise ValueError(f"classes must be among {', '.join(plain)} of tiny_imagenet25, got {unknown[0]!r}")
    index = {c: plain.index(c) for c in classes}
    others = train.x[~torch.isin(train.y, torch.tensor(list(index.values()), device=train.y.device))]
    count = (runs + NULL + 1) * n
    if count > len(others):
        raise ValueError(f"runs and n must need at most {len(others)} random images, got {count}")
    g = stream("real", "random")
    pool = others[torch.randperm(len(others), generator=g, device=g.device)[:count]].split(n)
    shown, goal = textures(concepts)
    return Materials(
        concepts=shown,
        random=list(pool[:runs]),
        scored={c: test.x[test.y == i] for c, i in index.items()},
        goal=goal | {GENERIC: pool[runs]},
        own={c: train.x[train.y == i][:100] for c, i in index.items()},
        null=list(pool[runs + 1 :]),
        names=plain,
    )
