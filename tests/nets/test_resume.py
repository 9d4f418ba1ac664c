"""A run that is killed and resumed gives the same bits as one that is not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from robustxai.nets import CompactResNet, RandomShift, fit

SCRIPT = """
import sys, time, torch
from robustxai.nets import CompactResNet, RandomShift, fit
from tests_data import make
torch.set_num_threads(1)
"""


def data(count: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    y = torch.randint(0, 3, (count,), generator=generator)
    x = torch.rand(count, 3, 16, 16, generator=generator)
    x[:, 0] = x[:, 0] * 0.5 + y[:, None, None] * 0.2
    return x, y


def train(checkpoint: Path | None, *, on_epoch=None, augment=None, seed: int = 3, lr: float = 3e-3):
    model = CompactResNet(3, widths=(4, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    history = fit(
        model, *data(), epochs=6, batch_size=16, lr=lr, augment=augment or RandomShift(2, flip=True), ema=0.9,
        seed=seed, checkpoint=checkpoint, checkpoint_seconds=0.0, on_epoch=on_epoch, progress=False,
    )  # fmt: skip
    return model, history


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def test_the_seed_decides_everything() -> None:
    torch.manual_seed(0)
    first, _ = train(None)
    before = torch.get_rng_state()
    torch.manual_seed(1)
    second, history = train(None)
    third, _ = train(None, seed=4)
    assert same(first, second)
    assert not same(first, third)
    assert len(history.loss) == len(history.accuracy) == 6
    torch.manual_seed(0)
    train(None)
    assert before.shape == torch.get_rng_state().shape


def kill_and_resume(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import time, torch
torch.set_num_threads(1)
from pathlib import Path
import test_resume
from robustxai.nets import RandomShift
class Slow(RandomShift):
    def __call__(self, x, generator):
        time.sleep(0.05)
        return super().__call__(x, generator)
    def __repr__(self):
        return repr(RandomShift(self.pixels, self.padding, self.flip))
test_resume.train(Path({str(checkpoint)!r}), augment=Slow(2, flip=True))
"""
    process = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_resuming_after_kill_9_gives_the_same_bits(tmp_path: Path) -> None:
    kill_and_resume(tmp_path)
    from robustxai.nets.checkpoint import load_tensors

    _, record = load_tensors(tmp_path / "run.safetensors")
    assert 0 < record["done"] < 36
    resumed, history = train(tmp_path / "run.safetensors")
    whole, expected = train(None)
    assert same(resumed, whole)
    assert history.loss == expected.loss
    assert history.accuracy == expected.accuracy


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run.safetensors")
    with pytest.raises(ValueError, match=r"run\.safetensors was made with lr=0\.003, not 0\.1"):
        train(tmp_path / "run.safetensors", lr=0.1)
