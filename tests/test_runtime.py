"""runtime: devices by name, repeatability, the record of the machine, the stopwatch."""

import json
import math
import os
import subprocess
import time
from importlib.metadata import version

import pytest
import torch

from robustxai import __version__, runtime


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
    with pytest.raises(ValueError, match='device must be one of "auto", "cpu", "cuda", "cuda:1", "mps", got'):
        runtime.device(name)


def test_absent_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device must be .* here, got 'cuda', which is not available"):
        runtime.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert runtime.device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match=r"device must be a CUDA device in \[0, 1\] here, got 'cuda:2'"):
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
    with pytest.raises(ValueError, match=r"seed must be an integer in \[0, 2\*\*32 - 1\], got -1"):
        runtime.deterministic(-1)


def test_environment_is_plain_and_complete():
    record = runtime.environment("cpu")
    assert json.loads(json.dumps(record)) == record
    assert record["device"] == "cpu" and record["threads"] >= 1 and record["commit"]
    assert record["versions"]["torch"] == version("torch")


def test_commit_outside_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "checkout", lambda: None)
    assert runtime.commit() == f"v{__version__}"
    monkeypatch.setattr(runtime, "checkout", lambda: tmp_path)  # a tarball: sources without a git history
    assert runtime.commit() == f"v{__version__}"


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


def convolved(seed: int) -> torch.Tensor:
    """A gradient through two convolutions, with a mode that threads do not inherit."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 3, 32, 32, generator=g).requires_grad_(torch.is_grad_enabled())
    w, v = torch.randn(16, 3, 3, 3, generator=g), torch.randn(4, 16, 3, 3, generator=g)
    y = torch.conv2d(torch.conv2d(x, w).tanh(), v).square().sum()
    return torch.autograd.grad(y, x)[0] if y.requires_grad else y


@pytest.mark.parametrize("grad", [True, False])
def test_side_by_side_gives_the_same_bits_for_any_number_of_workers(grad):
    with torch.set_grad_enabled(grad):
        alone = runtime.side_by_side(convolved, range(6), workers=1)
        for workers in (2, 3, None):
            together = runtime.side_by_side(convolved, iter(range(6)), workers=workers)
            assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    assert alone[0].shape == ((8, 3, 32, 32) if grad else ())


def test_side_by_side_keeps_order_threads_and_errors():
    threads = torch.get_num_threads()

    def waits(item):
        time.sleep(0.02 * (3 - item))
        return item, torch.get_num_threads()

    assert runtime.side_by_side(waits, range(3), workers=3) == [(0, 1), (1, 1), (2, 1)]
    assert runtime.side_by_side(waits, []) == []
    with pytest.raises(ZeroDivisionError):
        runtime.side_by_side(lambda n: 1 // n, [1, 0, 2], workers=2)
    with pytest.raises(ValueError, match="workers must be None or an integer >= 1, got 0"):
        runtime.side_by_side(abs, [1], workers=0)
    assert torch.get_num_threads() == threads


def test_side_by_side_runs_at_the_same_time():
    import threading

    barrier = threading.Barrier(2, timeout=10)  # each call waits for the other
    assert len(runtime.side_by_side(lambda _: barrier.wait(), range(2), workers=2)) == 2


def test_the_cores_of_this_process(monkeypatch):
    assert 1 <= runtime.cores() <= os.cpu_count()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert runtime.cores() == 1
