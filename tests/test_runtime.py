"""runtime: devices by name, repeatability, the record of the machine, the stopwatch."""

import json
import math
import os
import subprocess
import time
from importlib.metadata import version

import pytest
import torch

from robustxai import runtime


@pytest.fixture
def restore_flags():
    """Put the process-wide switches back, so that the other tests run as they were."""
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    flags = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = flags
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    if workspace is not None:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = workspace


def test_auto_takes_the_best_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert runtime.device() == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert runtime.device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "cpu:1", "cuda:-1", "tpu:0"])
def test_unknown_device(name):
    with pytest.raises(ValueError, match=r"device=.* is not known: use \"auto\""):
        runtime.device(name)


def test_absent_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device='cuda' is not available here"):
        runtime.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert runtime.device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match=r"device='cuda:2' does not exist: CUDA devices here are 0 to 1"):
        runtime.device("cuda:2")


def test_deterministic_repeats(restore_flags):
    def draw():
        generator = runtime.deterministic(7)
        return torch.randn(3, generator=generator), torch.nn.Linear(3, 2).weight.detach()

    (a, wa), (b, wb) = draw(), draw()
    assert torch.equal(a, b) and torch.equal(wa, wb)
    assert torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.equal(a, torch.randn(3, generator=runtime.deterministic(8)))


def test_seed_out_of_range():
    with pytest.raises(ValueError, match="seed=-1 is out of range"):
        runtime.deterministic(-1)


def test_environment_is_plain_and_complete():
    record = runtime.environment("cpu")
    assert json.loads(json.dumps(record)) == record
    assert record["device"] == "cpu" and record["threads"] >= 1 and record["commit"]
    assert record["versions"]["torch"] == version("torch")


def test_commit_outside_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "checkout", lambda: None)
    assert runtime.commit() == f"v{version('robustxai')}"
    monkeypatch.setattr(runtime, "checkout", lambda: tmp_path)  # a tarball: sources without a git history
    assert runtime.commit() == f"v{version('robustxai')}"


def test_commit_says_when_sources_changed(monkeypatch, tmp_path):
    def git(*args):
        subprocess.run(["git", "-C", tmp_path, *args], check=True, capture_output=True)

    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("a = 1\n")
    git("init")
    git("add", ".")
    git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-m", "first")
    monkeypatch.setattr(runtime, "checkout", lambda: tmp_path)
    clean = runtime.commit()
    assert len(clean) == 12
    (tmp_path / "src" / "a.py").write_text("a = 2\n")
    assert runtime.commit() == f"{clean}-dirty"


def test_stopwatch_and_memory():
    watch = runtime.Stopwatch()
    with pytest.raises(ValueError, match="has not started"):
        _ = watch.seconds
    with watch:
        time.sleep(0.02)
        assert watch.seconds >= 0.02
    took = watch.seconds
    time.sleep(0.01)
    assert watch.seconds == took < 5
    before = runtime.peak_memory_mb()
    block = torch.ones(32, 1024, 1024, dtype=torch.uint8)
    after = runtime.peak_memory_mb()
    assert math.isfinite(before) and 10 < before <= after and block.numel() == 32 * 2**20
