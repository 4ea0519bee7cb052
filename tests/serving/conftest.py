"""What the tests of the server share."""

from tests.browser import browser, open_page, watched

__all__ = ["browser", "open_page", "watched"]
