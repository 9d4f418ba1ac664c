"""What the tests of the arena share: small networks, and the command inside this process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from robustxai.cli import main

sys.path.insert(0, str(Path(__file__).parent))
MODELS = '''
import time, torch
from torch import nn

def conv(act=nn.ReLU, classes=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), act(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), act(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)).eval()

def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)).eval()

def frozen():
    """A head of convolutions, no parameter of which can learn."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.ReLU(inplace=True),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    return net.requires_grad_(False)

def training():
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def maps():
    return nn.Conv2d(3, 2, 1)

def nan():
    net = conv()
    net[0].weight.data[:] = float("nan")
    return net

def one_logit():
    return conv(classes=1)

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = conv()
    def forward(self, x):
        time.sleep(0.02)
        return self.net(x)

def slow():
    return Slow()
'''


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with networks in models.py, and pictures of 16 pixels: ten in images.npz, four in few.npz."""
    import numpy as np
    import torch

    folder = tmp_path_factory.mktemp("audited")
    (folder / "models.py").write_text(MODELS)
    x = (
        torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        .mul(255)
        .round()
        .div(255)
        .numpy()
    )
    np.savez(folder / "images.npz", images=x)
    np.savez(folder / "few.npz", images=x[:4])
    return folder


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`robustxai ...` in this process: exit code, what it printed, and what it said on stderr."""

    def call(*arguments: str, cwd: Path) -> tuple[int, str, str]:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["robustxai", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call
