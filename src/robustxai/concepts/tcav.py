"""`TCAV`: how often, and how much, moving along a concept's direction raises a class logit (spec 3.1).

All layers share one forward and one backward a batch, all concepts share the gradients, all negative sets are
fitted at once; what was computed of the random sets before is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_count, check_images, check_name, check_sequence
from robustxai.concepts.activation_cache import ActivationCache, version_of
from robustxai.concepts.activations import (
    CHUNK,
    LayerMaps,
    activation_rows,
    activations,
    check_model,
    check_size,
    check_varied,
    class_gradients,
    gradient_rows,
)
from robustxai.concepts.cav import CAV, FittedCAVs, Negatives
from robustxai.concepts.random_cavs import BASELINES, left_out, random_cavs
from robustxai.concepts.significance import (
    CORRECTIONS,
    check_level,
    corrected,
    permutation_test,
    set_means,
    set_test,
    state,
    t_test,
)
from robustxai.concepts.tcav_result import Cell, TCAVResult
from robustxai.scores.explained import check_score

TESTS = ("runs", "sets")


class TCAV:
    """TCAV of a classifier (images in [0, 1] to logits) at some layers, named by their module paths.

    A layer that runs several times in a pass is named with its call, "act:3". A network of a single logit z has the
    classes 0 and 1 with the scores -z and z (Captum's `target=0` of it is class 1 here). Threads may share a tool.

    cav: the probe, `CAV()` (ridge) by default. baseline: random CAVs from each random set against the next ("ring",
    as many as sets), or from all pairs of sets ("pairs"). test: "runs", the t and the permutation test over CAVs, as is
    usual; they take CAVs that share the concept's exemplars for independent and call random sets significant far too
    often; "sets" compares the concept's mean magnitude with those of the random sets as concepts, and needs "pairs".
    sets: give that second p value, `Cell.p_sets`, with any baseline. score: "logit", or "logp" as the reference
    implementation. batch_size: images a pass. cache: where gradients, activations of random sets and random CAVs are
    kept, 2 GiB at most by default; tools of the same network can share one. 9 parameters, as published results differ
    in each of them. Raises ValueError for a model in training mode, an unknown layer or option.

    >>> from robustxai.concepts import concept_sets, random_sets, scored_images
    >>> from robustxai.nets import PlainConvNet
    >>> net = PlainConvNet(11, widths=(4, 6, 8, 8, 8), generator=torch.Generator().manual_seed(0)).eval()
    >>> stripes, random = concept_sets(["striped"], n=12, size=16), random_sets(4, n=12, size=16)
    >>> result = TCAV(net, ["b2", "b3"]).score(scored_images("zebra", 6, size=16), 1, stripes, random)
    >>> [(cell.layer, cell.used, len(cell.scores)) for cell in result.cells]
    [('b2', 12, 4), ('b3', 12, 4)]
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
        score: str = "logit",
        batch_size: int = CHUNK,
        cache: ActivationCache | None = None,
    ) -> None:
        names = check_model(model, layers)
        check_name("baseline", baseline, BASELINES)
        check_score("score", score)
        if test not in TESTS or (test == "sets" and baseline != "pairs"):
            raise ValueError(
                f"test must be 'runs', or 'sets' with baseline 'pairs', got {test!r} with baseline {baseline!r}"
            )
        self.model, self.layers, self.cav = model, tuple(names), cav or CAV()
        self.sets = sets or baseline == "pairs"
        self.test, self.baseline, self.explained, self.batch_size = (
            test,
            baseline,
            score,
            check_count("batch_size", batch_size),
        )
        self._cache = ActivationCache() if cache is None else cache

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
        of the CAVs and of the random CAVs. Where sets have several sizes, as many images as the smallest has are drawn
        of each by the seed of `cav`; the cell's `used` is their number, and its `warning` says so. correction: "holm",
        "bonferroni" or "none", over all cells of this call. level: of significance. permutations: of the permutation
        test. keep: keep what was computed of the random sets and of `images` for later calls.
        Raises ValueError for sets of fewer than 5 images, mixed sizes, a concept equal to a random set, a layer
        without gradient to the logit, and activations that are the same for all images of a set.
        """
        self._check(images, concepts, random)
        check_name("correction", correction, CORRECTIONS)
        level, permutations = check_level(level), check_count("permutations", permutations)
        target = check_count("target", target, 0)
        gradients = self._gradients(images, target, keep)
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
                    fitted = self.cav.fit(activation_rows(maps[layer], pool=self.cav.pool), own[layer][0])
                except ValueError as error:
                    raise ValueError(f"{with_layer}: {error}") from error
                g = gradient_rows(gradients[layer], pool=self.cav.pool)
                cell = self._cell(name, layer, target, fitted, own[layer][1], g, permutations)
                unused = left_out(fitted.used, len(exemplars), [len(s) for s in random])
                cells.append(replace(cell, warning="; ".join(filter(None, (cell.warning, unused)))))
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

    def _activations(self, x: Tensor) -> LayerMaps:
        return activations(self.model, x, self.layers, batch_size=self.batch_size)

    def _gradients(self, x: Tensor, target: int, keep: bool) -> LayerMaps:
        """What the cache holds for each layer; one pass makes what is missing."""
        made = lru_cache(
            lambda: class_gradients(
                self.model, x, target, self.layers, score=self.explained, batch_size=self.batch_size
            )
        )
        words = ("gradients", target, self.explained)
        return {
            layer: self._cache.get(
                self.model, x, (*words, layer), lambda layer=layer: made()[layer], keep=keep
            )
            for layer in self.layers
        }

    def _negatives(
        self, random: Sequence[Tensor], maps_of: Callable[[], Sequence[LayerMaps]], layer: str, keep: bool
    ) -> tuple[Negatives, dict[str, Tensor]]:
        """The negative sets of a layer, and the random CAVs (baseline, d) by baseline."""

        def held(words: tuple[object, ...], make: Callable[[], Any]) -> Any:
            words = (*words, layer, *((id(s), version_of(s)) for s in random))
            every = tuple(random)  # kept with the value, so that no id is used again
            return self._cache.get(self.model, random[0], words, lambda: (every, make()), keep=keep)[1]

        def stacked() -> Negatives:
            maps = maps_of()
            for i, m in enumerate(maps):
                check_varied(f"random set {i} at layer {layer!r}", m[layer])
            return Negatives.of([activation_rows(m[layer], pool=self.cav.pool) for m in maps], seed=seed)

        seed = self.cav.seed if len(set(map(len, random))) > 1 else 0  # equal sets are used whole
        own = held(("stacked", self.cav.pool, seed), stacked)
        wanted = dict.fromkeys((self.baseline, *(("pairs",) if self.sets else ())))
        return own, {
            baseline: held(
                ("random CAVs", self.cav, baseline),
                lambda baseline=baseline: random_cavs(self.cav, own, baseline, layer),
            )
            for baseline in wanted
        }

    def _check(self, images: Tensor, concepts: Mapping[str, Tensor], random: Sequence[Tensor]) -> None:
        check_model(self.model, self.layers)
        if not len(concepts):
            raise ValueError("concepts must be one name with exemplars or more, got none")
        check_sequence("random", random, "sets of images (20 are usual)", least=2)
        named = {"images": images, **{f"concept {k!r}": v for k, v in concepts.items()}}
        named |= {f"random set {i}": s for i, s in enumerate(random)}
        for name, x in named.items():
            check_images(name, x)
            check_size(name, x, "images", images)
