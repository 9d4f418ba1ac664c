"""The paper's two stages of training a network of ImageNet on another set: the new head first, then all of it.

While the body is frozen its batch norms are too, weights and statistics (pitfall P9).
"""

from pathlib import Path

from jaxtyping import Float, Int64
from torch import Tensor

from robustxai.nets import HeadedClassifier, RandomShift, fit

EPOCHS = (10, 7)
RATES = (1e-3, 1e-4)
DECAY, BATCH = 1e-5, 64
PARTS = (("head",), None)  # what learns: the head, then everything


def fine_tune_classifier(
    model: HeadedClassifier,
    x: Float[Tensor, "n 3 height width"],
    y: Int64[Tensor, " n"],
    *,
    epochs: tuple[int, int] = EPOCHS,
    rates: tuple[float, float] = RATES,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: bool | str = False,
) -> None:
    """Train `model` in place on images in [0, 1] (spec 3.2): `epochs` of Adam at `rates`, mirrored at random; 0 epochs
    leave a stage out. The frozen part of VGG are its convolutions, as in the paper.

    checkpoint: a file name, from which each stage makes its own. The last image is left out where it would be alone
    in its batch: the head's batch norm needs two. Raises ValueError for fewer than two images.
    """
    if len(x) < 2:
        raise ValueError(f"x must hold 2 images or more, for the batch norm of the head, got {len(x)}")
    count = len(x) - (len(x) % BATCH == 1)
    for stage, parts in enumerate(PARTS):
        if epochs[stage] > 0:
            fit(
                model, x[:count], y[:count], epochs=epochs[stage], lr=rates[stage], optimizer="adam",
                schedule="constant", weight_decay=DECAY, batch_size=BATCH, augment=RandomShift(0, flip=True),
                params=parts, seed=seed + stage, progress=progress, checkpoint_seconds=300.0,
                checkpoint=checkpoint and checkpoint.with_stem(f"{checkpoint.stem}-{stage}"),
            )  # fmt: skip
