"""Pictures of every page of the dashboard: `python -m tests.e2e.dashboard_screenshots DIRECTORY [--docs]`.

For people who change the page: every page in light and dark and on a phone, over the world of the browser tests.
With `--docs` also the few that the README shows, in docs/images.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tenant_plane import build_web
from tests.e2e.browser import launched
from tests.e2e.dashboard_world import TRACED, push_world
from tests.unit.tenant_plane.plane_process import PASSWORD, ROOT, PlaneProcess, running

PATHS = {
    "overview": "/",
    "attribution": "/attribution?against=first",
    "cohorts": "/cohorts?measure=retention",
    "spend": "/spend",
    "funnel": "/funnel",
    "fraud": "/fraud",
    "value": "/value",
    "installs": "/trace",
    "trace": f"/trace?id={TRACED.replace(' ', '%20')}",
    "data": "/data",
    "users": "/users",
    "account": "/account",
}
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = [
    ("light", "light", DESKTOP, "en"),
    ("dark", "dark", DESKTOP, "en"),
    ("phone", "light", PHONE, "en"),
    ("russian", "light", DESKTOP, "ru"),
    ("phone-russian", "dark", PHONE, "ru"),
]
DOCS = [
    ("overview", "light", "en", "dashboard.png"),
    ("attribution", "dark", "en", "dashboard-attribution.png"),
    ("cohorts", "light", "ru", "dashboard-cohorts.png"),
]


@contextmanager
def signed_in_page(
    browser: Browser, plane: PlaneProcess, *, scheme: str, size: dict[str, int], locale: str
) -> Iterator[Page]:
    """A page of the plane with somebody signed in."""
    context = browser.new_context(
        viewport=size,  # type: ignore[arg-type] # a dict of the same keys as playwright's ViewportSize
        color_scheme="dark" if scheme == "dark" else "light",
        locale=locale,
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(plane.url)
    page.locator("[name=user]").fill("admin")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[type=submit]").click()
    page.get_by_test_id("page-overview").wait_for()
    try:
        yield page
    finally:
        context.close()


def settle(page: Page) -> None:
    """Wait for the numbers and every chart."""
    page.locator("[data-testid^=page-]").wait_for()
    page.wait_for_load_state("networkidle")
    for chart in page.locator("[data-drawn]").all():
        chart.and_(page.locator("[data-drawn=true]")).wait_for()
    page.wait_for_timeout(300)


def shoot_all(browser: Browser, plane: PlaneProcess, directory: Path) -> None:
    """Every page in every look."""
    for look, scheme, size, locale in LOOKS:
        with signed_in_page(browser, plane, scheme=scheme, size=size, locale=locale) as page:
            for name, path in PATHS.items():
                page.goto(plane.url + path)
                settle(page)
                page.screenshot(path=directory / f"{name}-{look}.png", full_page=True)


def shoot_docs(browser: Browser, plane: PlaneProcess) -> None:
    """What the README shows: one screen each."""
    for name, scheme, locale, file in DOCS:
        with signed_in_page(browser, plane, scheme=scheme, size=DESKTOP, locale=locale) as page:
            page.goto(plane.url + PATHS[name])
            settle(page)
            page.screenshot(path=ROOT / "docs" / "images" / file)


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--docs", action="store_true")
    asked = parser.parse_args()
    asked.directory.mkdir(parents=True, exist_ok=True)
    build_web.build()
    with tempfile.TemporaryDirectory() as home, running(PlaneProcess(Path(home), extra={"PLAN": "standard"})) as plane:
        push_world(plane)
        with sync_playwright() as playwright, launched(playwright) as browser:
            shoot_all(browser, plane, asked.directory)
            if asked.docs:
                shoot_docs(browser, plane)


if __name__ == "__main__":
    main()
