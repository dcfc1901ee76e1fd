"""Fixtures of the end-to-end tests: the stack and the browser, one of each per session."""

from tests.e2e.browser import browser, page
from tests.e2e.stack import stack

__all__ = ["browser", "page", "stack"]
