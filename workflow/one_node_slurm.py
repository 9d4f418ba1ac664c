"""A Slurm of one node on this machine, for trying what a cluster would do: started, used by one command, stopped.

The daemons are those of Debian's `slurm-wlm` and `munge`; there is no accounting, so jobs are looked up by `squeue`.
Everything they write lies in one folder. It needs root, as a node does to start jobs. It knows nothing about chapters.

    python workflow/one_node_slurm.py FOLDER COMMAND ...
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

PLACE = Path("/etc/slurm/slurm.conf")
"""Where jobs look, which have no environment of ours; a link to the folder's own file while it is used."""
PARTS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")
CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MailProg=/bin/true
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why there can be no Slurm here, or None where there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "a Slurm node needs root"
    absent = [name for name in PARTS if which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)}; Debian has slurm-wlm and munge"
    theirs = PLACE.exists() and not PLACE.is_symlink()  # a link is what a killed run of this file left
    return f"{PLACE} is there: this machine has a Slurm" if theirs else None


def which(name: str) -> str | None:
    """Where a program is, also among those of root."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def configuration(folder: Path, *, host: str, ports: Sequence[int]) -> str:
    """The text of slurm.conf, for all cores of this machine and most of its memory (MiB): nothing is enforced."""
    memory = int(0.9 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20)
    return CONFIGURATION.format(folder=folder, host=host, ports=ports, cpus=os.cpu_count(), memory=memory)


@contextmanager
def daemon(log: Path, *command: str | Path) -> Iterator[subprocess.Popen]:
    """A program in the foreground of nobody, ended at the end; what it says goes to the log."""
    with open(log, "ab") as file:
        process = subprocess.Popen(list(map(str, command)), stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(ready, *processes: subprocess.Popen, what: str, seconds: float = 120) -> None:
    """Wait for a condition. Raises RuntimeError when the time is over or a process has ended."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end or any(process.poll() is not None for process in processes):
            raise RuntimeError(f"{what} did not come up: see the logs")
        time.sleep(0.2)


@contextmanager
def one_node(folder: Path) -> Iterator[None]:
    """A running Slurm with the partition `main`, found by `sbatch` as anywhere else.

    Raises RuntimeError where it cannot run.
    """
    if reason := why_not():
        raise RuntimeError(reason)
    folder = folder.resolve()
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(256))
    key.chmod(0o600)
    host, conf = socket.gethostname().partition(".")[0], folder / "slurm.conf"
    conf.write_text(configuration(folder, host=host, ports=free_ports(2)))
    munge = ("--foreground", "--force", f"--socket={folder}/munge/socket", f"--key-file={key}")
    munge += (f"--pid-file={folder}/munge/pid", f"--seed-file={folder}/munge/seed", "--log-file=/dev/stderr")
    with ExitStack() as running:
        PLACE.parent.mkdir(exist_ok=True)
        PLACE.unlink(missing_ok=True)
        PLACE.symlink_to(conf)
        running.callback(PLACE.unlink)
        start = [
            running.enter_context(daemon(folder / f"{name}.log", which(name) or name, *options))
            for name, options in (("munged", munge), ("slurmctld", ("-D", "-c")), ("slurmd", ("-D",)))
        ]

        def idle() -> bool:
            told = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
            return told.stdout.strip() == "idle"

        wait_until(idle, *start, what="Slurm")
        yield
        subprocess.run(["scancel", "--partition", "main"], capture_output=True)


def main() -> int:
    """The exit code of the command, or 1 with a sentence where there can be no Slurm."""
    if len(sys.argv) < 3:
        sys.exit("usage: python workflow/one_node_slurm.py FOLDER COMMAND ...")
    try:
        with one_node(Path(sys.argv[1])):
            return subprocess.run(sys.argv[2:]).returncode
    except RuntimeError as error:
        print(f"slurm: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
