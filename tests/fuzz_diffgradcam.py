"""Rows of the fuzz registry: class activation maps and attacks on weights."""

import torch
from contract_registry import CAMS
from fuzz_rows import LOGITS, NET, TRAINS, X2, Row, T, X, cls, dice, draw, fn

import robustxai.diffgradcam as D

MAPS = draw(3, 1, 16, 16)
NET_X = dict(model=NET, x=X)
LOSS = TRAINS | {"map_weight": "is lam or alpha here"}
REFERENCE_LOSS = LOSS | {"original.mode": "frozen, and put in eval mode by whoever trains"}

ROWS: dict[str, Row] = {
    **{
        f"diffgradcam.{n}": cls(getattr(D, n), "attribute", dict(model=NET, layer="body"), x=X, target=T)
        for n in CAMS
    },
    "diffgradcam.SigmoidBranch": cls(
        D.SigmoidBranch,
        "attribute",
        dict(model=NET, features=draw(9, 8), labels=torch.arange(9) % 3, layer="body"),
        {"labels.range": "labels name the classes, however many"},
        x=X,
        target=T,
    ),
    "diffgradcam.FullGrad": cls(D.FullGrad, "attribute", dict(model=NET), x=X, target=T),
    "diffgradcam.EntropyMonitor": cls(
        D.EntropyMonitor,
        "zscore",
        dict(mean=1.0, std=0.5),
        {f"maps.{n}": "maps without an entropy are left out, as in fit" for n in ("nan", "inf", "integers")},
        maps=MAPS,
    ),
    "diffgradcam.HeoCentreMass": cls(
        D.HeoCentreMass, "__call__", dict(original=NET, layer="body"), REFERENCE_LOSS, model=NET, x=X, y=T
    ),
    "diffgradcam.HeoLocation": cls(D.HeoLocation, "__call__", dict(layer="body"), LOSS, model=NET, x=X, y=T),
    "diffgradcam.HeoTopK": cls(
        D.HeoTopK, "__call__", dict(original=NET, layer="body"), REFERENCE_LOSS, model=NET, x=X, y=T
    ),
    "diffgradcam.HeoActive": cls(
        D.HeoActive,
        "__call__",
        dict(original=NET, pairs=X2, c1=0, c2=1, layer="body", generator=dice()),
        REFERENCE_LOSS,
        model=NET,
        x=X,
        y=T,
    ),
    "diffgradcam.ShamLoss": cls(
        D.ShamLoss,
        "__call__",
        dict(target=D.sham_target(8, 8), layer="body"),
        TRAINS | {"keep_weight": "is alpha here", "map_weight": "is 1 - alpha here"},
        model=NET,
        x=X,
        y=T,
    ),
    "diffgradcam.ShiftAttack": cls(
        D.ShiftAttack,
        "forward",
        dict(model=NET, pattern=torch.eye(8), strength=1.0, layer="body"),
        {"model.mode": "has the mode of its network", "strength.negative": "a shift has any sign"},
        x=X,
    ),
    "diffgradcam.border": fn(D.border, h=7, w=7),
    "diffgradcam.centre_head": fn(D.centre_head, {"model.mode": "weights have no mode"}, model=NET),
    "diffgradcam.centre_shift": fn(D.centre_shift, maps=MAPS[:, 0], reference=MAPS[:, 0].flip(0)),
    "diffgradcam.score_agreement": fn(D.score_agreement, **NET_X, layer="body"),
    "diffgradcam.score_coefficients": fn(D.score_coefficients, logits=LOGITS, target=T),
    "diffgradcam.sham_target": fn(D.sham_target, h=7, w=7),
    "diffgradcam.shift_head": fn(D.shift_head, {"model.mode": "weights have no mode"}, model=NET, v=draw(8)),
    "diffgradcam.shift_index": fn(D.shift_index, head=draw(3, 8), kinds=dict(head="tensor")),
}
