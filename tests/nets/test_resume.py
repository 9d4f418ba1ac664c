"""A run that is killed and resumed gives the same bits as one that is not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import data, same, tiny

from robustxai.nets import RandomShift, fit
from robustxai.nets.checkpoint import load_tensors

EPOCHS, STEPS = 4, 24

KILLED = """
import sys, time
from pathlib import Path
import test_resume
from robustxai.nets import RandomShift

class Slow(RandomShift):
    def __call__(self, x, generator):
        print(flush=True)
        time.sleep(0.05)
        return super().__call__(x, generator)

    def __repr__(self):
        return repr(RandomShift(self.pixels, self.padding, self.flip))

test_resume.train(Path(sys.argv[1]), augment=Slow(2, flip=True))
"""


def train(checkpoint: Path | None, *, augment=RandomShift(2, flip=True), lr=3e-3, seconds=0.0):  # noqa: B008
    model = tiny()
    history = fit(
        model, *data(), epochs=EPOCHS, batch_size=16, lr=lr, augment=augment, ema=0.9, seed=3,
        checkpoint=checkpoint, checkpoint_seconds=seconds, progress=False,
    )  # fmt: skip
    return model, history


def test_resuming_after_kill_9_gives_the_same_bits(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(checkpoint)],
        cwd=Path(__file__).parent,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(["", *sys.path])),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    for _ in range(10):  # the tenth step has begun: in the middle of the second epoch
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()

    _, record = load_tensors(checkpoint)
    assert 0 < record["done"] < STEPS and record["done"] % 6 != 0
    resumed, history = train(checkpoint)
    whole, expected = train(None)
    assert same(resumed, whole)
    assert history.loss == expected.loss and history.accuracy == expected.accuracy
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".safetensors") == ["run.safetensors"]


def test_a_finished_run_is_read_back_and_other_settings_are_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    first, history = train(checkpoint, seconds=60.0)
    began = time.monotonic()
    again, told = train(checkpoint)
    assert same(first, again) and told == history
    assert time.monotonic() - began < sum(history.seconds) + 5
    with pytest.raises(ValueError, match=r"run\.safetensors was made with lr=0\.003, not 0\.1"):
        train(checkpoint, lr=0.1)
