"""What all tests share: the one browser, for the built site and for figures alike, and calls as a user makes them.

Playwright keeps an event loop running in its thread for as long as it lives, and nothing else that needs a loop
(another browser, a kernel) may start meanwhile. So the browser lives as long as the module that asked for it, and is
gone before the next one begins. Test files that need a browser ask for the fixture `browser` and start none.
"""

import shutil
from collections.abc import Iterator

import jaxtyping
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()


@pytest.fixture
def as_shipped() -> Iterator[None]:
    """Run without the runtime type checks, as a user does: the library's own sentences must come out."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A headless browser; skips with a reason where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as engine:
        running = engine.chromium.launch(
            executable_path=found, args=FLAGS, timeout=180_000
        )  # milliseconds: busy machines start slowly
        yield running
        running.close()
