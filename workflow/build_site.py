"""Build the static site from the pages in the checkout and the executed chapters, and publish it in one step.

The sources are gathered in `build/site-src` (so the checkout stays clean), Jupyter Book builds them into a
new folder with warnings as errors, and only a complete site takes the place of the old one. It knows nothing
about how chapters were run.

    python workflow/build_site.py --log build/site.log                 # chapters that this machine ran
    python workflow/build_site.py --log build/site.log --committed     # chapters as they are stored
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from fingerprint import fresh_results
from reader_view import for_readers

from robustxai._cli._locks import abandoned, stop_when_abandoned

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("_config.yml", "_toc.yml", "claims.yml", "CITATION.cff", "pyproject.toml", "book", "results")
"""What the site is made of, besides the chapters."""


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, without caches, if it exists."""
    if source.is_dir():
        shutil.copytree(
            source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    elif source.is_file():
        shutil.copy2(source, target)


def assemble(root: Path, target: Path, *, committed: bool = False) -> None:
    """Gather the sources of the site: committed pages and results, over them what this machine ran.

    committed: nothing of this machine, and the executed notebooks as they are stored.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in PAGES:
        copy(root / name, target / name)
    copy(root / "notebooks" if committed else root / "build" / "quick" / "notebooks", target / "notebooks")
    for fresh in [] if committed else fresh_results(root):
        copy(fresh, target / "results" / fresh.parent.name)
    for notebook in target.rglob("*.ipynb"):
        for_readers(notebook)


def build(sources: Path, target: Path, log: Path) -> int:
    """Run Jupyter Book with warnings as errors; everything it says goes to the log. Returns its exit code."""
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(sources)]
    command += ["--path-output", str(target), "--warningiserror", "--nitpick", "--keep-going", "--quiet"]
    with open(log, "w", encoding="utf-8") as file:
        return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, cwd=sources).returncode


def swap(new: Path, published: Path) -> None:
    """Put a complete folder in the place of the published one."""
    old = published.with_name(published.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if published.exists():
        os.replace(published, old)
    os.replace(new, published)
    shutil.rmtree(old, ignore_errors=True)


def say(*lines: str) -> None:
    """Lines on stderr."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def publish(log: Path, *, committed: bool = False) -> int:
    """Build the site and put it in its place; 1, with the warnings on stderr, where it has any.

    A site of committed chapters has no `.complete`, so that `make book` builds its own over it.
    """
    sources, scratch, published = (ROOT / "build" / name for name in ("site-src", "site-new", "site"))
    log.parent.mkdir(parents=True, exist_ok=True)
    assemble(ROOT, sources, committed=committed)
    code = build(sources, scratch, log)
    html = scratch / "_build" / "html"
    if code or not (html / "index.html").is_file():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line or "Error:" in line]
        told = told or lines[-15:]
        say("site: not built; what was there before is unchanged", *told, f"the log is {log}")
        return 1
    if not committed:
        (html / ".complete").touch()
    if abandoned():
        raise KeyboardInterrupt
    swap(html, published)
    shutil.rmtree(scratch, ignore_errors=True)
    return 0


def main() -> int:
    """Exit code 0 with the new site in `build/site`; else 1, or 130 after Ctrl-C, with one sentence or the warnings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument(
        "--committed", action="store_true", help="the notebooks and results as they are stored"
    )
    args = parser.parse_args()
    stop_when_abandoned()
    say("site: building")
    try:
        code = publish(args.log, committed=args.committed)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one while files go is no news
        say("site: stopped; what was there before is unchanged")
        return 130
    except (OSError, shutil.Error) as error:  # such as a full disk
        shutil.rmtree(ROOT / "build" / "site-new", ignore_errors=True)
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        say(f"site: not built, {reason}; what was there before is unchanged")
        return 1
    if args.committed and code == 0:
        print(ROOT / "build" / "site" / "index.html")
    return code


if __name__ == "__main__":
    sys.exit(main())
