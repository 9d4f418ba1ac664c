"""What is audited, put together and checked: a network that runs, its images, the layer and the explainers.

Everything that can be wrong with a user's input is found here, before an attack begins.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.arena.auditing.layers import FoundLayer, trace_layer, with_map
from robustxai.arena.auditing.objects import labels_from_csv, masks_from_boxes, masks_from_folder
from robustxai.arena.auditing.pictures import PictureSet, load_pictures
from robustxai.arena.auditing.preflight import Inspected, inspect_network
from robustxai.arena.auditing.settings import AuditSettings
from robustxai.arena.auditing.source import Source
from robustxai.arena.auditing.sources import from_module, load_source
from robustxai.arena.catalogue import EXPLAINERS, find_rows
from robustxai.arena.registry import ExplainerRow
from robustxai.checks import check_count
from robustxai.explainers.reshape import Reshape
from robustxai.runtime import device as named_device

CHOSEN = {
    "fast": ("edge", "GradCAM", "Saliency"),
    "standard": (
        "edge", "centre blob", "GradCAM", "Saliency", "LayerCAM", "GradCAM++", "DiffGradCAM (mean)", "Gradient x Input",
        "SmoothGrad (4)", "IG (6)",
    ),
}  # fmt: skip
"""Explainers by one word: what people use most, with rows that ignore the network beside them. "all" is every row."""
DEFAULT_SIZE = 224
"""Pixels of a side where neither the user nor the network says."""


@dataclass(frozen=True)
class AuditData:
    """What comes with images. masks: a folder, or a tensor (n, 1, H, W). boxes: a JSON file. labels: a CSV file, or one
    class an image. size: of both sides. mean, std: of the network's normalisation, in place of its own.

    >>> AuditData().size is None
    True
    """

    masks: Any = None
    boxes: str | Path | None = None
    labels: Any = None
    size: int | None = None
    mean: Sequence[float | int] | None = None
    std: Sequence[float | int] | None = None


@dataclass(frozen=True)
class Subject:
    """A network that runs, its images, masks (n, 1, H, W) or None, the layer, and the rows to attack, cheap ones first.

    >>> {"inspected", "rows"} <= {*Subject.__dataclass_fields__}
    True
    """

    source: Source
    pictures: PictureSet
    inspected: Inspected
    masks: Tensor | None
    layer: FoundLayer
    rows: tuple[ExplainerRow, ...]
    how: str


def prepare_subject(
    model: str | nn.Module,
    images: Any,
    data: AuditData,
    settings: AuditSettings,
    *,
    layer: str | None = None,
    reshape: Reshape | str | None = None,
    device: str = "auto",
) -> Subject:
    """The subject of an audit. Raises ValueError for whatever is wrong with it; the caller's network stays as it is."""
    rows, where = chosen_rows(settings.explainers), named_device(device)
    if unknown := [name for name in settings.rows if name not in {row.name for row in rows}]:
        raise ValueError(
            f"rows must be explainers of this audit ({', '.join(r.name for r in rows)}), got {unknown[0]!r}"
        )
    source = load_source(model, seed=settings.seed) if isinstance(model, str) else from_module(model)
    source = _normalised(source, data)
    pictures = read_pictures(
        images, data, settings, check_count("size", data.size or source.size or DEFAULT_SIZE)
    )
    net = source.net
    if layer is None and reshape is None:  # what a transformer of this library says of itself
        layer, reshape = getattr(net, "cam_layer", None), getattr(net, "cam_reshape", None)
    if reshape is not None:
        if layer is None:
            raise ValueError("reshape must come with a layer, got none")
        net = copy.deepcopy(net)
        layer = with_map(net, layer, reshape)
    inspected = inspect_network(
        replace(source, net=net), pictures, device=where, batch_size=settings.batch_size
    )
    found = trace_layer(inspected.model.net, inspected.model.normalize(inspected.x[:1]), layer)
    if found.channels_last and found.name is not None:
        if net is source.net:
            inspected = replace(inspected, model=copy.deepcopy(inspected.model))
        found = replace(found, name=with_map(inspected.model.net, found.name, "channels_last"))
    masks = None if pictures.masks is None else pictures.masks.to(where)
    return Subject(
        source, pictures, inspected, masks, found, rows, described(images, len(pictures.x), settings.seed)
    )


def chosen_rows(explainers: str | Sequence[str]) -> tuple[ExplainerRow, ...]:
    """Rows by a word of `EXPLAINER_SETS` or by names, the cheap ones first. Raises ValueError for other names.

    >>> [row.name for row in chosen_rows("fast")]
    ['edge', 'GradCAM', 'Saliency']
    """
    names = (
        [*EXPLAINERS]
        if explainers == "all"
        else CHOSEN.get(explainers, explainers)
        if isinstance(explainers, str)
        else explainers
    )
    return tuple(find_rows([*names]))


def read_pictures(images: Any, data: AuditData, settings: AuditSettings, size: int) -> PictureSet:
    """Images with the masks and labels that come with them. Raises ValueError."""
    pictures = load_pictures(images, n=settings.n, size=size, seed=settings.seed)
    masks, labels = pictures.masks, pictures.labels
    if data.masks is not None and data.boxes is not None:
        raise ValueError("masks and boxes must not both be given")
    if not pictures.files and (isinstance(data.masks, (str, Path)) or data.boxes is not None):
        raise ValueError("masks and boxes in files must come with images in a folder")
    if isinstance(data.masks, (str, Path)):
        masks = masks_from_folder(data.masks, pictures, size)
    elif data.boxes is not None:
        masks = masks_from_boxes(data.boxes, pictures, size)
    elif data.masks is not None:
        masks = _masks(data.masks, pictures.x)
    if isinstance(data.labels, (str, Path)):
        labels = labels_from_csv(data.labels, pictures)
    elif data.labels is not None:
        labels = tuple(data.labels.tolist() if isinstance(data.labels, Tensor) else data.labels)
        if len(labels) != len(pictures.x):
            raise ValueError(
                f"labels must be one for each of the {len(pictures.x)} images, got {len(labels)}"
            )
    return replace(pictures, masks=masks, labels=labels)


def described(images: Any, n: int, seed: int) -> str:
    """How the images came to be these, for the report.

    >>> described(torch.zeros(2, 3, 4, 4), 2, 0)
    'given as a tensor'
    """
    if not isinstance(images, (str, Path)):
        return "given as a tensor"
    return f"read from {Path(images).name or images}, drawn with seed {seed} where it holds more"


def _normalised(source: Source, data: AuditData) -> Source:
    if (data.mean is None) != (data.std is None):
        raise ValueError("mean and std must be given together")
    return source if data.mean is None else replace(source, mean=data.mean, std=data.std)


def _masks(masks: Any, x: Tensor) -> Tensor:
    found = torch.as_tensor(masks).float()
    found = found[:, None] if found.ndim == 3 else found
    if found.shape != (len(x), 1, *x.shape[2:]):
        raise ValueError(
            f"masks must be (n, 1, H, W) = {(len(x), 1, *x.shape[2:])}, got shape {tuple(found.shape)}"
        )
    return found
