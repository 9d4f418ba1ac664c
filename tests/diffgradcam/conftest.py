import sys
from pathlib import Path

import jaxtyping
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def trained():
    """A small honest network with 7 x 7 maps that knows its 4 classes, its training images and their labels."""
    from problems import CLASSES, TINY, squares

    from robustxai.diffgradcam.study.manipulated import Data, train_honest

    x, y, _ = squares(256)
    model = train_honest(Data(x, y, CLASSES), seed=0, epochs=8, shift=1, network=TINY, progress=False)
    return model, x, y


@pytest.fixture
def as_shipped():
    """Run without the runtime shape checks, as a user does: the library's own sentences must come out."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
