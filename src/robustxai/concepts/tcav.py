"""`TCAV`: how often, and how much, moving along a concept's direction raises a class logit (spec 3.1).

All layers share one forward and one backward a batch, all concepts share the gradients, all negative sets are
fitted at once; activations of images that were seen before are kept. Knows nothing about attacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.concepts.activations import (
    CHUNK,
    CLASS_SCORES,
    Cache,
    Maps,
    activations,
    check_images,
    check_model,
    check_size,
    check_varied,
    class_gradients,
    gradient_rows,
    rows,
)
from robustxai.concepts.cav import CAV, FittedCAVs, Negatives
from robustxai.concepts.results import Cell, TCAVResult
from robustxai.concepts.verdicts import corrected, permutation_test, set_means, set_test, state, t_test

BASELINES = ("ring", "pairs")
TESTS = ("runs", "sets")


class TCAV:
    """TCAV of a classifier (images in [0, 1] to logits) at some layers, named by their module paths.

    cav: the probe, `CAV()` (ridge) by default. baseline: random CAVs from each random set against the next ("ring",
    as many as sets), or from all pairs of sets ("pairs"). test: "runs", the t and the permutation test over CAVs, as is
    usual; they take CAVs that share the concept's exemplars for independent and call random sets significant far too
    often; "sets" compares the concept's mean magnitude with those of the random sets as concepts, and needs "pairs".
    sets: give that second p value, `Cell.p_sets`, with any baseline. of: "logit", or "log_prob" as the reference
    implementation. cache: where activations, gradients and random CAVs are kept; tools of the same network can share
    one. Raises ValueError for a model in training mode, an unknown layer or
    option.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        *,
        cav: CAV | None = None,
        baseline: str = "ring",
        test: str = "runs",
        sets: bool = False,
        of: str = "logit",
        chunk: int = CHUNK,
        cache: Cache | None = None,
    ) -> None:
        check_model(model, layers)
        if baseline not in BASELINES or of not in CLASS_SCORES:
            raise ValueError(
                f"baseline is {baseline!r} and of is {of!r}; accepted are {', '.join(BASELINES)} and "
                f"{', '.join(CLASS_SCORES)}"
            )
        if test not in TESTS or (test == "sets" and baseline != "pairs"):
            raise ValueError(
                f"test is {test!r} with baseline {baseline!r}; accepted are 'runs', and 'sets' with 'pairs'"
            )
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; accepted are 1 and more")
        self.model, self.layers, self.cav = model, tuple(layers), cav or CAV()
        self.sets = sets or baseline == "pairs"
        self.test, self.baseline, self.of, self.chunk = test, baseline, of, chunk
        self._cache = Cache() if cache is None else cache

    def score(
        self,
        images: Float[Tensor, "n channel height width"],
        target: int,
        concepts: Mapping[str, Tensor],
        random: Sequence[Tensor],
        *,
        correction: str = "holm",
        level: float = 0.05,
        permutations: int = 9999,
        keep: bool = True,
    ) -> TCAVResult:
        """Scores of every concept at every layer for class `target`, over `images` of it (spec 3.1).

        concepts: name to exemplars (n, C, H, W). random: two or more disjoint sets of random images, the negatives
        of the CAVs and of the random CAVs. correction: "holm", "bonferroni" or "none", over all cells of this
        call. level: of significance. keep: keep what was computed of the random sets for later calls.
        Raises ValueError for sets of fewer than 5 images, mixed sizes, a concept equal to a random set, a layer
        without gradient to the logit, and activations that are the same for all images of a set.
        """
        self._check(images, concepts, random)
        if not 0 < level < 1 or permutations < 1:
            raise ValueError(
                f"level is {level} and permutations {permutations}; accepted are a number between 0 and 1, and "
                "1 and more"
            )
        gradients = self._gradients(images, target)
        maps_of = lru_cache(
            lambda: [self._activations(s) for s in random]
        )  # only if they are not known already
        own = {layer: self._negatives(random, maps_of, layer, keep) for layer in self.layers}
        cells = []
        for name, exemplars in concepts.items():
            maps = self._activations(exemplars)
            for layer in self.layers:
                with_layer = f"concept {name!r} at layer {layer!r}"
                check_varied(with_layer, maps[layer])
                try:
                    fitted = self.cav.fit(rows(maps[layer], pool=self.cav.pool), own[layer][0])
                except ValueError as error:
                    raise ValueError(f"{with_layer}: {error}") from error
                g = gradient_rows(gradients[layer], pool=self.cav.pool)
                cells.append(self._cell(name, layer, target, fitted, own[layer][1], g, permutations))
        adjusted = corrected([c.raw_p if self.test == "runs" else c.p_sets for c in cells], correction)
        return TCAVResult(
            tuple(
                replace(c, p=p, state=state(c.mean, p, level=level))
                for c, p in zip(cells, adjusted, strict=True)
            )
        )

    def _cell(
        self,
        name: str,
        layer: str,
        target: int,
        fitted: FittedCAVs,
        random: Mapping[str, Tensor],
        g: Tensor,
        permutations: int,
    ) -> Cell:
        derivative = fitted.directional(g)
        scores = (derivative > 0).to(g.dtype).mean(1)
        lengths = g.norm(dim=1).clamp_min(torch.finfo(g.dtype).tiny)
        baseline = (random[self.baseline] @ g.T > 0).to(g.dtype).mean(1)
        magnitude, p_sets = (derivative / lengths).mean(1), float("nan")
        if self.sets:
            null = set_means((random["pairs"] @ g.T / lengths).mean(1), total=0.0)
            p_sets = set_test(float(magnitude.mean()), null)
        warning = ""
        if fitted.at_chance:
            warning = (
                f"the probe's held-out accuracy {float(fitted.accuracy.mean()):.2f} is at chance: "
                "the layer does not hold the concept linearly, the score means nothing"
            )
        elif bool((g == 0).all(1).any()):
            warning = (
                f"{int((g == 0).all(1).sum())} of {len(g)} images give no gradient and count as not positive"
            )
        return Cell(
            name, layer, target, scores, baseline, magnitude,
            t_test(scores, baseline), permutation_test(scores, baseline, resamples=permutations),
            p_sets, float("nan"), "",
            float(fitted.accuracy.mean()), fitted.stability, warning, fitted,
        )  # fmt: skip

    def _activations(self, x: Tensor) -> Maps:
        return activations(self.model, x, self.layers, chunk=self.chunk)

    def _gradients(self, x: Tensor, target: int) -> Maps:
        """What the cache holds for each layer; one pass makes what is missing."""
        made = lru_cache(
            lambda: class_gradients(self.model, x, target, self.layers, of=self.of, chunk=self.chunk)
        )
        return {
            layer: self._cache.get(
                self.model, x, ("gradients", target, self.of, layer), lambda layer=layer: made()[layer]
            )
            for layer in self.layers
        }

    def _negatives(
        self, random: Sequence[Tensor], maps_of: Callable[[], Sequence[Maps]], layer: str, keep: bool
    ) -> tuple[Negatives, dict[str, Tensor]]:
        """The negative sets of a layer, and the random CAVs (baseline, d) by baseline."""

        def held(words: tuple[object, ...], make: Callable[[], Any]) -> Any:
            if not keep:
                return make()
            words = (*words, layer, *((id(s), s._version) for s in random))
            every = tuple(random)  # kept with the value, so that no id is used again
            return self._cache.get(self.model, random[0], words, lambda: (every, make()))[1]

        def stacked() -> Negatives:
            maps = maps_of()
            for i, m in enumerate(maps):
                check_varied(f"random set {i} at layer {layer!r}", m[layer])
            return Negatives.of([rows(m[layer], pool=self.cav.pool) for m in maps])

        own = held(("stacked", self.cav.pool), stacked)
        wanted = dict.fromkeys((self.baseline, *(("pairs",) if self.sets else ())))
        return own, {
            baseline: held(
                ("random CAVs", self.cav, baseline),
                lambda baseline=baseline: random_cavs(self.cav, own, baseline),
            )
            for baseline in wanted
        }

    def _check(self, images: Tensor, concepts: Mapping[str, Tensor], random: Sequence[Tensor]) -> None:
        check_model(self.model, self.layers)
        if len(random) < 2:
            raise ValueError(f"random holds {len(random)} sets; accepted are 2 and more (20 are usual)")
        named = {"images": images, **{f"concept {k!r}": v for k, v in concepts.items()}}
        named |= {f"random set {i}": s for i, s in enumerate(random)}
        for name, x in named.items():
            check_images(name, x)
            check_size(name, x, "images", images)


def random_cavs(cav: CAV, own: Negatives, baseline: str) -> Float[Tensor, "baseline d"]:
    """CAVs of random sets against each other: each against the next ("ring"), or all pairs i < j in order ("pairs")."""
    sets = range(len(own.rows))
    ring = [(i, (i + 1) % len(sets)) for i in range(len(sets))]
    pairs = ring if baseline == "ring" else list(combinations(range(len(sets)), 2))
    fitted = []
    for first in sorted({i for i, _ in pairs}):
        others = torch.tensor([j for i, j in pairs if i == first])
        part = Negatives(own.rows[others], own.own[others])
        fitted.append(cav.fit(own.rows[first], part).vectors)
    return torch.cat(fitted)
