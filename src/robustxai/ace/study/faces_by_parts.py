"""The paper's setting in small: photographed faces explained in parts, one part after the other, and what all say.

Faces of CelebA-HQ at 64 pixels, a classifier that nobody here trained or one of ours, fast mode, and the paper's
numbers of a set: flip rate, FID, sFID, CD, COUT and MNAC. Parts are kept in the reader's folder, as counterfactuals
are photographs of people: none of them goes anywhere else. Knows no notebook.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from robustxai.ace.diffusion_filter import DiffusionFilter
from robustxai.ace.study.filter_experiments import explained_parts
from robustxai.ace.study.measures import Judges, measured, of_set
from robustxai.metrics import bootstrap_interval
from robustxai.parts import KeptPart, PartRow, part
from robustxai.records import Row, triple
from robustxai.shapes import Images

OPTIONS: Mapping[str, Any] = {"steps": 50, "distance": "l1", "lam": 0.004, "threshold": 0.15, "dilation": 7}
"""Of `ACE` at 64 pixels: the paper's weight for 128, four times, as there are a quarter of the pixels."""
SIZE = 32
"""Images a part."""
SHOWN = ("flip", "transfer", "cout", "mnac", "l0", "l1", "high_frequency", "similarity")


def face_rows(
    judges: Judges, x: Images, filter: DiffusionFilter, *, seed: int, mode: str = "fast", **options: Any
) -> list[PartRow]:
    """The counterfactuals of one part, a row an image: what `measured` says, None where it is nan, and "image", the
    counterfactual's bytes. seed: of the filter's noise. options: of `ACE`."""
    found = explained_parts(judges, x, filter=filter, seed=seed, mode=mode, **options)
    stored = found.image.mul(255).round().clamp(0, 255)
    values = measured(judges, x, stored / 255, found.prediction, found.target, purified=False)
    return [
        {name: None if isnan(float(v[i])) else float(v[i]) for name, v in values.items()}
        | {"image": base64.b64encode(stored[i].to(torch.uint8).cpu().numpy().tobytes()).decode()}
        for i in range(len(x))
    ]


def faces_by_parts(
    judges: Judges,
    x: Images,
    filter: DiffusionFilter,
    *,
    folder: str | Path,
    name: str,
    size: int = SIZE,
    **options: Any,
) -> list[KeptPart]:
    """`face_rows` of all images, `size` in a part, in `folder`; parts that are there are not made again.

    name: of the setting, such as "expressions-0.27", which the parts' files bear. options: of `face_rows`.
    """
    said = {key: value for key, value in options.items() if isinstance(value, str | int | float)}
    return [
        part(
            folder,
            f"{name}-{at:04d}",
            lambda at=at, some=some: face_rows(judges, some, filter, seed=at, **options),
            settings={"steps of the filter": list(filter.timesteps), "size": size} | said,
        )
        for at, some in zip(range(0, len(x), size), x.split(size), strict=True)
    ]


def counterfactuals(parts: Sequence[KeptPart], like: Images) -> Tensor:
    """The images of all parts (n, channel, height, width) in [0, 1], in order; like: the explained ones."""
    rows = [row for one in parts for row in one.rows]
    raw = [np.frombuffer(base64.b64decode(str(row["image"])), np.uint8) for row in rows]
    return torch.from_numpy(np.stack(raw)).reshape(like.shape).to(like) / 255


def faces_summary(
    judges: Judges, parts: Sequence[KeptPart], x: Images, *, labels: Bool[Tensor, "m attribute"], query: int
) -> Row:
    """One row of a table: `SHOWN` with bootstrap intervals over images, and fid, sfid and cd of the whole set.

    labels, query: the true attributes of a training set, and which one is explained.
    """
    rows = [row for one in parts for row in one.rows]
    columns = {
        name: torch.tensor([float("nan") if row[name] is None else row[name] for row in rows], device="cpu")
        for name in SHOWN
        if name in rows[0]
    }
    flipped = columns["flip"].to(x.device) > 0.5
    whole = of_set(judges, x, counterfactuals(parts, x), flipped, labels=labels, query=query)
    found: Row = {name: triple(bootstrap_interval(v)) for name, v in columns.items()}
    return found | whole | {"n": len(rows)}
