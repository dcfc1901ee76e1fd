"""Each page in both languages: its heading, its words, and in every cell the API's value."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.dashboard_plane import ONE_INSTALL, PAGES, api, show, visitor
from tests.e2e.dashboard_world import TRACED
from tests.unit.tenant_plane.plane_process import PlaneProcess

pytestmark = pytest.mark.browser

LANGUAGES = ["en-GB", "ru-RU"]


class Table(NamedTuple):
    """A table of a page, and the API's list that its rows are; cells are the fields of the same name."""

    path: str
    table: str
    question: str
    rows: str


TABLES = [
    Table(
        "/attribution?period=7d&model=linear&against=first",
        "attribution",
        "attribution?period=7d&model=linear&against=first",
        "rows",
    ),
    Table("/spend?period=7d", "spend", "spend?period=7d", "rows"),
    Table("/spend?period=7d", "spend-days", "spend?period=7d", "daily"),
    Table("/funnel?period=7d", "funnel-steps", "funnel?period=7d", "steps"),
    Table("/funnel?period=7d&source=northwind", "funnel", "funnel?period=7d&source=northwind", "rows"),
    Table("/fraud?period=7d", "fraud", "fraud?period=7d", "findings"),
    Table("/fraud?period=7d", "fraud-days", "fraud?period=7d", "daily"),
    Table("/value", "value-sources", "value", "bySource"),
    Table("/trace?period=7d&search=playable", "installs", "installs?period=7d&search=playable", "items"),
    Table(ONE_INSTALL, "candidates", f"installs/{quote(TRACED)}", "candidates"),
    Table("/data", "quotas", "data", "quotas"),
    Table("/data", "sets", "data", "sets"),
]
NOT_OF_THE_API = {"channel", "state", "change"}  # put together by the page


def cells(page: Page, table: str) -> list[dict[str, str]]:
    script = """table => [...table.querySelectorAll("tbody tr")].map(row => Object.fromEntries(
        [...row.querySelectorAll("[data-key]")].map(cell => [cell.dataset.key, cell.dataset.value])))"""
    return list(page.get_by_test_id(table).evaluate(script))


def same(shown: str, value: object) -> bool:
    if value is None:
        return shown == ""
    return shown == value if isinstance(value, str) else float(shown) == value


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("one", TABLES, ids=[each.table for each in TABLES])
def test_every_cell_is_the_apis_value(
    browser: Browser, dashboard: PlaneProcess, one: Table, locale: str
) -> None:
    rows: list[dict[str, Any]] = api(dashboard, f"dashboard/{one.question}")[one.rows]
    with visitor(browser, dashboard, locale=locale) as page:
        show(page, dashboard, one.path)
        found = cells(page, one.table)
    assert len(found) == len(rows) > 0
    for shown, row in zip(found, rows, strict=True):
        compared = shown.keys() - NOT_OF_THE_API
        assert len(compared) > 2
        zero_is_nothing = {"norm", "windowMs", "waterfallPosition"}
        for key in compared:
            value = None if key in zero_is_nothing and row[key] == 0 else row[key]
            assert same(shown[key], value), (key, shown, row)


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_speaks_the_readers_language_and_none_else(
    browser: Browser, dashboard: PlaneProcess, name: str, locale: str
) -> None:
    path, english, russian = PAGES[name]
    with visitor(browser, dashboard, locale=locale) as page:
        show(page, dashboard, path)
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_text(russian if locale == "ru-RU" else english)
        expect(page).to_have_title(re.compile(re.escape(russian if locale == "ru-RU" else english)))
        assert page.evaluate("document.documentElement.lang") == locale[:2]
        words = page.locator("body").inner_text()
        assert not re.search(r"undefined|NaN|\[object|Infinity", words)
        has_cyrillic = re.search("[а-яё]{3}", words.replace("Русский", ""), re.IGNORECASE) is not None
        assert has_cyrillic == (locale == "ru-RU")


@pytest.mark.parametrize("path", [PAGES["fraud"][0], ONE_INSTALL])
@pytest.mark.parametrize("locale", LANGUAGES)
def test_reasons_are_in_the_reader_s_language(
    browser: Browser, dashboard: PlaneProcess, path: str, locale: str
) -> None:
    with visitor(browser, dashboard, locale=locale) as page:
        show(page, dashboard, path)
        cells = page.locator('td[data-key="reason"]')
        expect(cells.first).to_be_visible()
        words = cells.all_inner_texts()
        assert len(words) >= len(set(words)) > 1
        for each in words:
            assert (re.search("[а-яё]{3}", each, re.IGNORECASE) is not None) == (locale == "ru-RU"), each
        in_english = page.locator('td[data-key="reason"][lang="en"]').count()
        assert in_english == (0 if locale == "ru-RU" else len(words))


@pytest.mark.parametrize("measure", ["retention", "revenue", "roas"])
@pytest.mark.parametrize("locale", LANGUAGES)
def test_the_heat_map_shows_the_apis_cells_and_ends_where_cohorts_are_too_young(
    browser: Browser, dashboard: PlaneProcess, measure: str, locale: str
) -> None:
    report = api(dashboard, "dashboard/cohorts?period=30d")
    field = {"retention": "retention", "revenue": "revenuePerInstallMicros", "roas": "roas"}[measure]
    with visitor(browser, dashboard, locale=locale) as page:
        show(page, dashboard, f"/cohorts?measure={measure}")
        script = """table => [...table.querySelectorAll("tbody tr")].map(row => [row.dataset.from,
            [...row.querySelectorAll("[data-day]")].map(cell => [Number(cell.dataset.day), cell.dataset.value])])"""
        shown = page.get_by_test_id("heat-map").evaluate(script)
    wanted = [("overall", report["overall"]), *((row["from"], row["cells"]) for row in report["rows"])]
    assert [each[0] for each in shown] == [name for name, _cells in wanted]
    for (_, found), (_, expected) in zip(shown, wanted, strict=True):
        assert [day for day, _ in found] == [cell["day"] for cell in expected]
        assert all(same(value, cell[field]) for (_, value), cell in zip(found, expected, strict=True))


def test_the_models_are_switched_in_place_and_the_address_keeps_them(
    browser: Browser, dashboard: PlaneProcess
) -> None:
    with visitor(browser, dashboard) as page:
        show(page, dashboard, "/attribution?period=7d")
        page.get_by_test_id("model").select_option("time_decay")
        page.get_by_test_id("against").select_option("w")
        expect(page).to_have_url(re.compile("model=time_decay&against=w"))
        report = api(dashboard, "dashboard/attribution?period=7d&model=time_decay&against=w")
        first = page.get_by_test_id("attribution").locator("tbody tr").first
        difference = first.locator("[data-key=installsDifference]")
        expect(difference).to_have_attribute("data-value", str(report["rows"][0]["installsDifference"]))
        expect(page.locator("[data-drawn=true] canvas")).to_be_visible()
        page.get_by_test_id("against").select_option("time_decay")
        expect(page.get_by_text("Both models are the same")).to_be_visible()
        page.reload()
        expect(page.get_by_test_id("model")).to_have_value("time_decay")


def test_an_install_is_found_traced_and_left_again_with_the_back_button(
    browser: Browser, dashboard: PlaneProcess
) -> None:
    with visitor(browser, dashboard) as page:
        show(page, dashboard, "/trace?period=7d")
        page.get_by_label("Install id, source or campaign").fill(TRACED)
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_test_id("found")).to_have_attribute("data-value", "1")
        page.get_by_role("link", name=TRACED).click()
        expect(page.get_by_test_id("credit")).to_contain_text(
            "northwind / spring launch by click id, 7 min before"
        )
        verdicts = page.get_by_test_id("candidates").locator("[data-key=verdict]")
        expect(verdicts).to_have_text(["Rejected: injection", "Won", "Assist"])
        page.reload()
        expect(page.get_by_test_id("credit")).to_be_visible()
        page.go_back()
        expect(page.get_by_test_id("found")).to_have_attribute("data-value", "1")
        page.get_by_label("Install id, source or campaign").fill("no such thing")
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("none-installs")).to_contain_text("No install of this period")
        page.goto(f"{dashboard.url}/trace?id=nowhere")
        expect(page.get_by_test_id("error")).to_contain_text("no install of that id")


def test_more_installs_are_shown_on_demand(browser: Browser, dashboard: PlaneProcess) -> None:
    with visitor(browser, dashboard) as page:
        show(page, dashboard, "/trace?period=7d")
        rows = page.get_by_test_id("installs").locator("tbody tr")
        expect(rows).to_have_count(50)
        page.get_by_role("button", name="Show more").click()
        expect(rows).to_have_count(100)


@pytest.mark.parametrize(
    "name", ["overview", "attribution", "cohorts", "spend", "funnel", "fraud", "value", "data"]
)
def test_every_table_is_downloaded_as_the_page_shows_it(
    browser: Browser, dashboard: PlaneProcess, name: str, tmp_path: Path
) -> None:
    with visitor(browser, dashboard) as page:
        show(page, dashboard, PAGES[name][0] + "?period=7d")
        with page.expect_download() as download:
            page.get_by_test_id("csv").click()
        download.value.save_as(tmp_path / "file.csv")
        assert download.value.suggested_filename.startswith("t123_")
    with (tmp_path / "file.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 1


def test_an_address_that_is_no_page_says_so(browser: Browser, dashboard: PlaneProcess) -> None:
    with visitor(browser, dashboard) as page:
        page.goto(f"{dashboard.url}/nothing/here")
        expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
        page.get_by_role("link", name="To the overview").click()
        expect(page.get_by_test_id("page-overview")).to_be_visible()
