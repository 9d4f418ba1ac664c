"""Everything that is measured of a set of counterfactuals, per image and of the set, in one place.

Knows the networks that judge; knows nothing about how the counterfactuals were made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from robustxai.ace import metrics as M
from robustxai.ace.checks import GivenTarget
from robustxai.ace.diffusion_filter import DiffusionFilter
from robustxai.ace.metrics.flips import PURIFIED_DRAWS
from robustxai.metrics import Interval, t_interval
from robustxai.metrics.statistics import share_interval
from robustxai.shapes import Images, PerSample

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


def share_over_seeds(parts: Sequence[PerSample]) -> Interval:
    """The mean over seeds of values in [0, 1], such as flips, one part (n,) a seed on images of its own; nan left out.

    From the smaller of the lower to the larger of the upper ends of Student's t over the seeds and of the exact
    binomial interval over all images, within [0, 1]: t alone is a point where every network flips everything, however
    few the images. Values between 0 and 1 count as that part of a hit, rounded outwards.

    >>> found = share_over_seeds([torch.ones(20), torch.ones(20)])
    >>> found.value, round(found.low, 2), found.high
    (1.0, 0.91, 1.0)
    """
    kept = [part[~part.isnan()].cpu().double() for part in parts]
    seeds, n = t_interval([float(part.mean()) for part in kept]), sum(map(len, kept))
    hits = round(float(sum(part.sum() for part in kept)), 6)
    low, high = share_interval(math.floor(hits), n)[0], share_interval(math.ceil(hits), n)[1]
    if math.isnan(seeds.low):  # one seed says nothing of others
        return seeds
    low, high = max(0.0, min(low, seeds.low)), min(1.0, max(high, seeds.high))
    return Interval(seeds.value, low, high, n, sum(map(len, parts)) - n, "t and binomial")
