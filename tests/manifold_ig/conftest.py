import sys
from pathlib import Path

import jaxtyping
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny tensors: more threads only get in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def as_shipped():
    """Run without the runtime shape checks, as a user does: the library's own sentences must come out."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def decoder():
    """A smooth decoder of codes (n, 6) to images (n, 3, 8, 8)."""
    from curved import Net, module

    return module(1, Net)


@pytest.fixture(scope="session")
def encoder():
    from curved import Encoder, module

    return module(2, Encoder)


@pytest.fixture(scope="session")
def classifier():
    from curved import Classifier, module

    return module(3, Classifier)
