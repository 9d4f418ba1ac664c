"""File locks that a killed process cannot leave behind.

The operating system drops a `flock` when its holder dies, however it dies; a lock that is only the presence
of a file stays. One run at a time holds `build/run.lock`; the jobs it started watch that lock and stop when
it is dropped, so that after `kill -9` nothing goes on writing in the background. It knows nothing about
chapters.
"""

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUN_LOCK = "ROBUSTXAI_RUN_LOCK"
RUN_ID = "ROBUSTXAI_RUN_ID"


def held_elsewhere(path: Path) -> bool:
    """Whether some process holds the lock on this file."""
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@contextmanager
def exclusive(path: Path, *, waiting: str = "") -> Iterator[int]:
    """Hold the lock on a file, waiting for it as long as it takes; say `waiting` once if that is needed.

    Gives the file descriptor: the lock lasts until every process that inherited it has ended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def run_is_over(path: Path, run_id: str) -> bool:
    """Whether the run that wrote `run_id` into its lock file has dropped the lock, or another one took it."""
    return path.read_text() != run_id or not held_elsewhere(path)


def stop_when_abandoned(*, every: float = 0.5, grace: float = 10.0) -> None:
    """End this process, as Ctrl-C would, soon after the run that started it has died.

    Does nothing for a job that no local run started, such as one on a cluster.
    """
    if RUN_LOCK not in os.environ:
        return
    path, run_id = Path(os.environ[RUN_LOCK]), os.environ[RUN_ID]

    def watch() -> None:
        while not run_is_over(path, run_id):
            time.sleep(every)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(grace)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
