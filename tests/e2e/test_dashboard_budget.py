"""The first page is small: by the built files, and by what a browser loads until the overview is shown."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Response, expect

from resources.errors import PermanentError
from tenant_plane import build_web
from tests.e2e.browser import opened
from tests.e2e.dashboard_plane import show, visitor
from tests.unit.tenant_plane.plane_process import PASSWORD, PlaneProcess

pytestmark = pytest.mark.browser

FIRST_PAGE_BYTES = 200_000  # HTML, scripts and styles as they are sent; measured: 41,000
CHART_BYTES = 200_000  # what a page with charts loads once more; measured: 178,000


def sizes(responses: list[Response]) -> dict[str, int]:
    """Bytes on the wire by path, of what makes the page (not its numbers)."""
    return {
        response.url.partition("/assets/")[2] or "/": response.request.sizes()["responseBodySize"]
        for response in responses
        if response.request.resource_type in {"document", "script", "stylesheet"}
    }


@pytest.mark.parametrize("locale", ["en-GB", "ru-RU"])
def test_a_browser_loads_little_until_the_overview_is_shown(
    browser: Browser, dashboard: PlaneProcess, locale: str
) -> None:
    with opened(browser, locale=locale) as page:
        loaded: list[Response] = []
        page.on("response", lambda response: loaded.append(response))  # noqa: PLW0108 - no builtins, says Playwright
        page.goto(dashboard.url)
        page.locator("[name=user]").fill("admin")
        page.locator("[name=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("page-overview")).to_be_visible()
        page.wait_for_load_state("networkidle")
        first = sizes(loaded)
        assert 10_000 < sum(first.values()) < FIRST_PAGE_BYTES, first
        assert not any(name.startswith("echarts") for name in first)
        other = "en-" if locale == "ru-RU" else "ru-"
        assert not any(name.startswith(other) for name in first), "only one language is loaded"


def test_charts_are_loaded_once_and_only_by_pages_that_have_them(
    browser: Browser, dashboard: PlaneProcess
) -> None:
    with visitor(browser, dashboard) as page:
        loaded: list[Response] = []
        page.on("response", lambda response: loaded.append(response))  # noqa: PLW0108 - no builtins, says Playwright
        show(page, dashboard, "/data")
        assert not any(name.startswith("echarts") for name in sizes(loaded))
        page.get_by_test_id("nav-spend").click()
        expect(page.locator("[data-drawn=true]")).to_have_count(1)
        charts = {name: size for name, size in sizes(loaded).items() if name.startswith("echarts")}
        assert len(charts) == 1
        assert sum(charts.values()) < CHART_BYTES
        before = len(loaded)
        page.get_by_test_id("nav-value").click()
        expect(page.locator("[data-drawn=true]")).to_have_count(2)
        again = [response.url for response in loaded[before:] if "echarts" in response.url]
        assert again == []


def test_everything_but_the_charts_would_fit_the_budget_too(dashboard: PlaneProcess) -> None:
    files = [path for path in (build_web.WEB / "dist").rglob("*") if path.is_file()]
    sent = {path.name: len(gzip.compress(path.read_bytes())) for path in files}
    charts = {name: size for name, size in sent.items() if name.startswith("echarts")}
    assert len(charts) == 1 and sum(charts.values()) < CHART_BYTES
    assert sum(sent.values()) - sum(charts.values()) < FIRST_PAGE_BYTES / 2
    with dashboard.client() as client:
        script = next(path.name for path in files if path.suffix == ".js")
        answer = client.get(f"/assets/{script}")
        assert answer.headers["cache-control"].endswith("immutable")


def test_a_text_that_one_language_misses_does_not_compile(tmp_path: Path) -> None:
    node = build_web.find_node()
    build_web.install(node)
    node.run_npm("run", "check", directory=build_web.WEB)
    ignore = shutil.ignore_patterns("node_modules", "dist")
    web = Path(shutil.copytree(build_web.WEB, tmp_path / "web", ignore=ignore))
    (web / "node_modules").symlink_to(build_web.WEB / "node_modules")
    russian = web / "src" / "lib" / "messages" / "ru.ts"
    complete = russian.read_text()
    missing = complete.replace('  signOut: "Выйти",\n', "")
    assert missing != complete
    russian.write_text(missing)
    with pytest.raises(PermanentError, match="signOut"):
        node.run_npm("run", "check", directory=web)
