"""Pictures of every page of the dashboard: `python -m tests.e2e.dashboard_screenshots [DIRECTORY] [--docs]`.

For people who change the page: every page in light and dark and on a phone, over the world of the browser tests.
With `--docs` also the few that the README shows, in docs/images.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tenant_plane import build_web
from tests.e2e.browser import launched
from tests.e2e.dashboard_plane import ONE_INSTALL, PAGES, PHONE, show, visitor
from tests.e2e.dashboard_world import push_world
from tests.unit.tenant_plane.plane_process import ROOT, PlaneProcess, running

PATHS = {name: path for name, (path, _english, _russian) in PAGES.items()} | {"one-install": ONE_INSTALL}
LOOKS: dict[str, dict[str, object]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE},
    "russian": {"locale": "ru-RU"},
    "phone-russian-dark": {"viewport": PHONE, "locale": "ru-RU", "color_scheme": "dark"},
}
SCREEN = {"width": 1180, "height": 720}  # below 150 KB each
DOCS = {
    "dashboard.png": ("/?period=7d", "light"),
    "dashboard-attribution.png": ("/attribution?period=7d", "dark"),
    "dashboard-cohorts.png": ("/cohorts", "russian"),
}


def shoot(browser: Browser, plane: PlaneProcess, look: str, path: str, file: Path, *, whole: bool) -> None:
    """One page in one look: all of it, or what a screen shows."""
    options = LOOKS[look] if whole else LOOKS[look] | {"viewport": SCREEN}
    with visitor(browser, plane, reduced_motion="reduce", **options) as page:
        show(page, plane, path)
        page.wait_for_timeout(300)  # the last frame of the charts
        page.screenshot(path=file, full_page=whole)


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--docs", action="store_true")
    asked = parser.parse_args()
    if asked.directory:
        asked.directory.mkdir(parents=True, exist_ok=True)
    build_web.build()
    plane = PlaneProcess(Path(tempfile.mkdtemp()), extra={"PLAN": "standard"})
    with running(plane), sync_playwright() as playwright, launched(playwright) as browser:
        push_world(plane)
        for look in LOOKS if asked.directory else ():
            for name, path in PATHS.items():
                shoot(browser, plane, look, path, asked.directory / f"{name}-{look}.png", whole=True)
        if asked.docs:
            for file, (path, look) in DOCS.items():
                shoot(browser, plane, look, path, ROOT / "docs" / "images" / file, whole=False)


if __name__ == "__main__":
    main()
