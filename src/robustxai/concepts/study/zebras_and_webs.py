"""Stripes and cobwebs on networks of ImageNet that nobody here trained: photographs of 128 pixels.

*Striped* for zebra is the pair of the tool's own papers, and cobwebbed for spider web a second one. There is **one**
photograph of a zebra: what is scored are ten views of it, so that a score for zebra says what one image's gradients
say, and no interval over images is possible. Spider webs are enlarged from 64 pixels. Knows nothing about attacks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from robustxai.concepts.exemplars import stream
from robustxai.concepts.study.cases import GENERIC, NULL, Case, Materials
from robustxai.concepts.study.photographs import textures
from robustxai.data import load

SIZE = 128
CLASSES = ("zebra", "spider web")
OTHERS = ("honeycomb", "trolleybus", "monarch", "sorrel", "tiger")  # of the logits, beside the scored ones
TEXTURES = ("cobwebbed", "chequered", "bubbly", "cracked")
CASES = (
    Case("stripes made unimportant for zebra", "zebra", "striped", "bubbly", -1),
    Case("cobwebs made unimportant for spider webs", "spider web", "cobwebbed", "bubbly", -1),
    Case("chequers made important for spider webs", "spider web", "chequered", "cobwebbed", 1),
)


def views(photograph: Tensor) -> Tensor:
    """Ten views (10, 3, SIZE, SIZE) of one photograph (3, h, w): corners and centre, 7/8 of a side, and mirrored."""
    h, w = photograph.shape[1:]
    high, wide = h * 7 // 8, w * 7 // 8
    places = [(0, 0), (0, w - wide), (h - high, 0), (h - high, w - wide), ((h - high) // 2, (w - wide) // 2)]
    cut = at_size(torch.stack([photograph[:, y : y + high, x : x + wide] for y, x in places]))
    return torch.cat((cut, cut.flip(3)))


def at_size(x: Tensor) -> Tensor:
    """Images (n, 3, h, w) at SIZE, on the grid of bytes, as stored images are."""
    scaled = F.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    return scaled.mul(255).round().clamp(0, 255).div(255)


def materials(*, n: int = 32, runs: int = 20) -> Materials:
    """Exemplars from DTD, random sets from one photograph of each other class of ImageNet, and images to score.

    n: exemplars and images a random set; `runs` random sets, and `NULL` + 1 more: there are 998 such photographs.
    The attacker has no zebra: his images for that class are other photographs, in which he maximises its logit.
    Raises ValueError for more images than there are.
    """
    photographs = load("imagenet_sample1000", "test", size=SIZE)
    scored = [photographs.classes.index(name.replace(" ", "_")) for name in CLASSES]
    others = photographs.x[~torch.isin(photographs.y, torch.tensor(scored, device=photographs.y.device))]
    count = (runs + NULL + 1) * n
    if count > len(others):
        raise ValueError(f"runs and n must need at most {len(others)} random images, got {count}")
    g = stream("zebras", "random")
    pool = others[torch.randperm(len(others), generator=g, device=g.device)[:count]].split(n)
    shown, goal = textures(TEXTURES, size=SIZE)
    stripes = load("dtd_striped", size=SIZE).x
    shown, goal = shown | {"striped": stripes[::2]}, goal | {"striped": stripes[1::2]}
    place = (photographs.y == scored[0]).nonzero()[0]
    one = load("imagenet_sample1000", "test", indices=place, size=224).x[0]
    webs = {split: load("tiny_imagenet25", split) for split in ("train", "test")}
    web = {split: at_size(d.x[d.y == d.classes.index("spider_web")]) for split, d in webs.items()}
    return Materials(
        concepts={name: x[:n] for name, x in shown.items()},
        random=list(pool[:runs]),
        scored={"zebra": views(one), "spider web": web["test"]},
        goal={name: x[:n] for name, x in goal.items()} | {GENERIC: pool[runs]},
        own={"zebra": pool[runs], "spider web": web["train"][:n]},
        null=list(pool[runs + 1 :]),
        names=(*CLASSES, *OTHERS),
    )
