"""A real browser for the tests of pages: the system's Chromium, driven by playwright.

A room's conftest.py takes the fixtures over: `from tests.browser import browser, open_page`. Tests that use them are
marked `processes`.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT_SECONDS = 20


def chromium() -> str | None:
    """Return the path of the system's Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Yield a Chromium; skip where there is none.

    One for each file and not for the session: while playwright is open an event loop counts as running in this thread,
    and the asyncio.run of a later test would be refused.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = chromium()
    if path is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(NAMES)})")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path)
        yield opened
        opened.close()


class Watched:
    """A page that remembers what no page of ours may do: errors, and requests to anywhere else."""

    def __init__(self, page: "Page", origin: str) -> None:
        self.page, self.origin = page, origin
        self.complaints: list[str] = []
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"error of a script: {error}"))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind} on the console: {text}")

    def _request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.complaints.append(f"request to {url}")

    def expect(self, words: str) -> None:
        """Take a complaint that belongs to the test off the list; fail when it never came."""
        found = [complaint for complaint in self.complaints if words in complaint]
        assert found, f"nothing complained of {words!r}: {self.complaints}"
        self.complaints = [complaint for complaint in self.complaints if complaint not in found]


Open = Callable[..., "Page"]


@pytest.fixture
def watched() -> list[Watched]:
    """The pages that the test has opened, with their complaints."""
    return []


@pytest.fixture
def open_page(browser: "Browser", watched: list[Watched]) -> Iterator[Open]:
    """Yield `open_page(url, width=1200, height=800, dark=False, **context)`.

    At the end each page must have had no error on its console and no request outside its origin.
    """
    contexts = []

    def opened(url: str, *, width: int = 1200, height: int = 800, dark: bool = False, **options: Any) -> "Page":
        size: Any = {"width": width, "height": height}
        context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light", **options)
        contexts.append(context)
        context.set_default_timeout(WAIT_SECONDS * 1000)
        page = context.new_page()
        parts = urlsplit(url)
        watched.append(Watched(page, f"{parts.scheme}://{parts.netloc}"))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    complaints = [complaint for page in watched for complaint in page.complaints]
    assert complaints == []


def picture(page: "Page", name: str) -> None:
    """Write a screenshot into the folder PROSPERO_TEST_PICTURES, where it is set: for eyes, no test reads it."""
    folder = os.environ.get("PROSPERO_TEST_PICTURES")
    if folder:
        page.screenshot(path=os.path.join(folder, f"{name}.png"))
