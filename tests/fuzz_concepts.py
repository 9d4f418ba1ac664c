"""Rows of the fuzz registry: TCAV, facets, attacks on exemplars."""

from fuzz_rows import NET, Row, X, cls, dice, draw, fn

import robustxai.concepts as C

BYTES = (X * 255).round() / 255
PUSHED = C.TokenPushing("body", steps=1).perturb(NET, BYTES, BYTES.flip(0))
PROBE = C.facet_probe(NET, ["body"], theme=draw(6, 3, 16, 16), generic=[draw(6, 3, 16, 16, seed=1)])
SETS = {f"{a}.length": "two sets need no one size" for a in ("x", "towards")}
WHOLE = {f"{a}.integers": "whole numbers are numbers" for a in "ab"}

ROWS: dict[str, Row] = {
    "concepts.CAV": cls(
        C.CAV, "fit", {}, positive=draw(12, 5), negatives=[draw(12, 5, seed=s) for s in (1, 2)]
    ),
    "concepts.TCAV": cls(
        C.TCAV,
        "score",
        dict(model=NET, layers=["body"]),
        images=X,
        target=0,
        concepts={"a": draw(6, 3, 16, 16)},
        random=[draw(6, 3, 16, 16, seed=s) for s in range(1, 5)],
        permutations=9,
    ),
    **{
        f"concepts.{n}": cls(
            getattr(C, n), "perturb", init | dict(steps=1), SETS, model=NET, x=BYTES, towards=BYTES.flip(0)
        )
        for n, init in (
            ("TokenPushing", dict(layer="body")),
            ("UniversalPushing", dict(layer="body")),
            ("MultiLayerPushing", dict(layers=["body"])),
        )
    },
    "concepts.ClassGradientPush": cls(
        C.ClassGradientPush,
        "perturb",
        dict(layer="body", steps=1),
        model=NET,
        x=BYTES,
        class_images=X,
        target=0,
    ),
    "concepts.FacetedVisualization": cls(
        C.FacetedVisualization, "render", dict(model=NET, target=0, size=16, steps=1), n=1
    ),
    "concepts.concept_sets": fn(C.concept_sets, names=("striped",), n=1, size=16),
    "concepts.random_sets": fn(C.random_sets, sets=1, n=1, size=16),
    "concepts.scored_images": fn(C.scored_images, name="zebra", n=1, size=16),
    "concepts.corrected": fn(C.corrected, {"p.nan": "stays nan and is not counted"}, p=[0.01, 0.2]),
    "concepts.facet_probe": fn(
        C.facet_probe,
        model=NET,
        layers=["body"],
        theme=draw(6, 3, 16, 16),
        generic=[draw(6, 3, 16, 16, seed=1)],
    ),
    "concepts.permutation_test": fn(C.permutation_test, WHOLE, a=draw(5), b=draw(6, seed=1), resamples=9),
    "concepts.sign_noise": fn(C.sign_noise, x=BYTES, eps=8 / 255, generator=dice()),
    "concepts.state": fn(C.state, {"p.nan": "no p value, no finding"}, mean=0.7, p=0.01),
    "concepts.t_test": fn(C.t_test, WHOLE, a=draw(5), b=draw(6, seed=1)),
    "concepts.controls": fn(C.controls, attacked=PUSHED),
    "concepts.facet_score": fn(C.facet_score, model=NET, x=X, probe=PROBE),
}
