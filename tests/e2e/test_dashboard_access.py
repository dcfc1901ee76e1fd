"""For everybody: the keyboard alone, axe's rules in light and dark, a phone, languages and colours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tenant_plane import build_web
from tests.e2e.dashboard_plane import ONE_INSTALL, PAGES, PHONE, show, visitor
from tests.unit.tenant_plane.plane_process import PASSWORD, PlaneProcess

pytestmark = pytest.mark.browser

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PATHS = [path for path, _english, _russian in PAGES.values()] + [ONE_INSTALL]
FOCUSED = """() => {
    const one = document.activeElement;
    const box = one.closest("label")?.matches(":has(:focus-visible)") ? one.closest("label") : one;
    const style = getComputedStyle(box);
    return { words: (one.ariaLabel || one.innerText || one.name || "").trim(),
             outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 };
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    build_web.install(build_web.find_node())
    return (Path(build_web.WEB) / "node_modules" / "axe-core" / "axe.min.js").read_text()


def faults(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate(
        "rules => axe.run(document, { runOnly: { type: 'tag', values: rules } })", RULES
    )
    assert len(found["passes"]) > 10  # it has looked
    return [
        f"{each['id']}: {[node['html'][:160] for node in each['nodes'][:3]]}" for each in found["violations"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_no_fault(
    browser: Browser, dashboard: PlaneProcess, axe: str, path: str, scheme: str
) -> None:
    with visitor(browser, dashboard, color_scheme=scheme, reduced_motion="reduce") as page:
        show(page, dashboard, path)
        for table in page.locator("summary").all():
            table.click()
        assert faults(page, axe) == []


def test_axe_finds_no_fault_of_the_sign_in_page(page: Page, dashboard: PlaneProcess, axe: str) -> None:
    page.goto(dashboard.url)
    page.get_by_label("User").fill("x")
    page.get_by_label("Password").fill("x")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("sign-in-error")).to_be_visible()
    assert faults(page, axe) == []


@pytest.mark.parametrize("locale", ["en-GB", "ru-RU"])
@pytest.mark.parametrize("path", PATHS)
def test_on_a_phone_nothing_but_tables_and_the_menu_scroll_sideways(
    browser: Browser, dashboard: PlaneProcess, path: str, locale: str
) -> None:
    with visitor(browser, dashboard, viewport=PHONE, locale=locale) as page:
        show(page, dashboard, path)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def tab_back_to(page: Page, words: str, most: int = 20) -> None:
    """Press Shift+Tab until the focus is on what has these words; every stop must be visible as one."""
    for _ in range(most):
        page.keyboard.press("Shift+Tab")
        focused = page.evaluate(FOCUSED)
        assert focused["outline"], focused
        if focused["words"] == words:
            return
    raise AssertionError(f"no Tab leads to {words}")


def test_the_keyboard_alone_signs_in_and_walks_through_every_page(
    page: Page, dashboard: PlaneProcess
) -> None:
    page.goto(dashboard.url)
    expect(page.get_by_label("User")).to_be_focused()
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_be_focused()
    walk = [name for name in PAGES if name not in {"overview", "account"}]
    for name in walk:
        path, english, _russian = PAGES[name]
        tab_back_to(page, english)
        page.keyboard.press("Enter")
        expect(heading).to_have_text(english)
        expect(heading).to_be_focused()
        expect(page).to_have_url(re.compile(re.escape(path)))
    for name in reversed(walk[:-1]):
        page.go_back()
        expect(heading).to_have_text(PAGES[name][1])
        expect(heading).to_be_focused()


def test_the_first_tab_skips_the_menu(browser: Browser, dashboard: PlaneProcess) -> None:
    with visitor(browser, dashboard) as page:
        show(page, dashboard, "/spend")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.get_by_test_id("csv")).to_be_focused()


def test_periods_selects_and_tables_work_by_keys(browser: Browser, dashboard: PlaneProcess) -> None:
    with visitor(browser, dashboard) as page:
        show(page, dashboard, "/cohorts")
        page.get_by_label("30 days").focus()
        page.keyboard.press("ArrowLeft")
        expect(page).to_have_url(re.compile("period=7d"))
        page.get_by_test_id("measure").focus()
        page.keyboard.press("ArrowDown")
        expect(page.get_by_test_id("heat-map")).to_have_attribute("data-measure", "revenue")
        page.get_by_text("Show as table").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("curve-table")).to_be_visible()
        page.get_by_test_id("curve-table").get_by_test_id("sort-now").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("curve-table").locator("th[aria-sort=descending]")).to_be_visible()


def test_the_language_is_switched_in_place_and_kept(browser: Browser, dashboard: PlaneProcess) -> None:
    with visitor(browser, dashboard) as page:
        show(page, dashboard, "/funnel?period=7d")
        page.get_by_test_id("language").focus()
        page.get_by_test_id("language").select_option("ru")
        expect(page.get_by_role("heading", level=1)).to_have_text("Воронка")
        expect(page).to_have_url(re.compile("/funnel\\?period=7d"))
        expect(page.get_by_test_id("language")).to_be_focused()
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("Воронка")
        page.get_by_test_id("language").select_option("en")
        expect(page.get_by_role("heading", level=1)).to_have_text("Funnel")


def test_russian_words_take_the_form_of_their_number(browser: Browser, dashboard: PlaneProcess) -> None:
    with visitor(browser, dashboard, locale="ru-RU") as page:
        show(page, dashboard, "/trace?period=7d&search=2026-03-09-northwind-spring launch-1")
        count = int(page.get_by_test_id("found").get_attribute("data-value") or "")
        form = "установка" if count % 10 == 1 else "установки" if 2 <= count % 10 <= 4 else "установок"
        expect(page.get_by_test_id("found")).to_have_text(
            f"{count} {'установок' if 11 <= count % 100 <= 14 else form}"
        )
        page.goto(f"{dashboard.url}/trace?period=7d&search=2026-03-09-northwind-spring launch-22")
        expect(page.get_by_test_id("found")).to_have_text("1 установка")


def test_colours_follow_the_system_until_somebody_chooses(browser: Browser, dashboard: PlaneProcess) -> None:
    with visitor(browser, dashboard) as page:
        show(page, dashboard, "/value")
        root, background = page.locator("html"), "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(background)
        page.emulate_media(color_scheme="dark")
        expect(root).to_have_attribute("data-theme", "dark")
        assert page.evaluate(background) != light
        page.get_by_test_id("theme").select_option("light")
        expect(root).to_have_attribute("data-theme", "light")
        assert page.evaluate(background) == light
        page.reload()
        expect(root).to_have_attribute("data-theme", "light")


def test_who_listens_hears_that_numbers_are_loaded(browser: Browser, dashboard: PlaneProcess) -> None:
    with visitor(browser, dashboard) as page:
        show(page, dashboard, "/spend")
        status = page.get_by_role("status").first
        expect(status).to_have_text("ROAS & spend: the numbers are here")
        for landmark in ("banner", "navigation", "main"):
            expect(page.get_by_role(landmark)).to_have_count(1)  # type: ignore[arg-type] # a Literal in a loop
