"""Before anything is attacked: does the network run on the images, what does it return, and what will it all cost?

Knows networks and images; knows no explainer. What is wrong is one sentence; what is odd, a warning.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from robustxai.arena.auditing.network import AuditedNetwork, kind_of_outputs
from robustxai.arena.auditing.pictures import PictureSet, class_indices
from robustxai.arena.auditing.source import Source
from robustxai.checks import as_target, check_images
from robustxai.metrics import accuracy
from robustxai.nets.softplus import unsmoothed
from robustxai.runtime import Stopwatch

T = TypeVar("T")
SAVED = 2.2
"""Memory of an attack on a map as a multiple of what one pass keeps for its gradient: a map needs it twice."""


@dataclass(frozen=True)
class Inspected:
    """A network that runs on these images.

    target: predicted classes (n,). classes: how many. probability: of the predicted class, mean. accuracy: on the
    labels, None without. warnings: sentences. smooth: whether its kinks can be replaced, so that gradients of maps are
    true. seconds: of one forward pass of one image. megabytes: that an attack on one image needs, about.

    >>> {"target", "seconds"} <= {*Inspected.__dataclass_fields__}
    True
    """

    model: AuditedNetwork
    x: Tensor
    target: Tensor
    classes: int
    accuracy: float | int | None
    warnings: tuple[str, ...]
    smooth: bool
    seconds: float | int
    megabytes: float | int
    batch_size: int


def in_batches(run: Callable[[int], T], batch_size: int) -> tuple[T, int]:
    """run(batch size), halved whenever memory is not enough; the result, and the batch size that fitted.

    >>> in_batches(lambda n: n, 8)
    (8, 8)
    """
    while True:
        try:
            return run(batch_size), batch_size
        except (torch.OutOfMemoryError, RuntimeError) as error:
            short = isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
            if not short or batch_size == 1:
                raise
        batch_size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def inspect_network(
    source: Source, pictures: PictureSet, *, device: torch.device, batch_size: int = 16
) -> Inspected:
    """Run the network once on all images and say what was found.

    Raises ValueError: training mode with batch norm or dropout; no logits (n, classes); NaN; a network that does not
    take such images.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    >>> pictures = PictureSet(torch.rand(2, 3, 2, 2), ("a", "b"))
    >>> found = inspect_network(Source(net, "mine"), pictures, device=torch.device("cpu"))
    >>> found.classes, found.accuracy
    (2, None)
    """
    plain = AuditedNetwork(source.net, mean=source.mean, std=source.std).to(device)
    x = suited(plain, check_images("images", pictures.x)).to(device)
    with torch.no_grad():
        outputs = kind_of_outputs(plain, x[: min(4, len(x))])
        model = AuditedNetwork(source.net, mean=source.mean, std=source.std, outputs=outputs).to(device)
        with Stopwatch(device) as watch:
            parts, batch_size = in_batches(lambda n: [model(part) for part in x.split(n)], batch_size)
    logits = torch.cat(parts)
    if not logits.isfinite().all():
        wrong = int((~logits.isfinite()).any(1).nonzero()[0])
        raise ValueError(f"MODEL must return finite logits, got NaN or infinity on {pictures.names[wrong]}")
    warnings = [*source.notes, *_about(outputs)]
    if bool((logits == logits[:1]).all()) and len(logits) > 1:
        warnings.append(
            "The network gives the same logits for every image: it does not look at them, or is saturated."
        )
    target, count = as_target(None, logits), logits.shape[1]
    labels = class_indices(pictures.labels, source.classes, count)
    right = (
        None
        if labels is None
        else accuracy(logits if count > 1 else torch.cat([-logits, logits], 1), labels.to(device))
    )
    if right is not None and right < 2 / max(count, 2):
        warnings.append(
            f"The network is right on {right:.0%} of these images, and chance is {1 / max(count, 2):.2g}: check its "
            "weights, the normalisation (--mean, --std), the size, and the order of the classes."
        )
    smooth, words = kinks(model)
    seconds = watch.seconds / len(x)
    return Inspected(
        model,
        x,
        target,
        count,
        right,
        (*warnings, *words),
        smooth,
        seconds,
        memory_of(model, x[:1]),
        batch_size,
    )


def suited(model: nn.Module, x: Tensor) -> Tensor:
    """Colour images as grey ones where the network's first convolution takes one channel.

    >>> suited(nn.Conv2d(1, 2, 3), torch.rand(1, 3, 4, 4)).shape
    torch.Size([1, 1, 4, 4])
    """
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.in_channels != 1 or x.shape[1] != 3:
        return x
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True).clamp(0, 1)


def _about(outputs: str) -> Iterable[str]:
    """Warnings about what the network returns."""
    if outputs != "logits":
        yield (
            f"The network returns probabilities ({outputs}); their logarithms are explained, as if they were logits. "
            "Where a probability is 1 to all digits its gradient is lost: remove the last layer to be sure."
        )


def kinks(model: nn.Module) -> tuple[bool, tuple[str, ...]]:
    """Whether every kink of a network can be smoothed for gradients of gradients, and a warning where not.

    >>> kinks(nn.Sequential(nn.Linear(2, 2), nn.ReLU())), kinks(nn.Hardswish())[0]
    ((True, ()), False)
    """
    left = unsmoothed(model)
    if not left:
        return True, ()
    return False, (
        f"The kinks of your network could not be smoothed ({', '.join(left)}), so numbers of maps made of gradients "
        "are upper limits only.",
    )


def memory_of(model: nn.Module, x: Tensor) -> float:
    """About how many megabytes an attack on the map of these images needs: what a pass keeps for gradients, twice.

    >>> memory_of(nn.Sequential(nn.Linear(1000, 1000), nn.ReLU()), torch.rand(1, 1000)) > 0
    True
    """
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(x.clone().requires_grad_())
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    return SAVED * sum(size for where, size in kept.items() if where not in weights) / 2**20
