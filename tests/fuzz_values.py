"""What is certainly bad for an argument, as hypothesis strategies by label, from its annotation and its good value.

`kind_of` says what an argument is; `bad_values` what is bad for such a one. A value that may be good for some argument
is not in here, or the row of `fuzz_registry` frees it with a reason.
"""

import copy
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

Bad = dict[str, st.SearchStrategy[Any]]
SHARES = {
    "share",
    "level",
    "confidence",
    "confident",
    "fraction",
    "alpha",
    "test",
    "validation",
    "test_share",
}
TARGETS = {"target", "y", "labels"}
SEEDS = {"seed", "draw", "generators"}


def dims(annotation: Any) -> list[str] | None:
    """Names of the axes, where the annotation is one jaxtyping array."""
    text = getattr(annotation, "dim_str", None)
    return None if text is None else text.split()


def kind_of(name: str, p: inspect.Parameter, value: Any) -> str:
    """What the argument is; "flag" and "other" are not spoiled."""
    text = str(p.annotation)
    if isinstance(value, bool):
        return "flag"
    if name == "clip":
        return "clip"
    if name in ("baseline", "baselines", "fill") and (value is None or isinstance(value, (int, float))):
        return "level"
    if name == "widths":
        return "widths"
    if isinstance(value, Tensor):
        if value.dtype == torch.bool:
            return "other"
        return "tensor" if value.is_floating_point() else "target"
    if name in TARGETS and not isinstance(value, str):
        return "class"
    if isinstance(value, torch.Generator) or (name == "generator" and value is None):
        return "generator"
    if isinstance(value, nn.Module):
        return "module"
    if name in SEEDS:
        return "seed"
    if name in SHARES and (value is None or isinstance(value, float)):
        return "share"
    if isinstance(value, (int, float)) or value is None:
        if "float" in text.lower() and "Tensor" not in text.split("|")[0]:
            return "number"
        if isinstance(value, float):
            return "number"
        if isinstance(value, int) or "int" in text or "SupportsIndex" in text:
            return "count"
    if isinstance(value, str):
        return "name"
    if callable(value) or (value is None and ("Callable" in text or "Module" in text)):
        return "callable"
    if isinstance(value, (tuple, list)):
        return "numbers" if value and isinstance(value[0], (int, float)) else "sequence"
    return "other"


def spoiled(x: Tensor, sample: int, by: float) -> Tensor:
    """One sample of `by`; the only number of a scalar."""
    x = x.clone()
    x[sample % len(x)] = by
    return x


def bad_tensor(x: Tensor, p: inspect.Parameter, *, partner: bool, required: bool) -> Bad:
    axes = dims(p.annotation)
    samples = st.integers(0, max(len(x) - 1, 0))
    found: Bad = {
        "nan": samples.map(lambda i: spoiled(x, i, math.nan)),
        "inf": st.tuples(samples, st.sampled_from((math.inf, -math.inf))).map(lambda t: spoiled(x, *t)),
        "rank": st.just(x.flatten()[0]),
        "integers": st.sampled_from((torch.int64, torch.uint8, torch.bool)).map(lambda d: (9 * x).to(d)),
        "complex": st.just(x.to(torch.complex64)),
        "empty": st.just(x[:0]),
        "type": st.sampled_from(("x", 3.5, object(), *((None,) if required else ()))),
    }
    if axes and not any(a.startswith(("*", "...")) for a in axes):
        found["more axes"] = st.just(x[None])
        found["fewer axes"] = st.just(x[0])
    if partner:
        found["length"] = st.sampled_from((x[:-1], torch.cat((x, x[:1])), torch.cat((x, x))))
    return found


def bad_target(t: Tensor, *, partner: bool, required: bool) -> Bad:
    n = len(t)
    one = st.integers(0, n - 1)
    found: Bad = {
        "range": st.tuples(one, st.integers(99, 2**40) | st.integers(-(2**40), -1)).map(
            lambda v: t.clone().index_fill(0, torch.tensor([v[0]]), v[1])
        ),
        "fraction": st.just(t + 0.7),
        "bool": st.just(t > 0),
        "rank": st.just(t[None, :, None]),
        "type": st.sampled_from(("cat", 1.7, object(), *((None,) if required else ()))),
    }
    if partner:
        found["length"] = st.sampled_from((t[:-1], torch.cat((t, t[:1])), t[:0]))
    return found


def not_whole() -> st.SearchStrategy[float]:
    return st.floats(-100, 100).filter(lambda v: v != int(v))


def bad_values(kind: str, p: inspect.Parameter, value: Any, *, partner: bool, required: bool) -> Bad:
    """Strategies by label; `partner`: whether another argument has the same number of samples."""
    none = st.just(None) if required else st.nothing()
    words = st.text("abcdefgh_", min_size=1).map(lambda s: s + "!")
    broken = st.sampled_from((math.nan, math.inf, -math.inf))
    if kind == "tensor":
        return bad_tensor(value, p, partner=partner, required=required)
    if kind == "target":
        return bad_target(value, partner=partner, required=required)
    kinds: dict[str, Callable[[], Bad]] = {
        "class": lambda: {
            "range": st.integers(99, 2**40) | st.integers(-(2**40), -1),
            "fraction": not_whole(),
            "length": st.just([0] * 17),
            "type": words,
        },
        "count": lambda: {
            "negative": st.integers(-(2**40), -1),
            "fraction": not_whole(),
            "nan": broken,
            "type": words | none | st.just([]),
        },
        "seed": lambda: {"fraction": not_whole(), "nan": broken, "type": words},
        "number": lambda: {
            "negative": st.floats(-1e6, -1e-3),
            "nan": st.just(math.nan),
            "inf": st.just(math.inf),
            "type": words | none | st.just([]),
        },
        "level": lambda: {"nan": broken, "type": words},
        "widths": lambda: {
            "negative": st.builds(lambda: [-1] * len(value)),
            "nan": st.builds(lambda: [math.nan] * len(value)),
            "type": st.integers(2) | none,
            "element": st.builds(lambda: ["x"] * len(value)),
            "empty": st.just(()),
        },
        "share": lambda: {
            "range": st.floats(1.001, 1e6) | st.floats(-1e6, -1e-3),
            "nan": broken,
            "type": words | none,
        },
        "name": lambda: {"unknown": words, "type": st.integers() | none | st.just([])},
        "callable": lambda: {"type": words | st.integers() | st.just([])},
        "module": lambda: {
            "type": words | st.integers() | none,
            "mode": st.builds(lambda: copy.deepcopy(value).train()),
        },
        "generator": lambda: {"type": words | st.integers() | not_whole()},
        "clip": lambda: {
            "order": st.just((1, 0)),
            "nan": st.just((math.nan, 1)),
            "length": st.just((0,)),
            "type": st.floats() | words,
        },
        "numbers": lambda: {
            "nan": st.builds(lambda: [math.nan] * len(value)),
            "type": words | st.integers(2) | none,
            "element": st.builds(lambda: ["x"] * len(value)),
        },
        "sequence": lambda: {
            "type": st.integers(2) | none,
            "element": st.builds(lambda: [object()] * max(len(value), 1)),
        },
    }
    if kind == "module" and not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in value.modules()):
        return {"type": kinds["module"]()["type"]}
    return kinds[kind]() if kind in kinds else {}


def numbers_in(found: Any) -> list[Tensor]:
    """All floating-point numbers that a result holds."""
    if isinstance(found, Tensor):
        return [found.detach()] if found.is_floating_point() else []
    if isinstance(found, np.ndarray):
        return numbers_in(torch.as_tensor(found)) if found.dtype.kind == "f" else []
    if isinstance(found, float):
        return [torch.tensor(found)]
    if isinstance(found, dict):
        return [x for v in found.values() for x in numbers_in(v)]
    if isinstance(found, (list, tuple)):
        return [x for v in found for x in numbers_in(v)]
    if hasattr(found, "__dataclass_fields__"):
        return [x for f in found.__dataclass_fields__ for x in numbers_in(getattr(found, f))]
    return []
