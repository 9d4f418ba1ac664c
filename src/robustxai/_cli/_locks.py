"""File locks that a killed process cannot leave behind.

The operating system drops the lock when its holder dies, however it dies; a lock that is only the presence of a file
stays. One run at a time holds `build/run.lock`; the workflow and the jobs that it started watch that lock and stop when
it is dropped, so that after `kill -9` nothing goes on writing in the background. It knows nothing about chapters.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

RUN_LOCK = "ROBUSTXAI_RUN_LOCK"
RUN_ID = "ROBUSTXAI_RUN_ID"


def held_elsewhere(path: Path) -> bool:
    """Whether some process holds the lock on this file."""
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def exclusive(path: Path, *, waiting: str = "") -> Iterator[None]:
    """Hold the lock on a file, waiting for it as long as it takes; say `waiting` once if that is needed.

    No process that is started meanwhile inherits it: the lock ends with its holder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if waiting:
            print(waiting, file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def announce(path: Path, run_id: str) -> dict[str, str]:
    """Write beside a lock that is held who holds it; the environment that tells jobs which run they belong to."""
    _holder(path).write_text(run_id, encoding="utf-8")
    return {RUN_LOCK: str(path), RUN_ID: run_id}


def _holder(path: Path) -> Path:
    """The file with the name of the run: not the lock itself, which some systems let only its holder open."""
    return path.with_suffix(".id")


def run_is_over(path: Path, run_id: str) -> bool:
    """Whether the run that announced `run_id` has dropped the lock, or another one took it."""
    try:
        return _holder(path).read_text(encoding="utf-8") != run_id or not held_elsewhere(path)
    except FileNotFoundError:  # the build folder was removed
        return True


def abandoned() -> bool:
    """Whether a local run started this process and has died; False for a job that none started, as on a cluster."""
    return RUN_LOCK in os.environ and run_is_over(Path(os.environ[RUN_LOCK]), os.environ[RUN_ID])


def stop_when_abandoned(*, every: float = 0.5, grace: float = 10.0) -> None:
    """End this process, as Ctrl-C would, soon after the run that started it has died.

    Does nothing for a job that no local run started, such as one on a cluster.
    """
    if RUN_LOCK not in os.environ:
        return

    def watch() -> None:
        while not abandoned():
            time.sleep(every)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(grace)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
