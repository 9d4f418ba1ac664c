"""A network by name: the shipped one, else the one that its recipe trained once and that a cache folder keeps.

What every chapter's study asks for. Knows no chapter: names, recipes and folders come in as arguments.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from robustxai.nets import recipes
from robustxai.nets.entry import ZooEntry
from robustxai.nets.zoo import PACKAGE_WEIGHTS, holds, pretrained, zoo


def folder_of(name: str, cache: str | Path) -> Path | None:
    """The weights folder that has the network: the shipped one before `cache`; None where neither has it yet.

    Raises WeightsError for a manifest that cannot be read.

    >>> folder_of("diffgradcam-vit-s0", "nowhere").name, folder_of("no-such-network", "nowhere")
    ('weights', None)
    """
    if name in zoo():
        return PACKAGE_WEIGHTS
    return Path(cache) if holds(cache, name) else None


def shipped_or_trained(
    name: str,
    recipe: recipes.Recipe | None,
    *,
    cache: str | Path,
    seed: int,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """The network `name` in eval mode on `device`; where nobody has it, the recipe is run first.

    recipe: makes it with `seed`, on `device`, into `cache`, where it is found the next time; a killed run goes on from
    its checkpoints. None: it is not made here. Raises ValueError, with the near names, when the network is not there
    and no recipe makes it, and WeightsError (a ValueError) for a missing or altered file.

    >>> shipped_or_trained("diffgradcam-vit-s0", None, cache="nowhere", seed=0).training
    False
    """
    folder = folder_of(name, cache)
    if folder is None and recipe is not None:
        folder = Path(cache)
        recipes.run(recipe, out=folder, seed=seed, device=device)
    return pretrained(name, weights_dir=folder, map_location=device)


def entry_of(name: str, cache: str | Path) -> ZooEntry:
    """What the manifest says of a network that is shipped or in `cache`. Raises ValueError where neither has it.

    >>> entry_of("diffgradcam-vit-s0", "nowhere").seed
    0
    """
    folder = folder_of(name, cache)
    if folder is None:
        raise ValueError(f"network {name!r} is neither shipped nor in {cache}; ask for the network first")
    return zoo(folder)[name]
