"""The browser of the test run: one fixture, gone before the next file of tests begins.

The failure was of the order: pages of the site first, a figure later, in one process. So a run of that order, on a site
of one page, is made here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title><h1>A page</h1></html>'
LOOP = """
import asyncio

def test_no_loop_is_left_running():
    assert asyncio.run(asyncio.sleep(0, "ran")) == "ran"
"""


def test_pages_then_a_loop_then_a_figure_in_one_process(browser, tmp_path: Path) -> None:
    assert browser.is_connected()  # skips where there is none
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "test_loop.py").write_text(LOOP, encoding="utf-8")
    files = ["tests/site/test_pages.py", str(tmp_path / "test_loop.py"), "tests/test_plots.py"]
    chosen = ["-k", "page or loop or slider_moves", "-p", "no:cacheprovider", "-q", "-W", "default"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *files, *chosen],
        cwd=ROOT,
        env={**os.environ, "ROBUSTXAI_SITE": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "5 passed" in done.stdout, done.stdout[-4000:]


def test_nothing_else_starts_a_browser() -> None:
    """Two of them in one process cannot be; see `tests/conftest.py`."""
    starts = re.compile(r"sync_playwright\(|async_playwright\(")
    files = [*ROOT.glob("tests/**/*.py"), ROOT / "conftest.py", *ROOT.glob("book/_ext/*.py")]
    found = {file.relative_to(ROOT).as_posix() for file in files if starts.search(file.read_text("utf-8"))}
    assert found - {"tests/test_browser.py"} == {"tests/conftest.py"}
