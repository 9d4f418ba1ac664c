"""Run chapters as other kinds of processor would: which instructions the kernels may use, and how many threads.

    python workflow/processors.py ranking avx2          # build/processors/avx2/notebooks/ranking.ipynb

`KINDS` names them. What is set holds for torch, oneDNN, MKL and OpenBLAS, as a processor without an instruction lacks
it for all of them. A run that is there already is not repeated. Knows nothing about tolerances.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
PLAIN = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "OPENBLAS_CORETYPE": "Nehalem",
}
KINDS: dict[str, dict[str, str]] = {
    "native": {},
    "avx2": AVX2,
    "default": PLAIN,
    "two-threads": {"OMP_NUM_THREADS": "2"},
}
"""What each kind sets, beside one thread."""


def run(chapter: str, kind: str, *, build: Path = ROOT / "build") -> Path:
    """The chapter executed as this kind of processor would, in the quick profile. Raises CalledProcessError where the
    chapter does not run to its end.
    """
    folder = build / "processors" / kind
    notebook = folder / "notebooks" / f"{chapter}.ipynb"
    if not notebook.is_file():
        command = [sys.executable, str(ROOT / "workflow" / "execute.py"), "--chapter", chapter]
        command += ["--profile", "quick", "--notebook", str(notebook)]
        command += ["--results", str(folder / "results" / f"{chapter}.json")]
        command += ["--log", str(folder / "logs" / f"{chapter}.log")]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | KINDS[kind])
    return notebook


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("chapter")
    parser.add_argument("kind", choices=KINDS)
    args = parser.parse_args()
    print(run(args.chapter, args.kind))


if __name__ == "__main__":
    main()
