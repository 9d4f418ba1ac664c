"""The built site in a headless browser that may not leave the folder. Knows nothing about how the site
is built.

The site is read from `ROBUSTXAI_SITE`, or from `build/site` of this checkout. Tests that need it, or a
browser, are skipped with a reason where one is missing.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("ROBUSTXAI_SITE", ROOT / "build" / "site"))
EXTENSIONS = ROOT / "book" / "_ext"
WITHOUT_TEXT = {"index.html"}  # only sends the reader on to the first page

sys.path.insert(0, str(EXTENSIONS))


def site_pages() -> list[str]:
    """The pages of the built site, as paths relative to it; none if it is not built."""
    found = (page.relative_to(SITE) for page in SITE.rglob("*.html"))
    return sorted(
        p.as_posix() for p in found if "_static" not in p.parts and p.as_posix() not in WITHOUT_TEXT
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        missing = pytest.param("", marks=pytest.mark.skip(reason="the site is not built: run `make book`"))
        metafunc.parametrize("name", site_pages() or [missing])


@pytest.fixture(scope="session")
def site() -> Path:
    if not site_pages():
        pytest.skip("the site is not built: run `make book`, or name its folder in ROBUSTXAI_SITE")
    return SITE


@pytest.fixture(scope="module")
def context(site: Path, browser) -> Iterator:
    """One browser context for a file of tests, with every request that is not for a file refused."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(60_000)  # milliseconds: slow machines are not broken sites
    context.route(lambda url: not url.startswith(("file:", "data:", "blob:")), lambda route: route.abort())
    yield context
    context.close()


@dataclass
class Visit:
    """An open page and everything that went wrong on it."""

    page: object
    troubles: list[str] = field(default_factory=list)


@pytest.fixture
def visit(context, site: Path) -> Iterator:
    """Open a page of the site by its name and listen to its console and its requests."""
    opened = []

    def open_page(name: str, query: str = "") -> Visit:
        page = context.new_page()
        opened.append(page)
        seen = Visit(page)
        page.on("console", lambda m: seen.troubles.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: seen.troubles.append(str(error)))
        page.on("requestfailed", lambda request: seen.troubles.append(f"not loaded: {request.url}"))
        page.goto((site / name).as_uri() + query)
        return seen

    yield open_page
    for page in opened:
        page.close()
