"""Where and how a run happens: the device, determinism, cores, a record of the machine, and what a run costs.

Knows nothing about models, data or claims. Notebooks and the command line call it; the methods take a device
or a generator from their caller and never read them here.
"""

import os
import platform
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from robustxai import __version__

Item = TypeVar("Item")
Result = TypeVar("Result")

RECORDED = ("robustxai", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "diffusers")


def device(name: str = "auto") -> torch.device:
    """The torch device called `name`: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1" or "mps".

    Raises ValueError for a name that is none of these and for a device this machine does not have.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (":" in name and not (kind == "cuda" and index.isdecimal())):
        raise ValueError(f'device must be one of "auto", "cpu", "cuda", "cuda:1", "mps", got {name!r}')
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise ValueError(f'device must be "auto" or "cpu" here, got {name!r}, which is not available')
    if index and int(index) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(
            f"device must be a CUDA device in [0, {count - 1}] here, got {name!r}, which does not exist"
        )
    return torch.device(name)


def deterministic(
    seed: int, *, device: torch.device | str = "cpu", strict: bool = False, tf32: bool = False
) -> torch.Generator:
    """Make this process repeatable and return a generator on `device` seeded with `seed` (0 to 2**32 - 1).

    Seeds the global generators too, because layer initialisation and dropout draw from them; sets the cuBLAS
    workspace, cuDNN and `use_deterministic_algorithms`. An operation without a deterministic form warns, or
    raises with `strict=True`. `tf32=False` keeps float32 products at full precision, as a CPU does.
    Call it before the first CUDA call of the process: cuBLAS reads its setting once.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be an integer in [0, 2**32 - 1], got {seed}")
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=not strict)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - scikit-learn and friends fall back to this generator
    torch.manual_seed(seed)
    return torch.Generator(device=device).manual_seed(seed)


def cores() -> int:
    """The processor cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def side_by_side(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int | None = None
) -> list[Result]:
    """[function(i) for i in items], in `workers` threads (None: `cores`), each operation in a single one.

    For work on several small networks, which one core runs as fast as two do: whole networks run in parallel
    instead. An operation that is not split adds in the same order everywhere, so the results are the same bits for any
    number of workers. `function` must be safe to call from several threads, and calls that share a network must not
    change its mode or put hooks of torch's own on it. The first error in the order of `items` is raised, once all calls
    that had begun have ended.
    Raises ValueError for fewer than 1 worker.

    >>> side_by_side(lambda n: n * n, [1, 2, 3], workers=2)
    [1, 4, 9]
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be None or an integer >= 1, got {workers}")
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()

    def call(item: Item) -> Result:
        with torch.set_grad_enabled(grad):  # a mode of each thread
            return function(item)

    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers or cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(call, items))
    finally:
        torch.set_num_threads(threads)


def checkout() -> Path | None:
    """The root of the repository this package runs from, or None when it is an installed copy."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "src" / "robustxai").is_dir() else None


def commit() -> str:
    """The commit of the checkout (with "-dirty" if sources changed since), or the version, as in "v0.1.0"."""
    root = checkout()
    if root is None or not (root / ".git").exists() or shutil.which("git") is None:
        return f"v{__version__}"

    def git(*args: str) -> str:
        return subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True).stdout.strip()

    head = git("rev-parse", "--short=12", "HEAD")
    if not head:
        return f"v{__version__}"
    return head + ("-dirty" if git("status", "--porcelain", "--", "src", "notebooks", "claims.yml") else "")


def environment(device: torch.device | str = "cpu") -> dict[str, object]:
    """What a result depends on: device, versions, commit, threads. Plain values, ready for JSON."""
    versions = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    where = torch.device(device)
    return {
        "device": where.type,
        "device_name": torch.cuda.get_device_name(where) if where.type == "cuda" else platform.machine(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "commit": commit(),
        "versions": versions,
    }


def peak_memory_mb(device: torch.device | str = "cpu") -> float:
    """The most memory used so far, in MiB: of this process, or of a CUDA card. NaN where unknown."""
    where = torch.device(device)
    if where.type == "cuda":
        return torch.cuda.max_memory_allocated(where) / 2**20
    if sys.platform == "win32":
        return float("nan")
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


class Stopwatch:
    """Seconds between `with Stopwatch() as watch:` and the end of the block, in `watch.seconds`.

    Waits for a CUDA `device` at both ends, because kernels run behind the caller's back. Inside the block
    `seconds` is the time so far.
    """

    def __init__(self, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self._started = self._stopped = None

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def __enter__(self) -> "Stopwatch":
        self._started, self._stopped = self._now(), None
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped = self._now()

    @property
    def seconds(self) -> float:
        """Seconds of the block, or so far; raises ValueError before the block began."""
        if self._started is None:
            raise ValueError("this Stopwatch has not started: use it as `with Stopwatch() as watch:`.")
        return (self._now() if self._stopped is None else self._stopped) - self._started
