"""A person at the dashboard of a real plane: what the browser shows is what the API says."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tenant_plane import build_web
from tests.e2e.dashboard_world import DAYS, LAST, day, push_world
from tests.unit.tenant_plane.plane_process import PASSWORD, PlaneProcess, running

pytestmark = pytest.mark.browser

FIRST_PAGE_BYTES = 200_000  # gzipped, without the charts that load afterwards; measured: 28,000
TILES = {
    "installs": "installs",
    "revenue": "revenueMicros",
    "spend": "spendMicros",
    "roas": "roas",
    "cpi": "cpiMicros",
    "active-users": "dailyActiveUsersMean",
    "sessions": "sessions",
    "events": "events",
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    build_web.build()
    with running(PlaneProcess(tmp_path_factory.mktemp("full"))) as started:
        push_world(started)
        yield started


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    build_web.build()
    with running(PlaneProcess(tmp_path_factory.mktemp("empty"), tenant_id="empty_one")) as started:
        yield started


def sign_in(page: Page, plane: PlaneProcess, password: str = PASSWORD, query: str = "") -> None:
    page.goto(plane.url + query)
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def api_stats(plane: PlaneProcess, period: str) -> dict[str, Any]:
    with plane.signed_in() as client:
        answer = client.get("/api/v1/dashboard/stats", params={"period": period})
        return dict(answer.raise_for_status().json())


def expect_numbers(page: Page, stats: dict[str, Any]) -> None:
    expect(page.locator(f"[data-testid=numbers][data-period='{stats['period']}']")).to_be_visible()
    for tile, name in TILES.items():
        shown = page.get_by_test_id(f"kpi-{tile}").get_attribute("data-value")
        assert shown is not None and float(shown) == stats["totals"][name], tile
    rows = page.get_by_test_id("campaigns").locator("tbody tr")
    expect(rows).to_have_count(len(stats["campaigns"]))
    for row in stats["campaigns"]:
        cells = page.locator(
            f"tr[data-source='{row['source']}'][data-campaign='{row['campaign']}'] [data-value]"
        )
        values = [int(cell.get_attribute("data-value") or "") for cell in cells.all()]
        assert values == [row["spendMicros"], row["clicks"], row["installs"], row["revenueMicros"]]


def test_a_person_signs_in_and_reads_the_apis_numbers_in_every_period(
    page: Page, plane: PlaneProcess
) -> None:
    sign_in(page, plane)
    expect(page.get_by_test_id("tenant")).to_have_text("t123")
    for period, label in (("30d", "30 days"), ("7d", "7 days"), ("90d", "90 days")):
        page.get_by_label(label).check()
        expect_numbers(page, api_stats(plane, period))
    stats = api_stats(plane, "90d")
    assert stats["totals"]["reportedDays"] == DAYS
    pushed = [day(LAST.fromordinal(LAST.toordinal() - DAYS + 1 + age), age) for age in range(DAYS)]
    assert stats["totals"]["installs"] == sum(len(marts["installs"]) for marts in pushed)
    assert stats["totals"]["revenueMicros"] == sum(row["kpi_daily"][0]["revenue_micros"] for row in pushed)
    assert page.get_by_test_id("ltv-users").get_attribute("data-value") == str(stats["ltv"]["users"])
    assert page.get_by_test_id("freshness").get_attribute("data-value") == LAST.isoformat()


def test_people_read_formatted_numbers_and_the_change_to_the_previous_period(
    page: Page, plane: PlaneProcess
) -> None:
    sign_in(page, plane, query="/?period=7d")
    stats = api_stats(plane, "7d")
    expect(page.get_by_test_id("kpi-installs")).to_have_text(f"{stats['totals']['installs']:,}")
    expect(page.get_by_test_id("kpi-revenue")).to_have_text(f"${stats['totals']['revenueMicros'] / 1e6:,.2f}")
    change = stats["totals"]["installs"] / stats["previous"]["installs"] - 1
    expect(page.get_by_test_id("change-installs")).to_contain_text(f"↑ +{change:.1%}")
    page.get_by_label("30 days").check()  # only 10 of the 30 days before are there
    expect(page.get_by_test_id("change-installs")).to_contain_text("not complete enough")


def test_charts_are_drawn_and_can_be_read_as_tables(page: Page, plane: PlaneProcess) -> None:
    sign_in(page, plane)
    charts = page.get_by_role("img")
    expect(charts).to_have_count(2)
    for chart in charts.all():
        expect(chart).to_have_attribute("data-drawn", "true")
        expect(chart).to_have_attribute("aria-label", re.compile(r"\d"))
        expect(chart.locator("canvas")).to_be_visible()
    page.get_by_text("Show as table").first.click()
    expect(page.get_by_test_id("daily-table").locator("tbody tr")).to_have_count(30)


def test_the_campaign_table_sorts_by_any_column(page: Page, plane: PlaneProcess) -> None:
    sign_in(page, plane)
    table = page.get_by_test_id("campaigns")
    sources = table.locator("tbody tr td:first-child")
    page.get_by_test_id("sort-source").click()
    assert sources.all_inner_texts() == sorted(sources.all_inner_texts())
    page.get_by_test_id("sort-source").click()
    assert sources.all_inner_texts() == sorted(sources.all_inner_texts(), reverse=True)
    page.get_by_test_id("sort-roas").click()
    expect(table.locator("th[aria-sort=descending]")).to_contain_text("ROAS")
    expect(table.locator("tbody tr").last.locator("td").first).to_have_text("organic")  # no spend, no ROAS


def test_a_wrong_password_shows_an_error_and_opens_nothing(page: Page, plane: PlaneProcess) -> None:
    sign_in(page, plane, password="wrong")
    expect(page.get_by_test_id("sign-in-error")).to_have_text("User or password is wrong.")
    expect(page.get_by_label("Password")).to_be_focused()
    expect(page.get_by_test_id("numbers")).to_have_count(0)


def test_the_keyboard_alone_signs_in_and_changes_the_period(page: Page, plane: PlaneProcess) -> None:
    page.goto(plane.url)
    expect(page.get_by_label("User")).to_be_focused()
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_focused()
    expect_numbers(page, api_stats(plane, "30d"))
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    expect_numbers(page, api_stats(plane, "7d"))


def test_a_reload_stays_signed_in_and_sign_out_ends_it(page: Page, plane: PlaneProcess) -> None:
    sign_in(page, plane)
    expect(page.get_by_test_id("numbers")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("numbers")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_tenant_without_numbers_sees_why(page: Page, empty: PlaneProcess) -> None:
    sign_in(page, empty)
    expect(page.get_by_test_id("empty")).to_contain_text("No numbers yet")
    expect(page.get_by_test_id("tenant")).to_have_text("empty_one")


def test_a_plane_that_went_away_shows_an_error_and_a_retry_that_works(
    page: Page, empty: PlaneProcess
) -> None:
    sign_in(page, empty)
    expect(page.get_by_test_id("empty")).to_be_visible()
    empty.stop()
    page.get_by_label("7 days").check()
    expect(page.get_by_test_id("error")).to_contain_text("could not be loaded")
    empty.start()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_test_id("empty")).to_be_visible()


def test_on_a_phone_nothing_but_the_table_scrolls_sideways(page: Page, plane: PlaneProcess) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    sign_in(page, plane)
    expect(page.get_by_role("img").first).to_have_attribute("data-drawn", "true")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_first_page_is_small(plane: PlaneProcess) -> None:
    with plane.client() as client:
        document = client.get("/").text
        files = re.findall(r'(?:src|href)="(/assets/[^"]+)"', document)
        assert len(files) == 2
        contents = [document.encode(), *(client.get(path).content for path in files)]
        assert client.get(files[0]).headers["content-encoding"] == "gzip"
    assert sum(len(gzip.compress(content)) for content in contents) < FIRST_PAGE_BYTES
