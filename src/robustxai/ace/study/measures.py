"""Everything that is measured of a set of counterfactuals, per image and of the set, in one place.

Knows the networks that judge; knows nothing about how the counterfactuals were made.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from robustxai.ace import metrics as M
from robustxai.ace.checks import GivenTarget
from robustxai.ace.diffusion_filter import DiffusionFilter
from robustxai.ace.metrics.flips import PURIFIED_DRAWS
from robustxai.shapes import Images

TOUCHED = 0.5 / 255


@dataclass(frozen=True)
class Judges:
    """Who judges: the explained classifier, an independent oracle, a reader of factors, a feature network.

    filter: of the purified flips; the same one at every setting of a study, so that its numbers can be compared.
    """

    classifier: nn.Module
    oracle: nn.Module
    filter: DiffusionFilter
    features: M.Features
    reader: nn.Module | None = None
    draws: int = PURIFIED_DRAWS


def measured(
    judges: Judges,
    x: Images,
    image: Images,
    original: GivenTarget,
    target: GivenTarget,
    *,
    purified: bool = True,
    cout: bool = True,
) -> dict[str, Tensor]:
    """One value an image (n,) of: flip, transfer, purified, high_frequency, l1, l0, touched, linf, cout, similarity,
    mnac.

    l1 is the mean |change|; l0 and touched the shares of pixels changed by more than 2/255 and 0.5/255. purified, cout:
    False leaves them out, as they cost calls of the filter and 52 of the classifier. mnac only with a reader.
    """
    found = {
        "flip": M.flips(judges.classifier, image, target).to(x.dtype),
        "transfer": M.transfer_flips(judges.oracle, x, image, target),
        "high_frequency": M.high_frequency_share(x, image),
        "l1": M.mean_change(x, image),
        "l0": M.changed_share(x, image),
        "touched": M.changed_share(x, image, above=TOUCHED),
        "linf": M.largest_change(x, image),
        "similarity": M.similarity(judges.features, x, image),
    }
    if cout:
        found["cout"] = M.cout(judges.classifier, x, image, original, target).score
    if purified:
        found["purified"] = M.purified_flips(
            judges.classifier, judges.filter, image, target, draws=judges.draws
        ).to(x.dtype)
    if judges.reader is not None:
        before, after = M.upper_half(judges.reader, x), M.upper_half(judges.reader, image)
        found["mnac"] = M.attributes_changed(before, after).to(x.dtype)
    return found


def of_set(
    judges: Judges,
    x: Images,
    image: Images,
    flipped: Bool[Tensor, " n"],
    *,
    repeats: int = 10,
    labels: Bool[Tensor, "m factor"] | None = None,
    query: int = 0,
) -> dict[str, float]:
    """Of the set: fid and sfid with the judges' feature network, and cd if a reader and `labels` are given.

    Real images are all of `x`, fake ones the flipped counterfactuals, as in the paper; NaN where too few flipped.
    """
    nan, enough = float("nan"), int(flipped.sum()) >= 4
    found = {"fid": M.frechet(judges.features, x, image[flipped]) if enough else nan, "sfid": nan, "cd": nan}
    if enough:
        generator = torch.Generator().manual_seed(0)
        found["sfid"] = M.split_frechet(
            judges.features, x[flipped], image[flipped], repeats=repeats, generator=generator
        ).mean
    if judges.reader is not None and labels is not None and enough:
        before, after = (M.upper_half(judges.reader, part[flipped]) for part in (x, image))
        found["cd"] = M.correlation_difference(before, after, labels, query).value
    return found
