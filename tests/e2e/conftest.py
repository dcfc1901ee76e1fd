"""Fixtures of the end-to-end tests: the stack, the browser and the dashboards, one of each per session."""

from tests.e2e.browser import browser, page
from tests.e2e.dashboard_plane import dashboard, empty_dashboard
from tests.e2e.stack import stack

__all__ = ["browser", "dashboard", "empty_dashboard", "page", "stack"]
