"""Snakemake as the child of a run: it stops when that run dies, and a stop is no traceback.

    python -m robustxai._cli._snakemake ARGUMENTS...

It takes Snakemake's own arguments and knows nothing about the workflow.
"""

import os
import signal
import sys

from robustxai._cli._locks import stop_when_abandoned


def main() -> None:
    """Exit with Snakemake's code.

    Ctrl-C reaches the running jobs as well; here it means that no further ones begin, which Snakemake understands by
    SIGTERM: an exception in its loop would be a page of traceback.
    """
    signal.signal(signal.SIGINT, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    stop_when_abandoned()
    from snakemake.cli import main as snakemake

    snakemake(sys.argv[1:])


if __name__ == "__main__":
    main()
