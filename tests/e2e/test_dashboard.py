"""A person at the overview of a real plane: what the browser shows is what the API says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.dashboard_plane import api, visitor
from tests.e2e.dashboard_world import DAYS, LAST, day
from tests.unit.tenant_plane.plane_process import PASSWORD, PlaneProcess

pytestmark = pytest.mark.browser

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


def sign_in(page: Page, plane: PlaneProcess, password: str = PASSWORD, query: str = "") -> None:
    page.goto(plane.url + query)
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def stats_of(plane: PlaneProcess, period: str) -> dict[str, Any]:
    return api(plane, f"dashboard/stats?period={period}")


def expect_numbers(page: Page, stats: dict[str, Any]) -> None:
    installs = page.get_by_test_id("kpi-installs")
    expect(installs).to_have_attribute("data-value", str(stats["totals"]["installs"]))
    for tile, name in TILES.items():
        shown = page.get_by_test_id(f"kpi-{tile}").get_attribute("data-value")
        assert shown is not None and float(shown) == stats["totals"][name], tile
    rows = page.get_by_test_id("campaigns").locator("tbody tr")
    expect(rows).to_have_count(len(stats["campaigns"]))
    found = [
        [
            row.locator(f"[data-key={key}]").get_attribute("data-value")
            for key in ("source", "campaign", "installs")
        ]
        for row in rows.all()
    ]
    wanted = [[row["source"], row["campaign"], str(row["installs"])] for row in stats["campaigns"]]
    assert found == wanted


def test_a_person_signs_in_and_reads_the_apis_numbers_in_every_period(
    page: Page, dashboard: PlaneProcess
) -> None:
    sign_in(page, dashboard)
    expect(page.get_by_test_id("tenant")).to_have_text("t123")
    for period, label in (("30d", "30 days"), ("7d", "7 days"), ("90d", "90 days")):
        page.get_by_label(label).check()
        expect_numbers(page, stats_of(dashboard, period))
    stats = stats_of(dashboard, "90d")
    assert stats["totals"]["reportedDays"] == DAYS
    pushed = [day(LAST.fromordinal(LAST.toordinal() - DAYS + 1 + age), age) for age in range(DAYS)]
    assert stats["totals"]["installs"] == sum(len(marts["installs"]) for marts in pushed)
    assert stats["totals"]["revenueMicros"] == sum(row["kpi_daily"][0]["revenue_micros"] for row in pushed)
    assert page.get_by_test_id("ltv-users").get_attribute("data-value") == str(stats["ltv"]["users"])
    assert page.get_by_test_id("freshness").get_attribute("data-value") == LAST.isoformat()


def test_people_read_formatted_numbers_and_the_change_to_the_previous_period(
    page: Page, dashboard: PlaneProcess
) -> None:
    sign_in(page, dashboard, query="/?period=7d")
    stats = stats_of(dashboard, "7d")
    expect(page.get_by_test_id("kpi-installs")).to_have_text(f"{stats['totals']['installs']:,}")
    expect(page.get_by_test_id("kpi-revenue")).to_have_text(f"${stats['totals']['revenueMicros'] / 1e6:,.2f}")
    change = stats["totals"]["installs"] / stats["previous"]["installs"] - 1
    expect(page.get_by_test_id("change-installs")).to_contain_text(f"↑ +{change:.1%}")
    page.get_by_label("30 days").check()  # only 10 of the 30 days before are there
    expect(page.get_by_test_id("change-installs")).to_contain_text("not complete enough")


def test_bars_are_drawn_and_can_be_read_as_a_table(page: Page, dashboard: PlaneProcess) -> None:
    sign_in(page, dashboard)
    bars = page.get_by_role("img")
    expect(bars).to_have_count(2)
    for each in bars.all():
        expect(each).to_have_attribute("aria-label", re.compile(r"30 days: .*\d+ in total|\d in total"))
        expect(each.locator("rect.bar")).to_have_count(30)
    page.get_by_text("Show as table").first.click()
    expect(page.get_by_test_id("daily-table").locator("tbody tr")).to_have_count(30)


def test_the_campaign_table_sorts_by_any_column(page: Page, dashboard: PlaneProcess) -> None:
    sign_in(page, dashboard)
    table = page.get_by_test_id("campaigns")
    sources = table.locator("tbody tr td:first-child")
    table.get_by_test_id("sort-source").click()
    assert sources.all_inner_texts() == sorted(sources.all_inner_texts())
    table.get_by_test_id("sort-source").click()
    assert sources.all_inner_texts() == sorted(sources.all_inner_texts(), reverse=True)
    table.get_by_test_id("sort-roas").click()
    expect(table.locator("th[aria-sort=descending]")).to_contain_text("ROAS")
    expect(table.locator("tbody tr").last.locator("td").first).to_have_text("organic")  # no spend, no ROAS


def test_a_wrong_password_shows_an_error_and_opens_nothing(page: Page, dashboard: PlaneProcess) -> None:
    sign_in(page, dashboard, password="wrong")
    expect(page.get_by_test_id("sign-in-error")).to_have_text("User or password is wrong.")
    expect(page.get_by_label("Password")).to_be_focused()
    expect(page.get_by_test_id("page-overview")).to_have_count(0)


def test_a_reload_stays_signed_in_and_sign_out_ends_it(page: Page, dashboard: PlaneProcess) -> None:
    sign_in(page, dashboard)
    expect(page.get_by_test_id("page-overview")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("page-overview")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_session_that_ended_elsewhere_asks_to_sign_in_and_comes_back_to_the_page(
    page: Page, dashboard: PlaneProcess
) -> None:
    sign_in(page, dashboard, query="/fraud?period=7d")
    expect(page.get_by_test_id("page-fraud")).to_be_visible()
    page.request.delete(f"{dashboard.url}/api/v1/auth")
    page.get_by_label("30 days").click()
    expect(page.get_by_text("Your session has ended. Sign in again.")).to_be_visible()
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("page-fraud")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/attribution", "/cohorts", "/spend", "/funnel", "/fraud", "/trace"])
def test_a_tenant_without_numbers_sees_why(
    browser: Browser, empty_dashboard: PlaneProcess, path: str
) -> None:
    with visitor(browser, empty_dashboard) as page:
        page.goto(empty_dashboard.url + path)
        expect(page.get_by_test_id("empty")).to_contain_text("No numbers yet")
        expect(page.get_by_test_id("tenant")).to_have_text("empty_one")


def test_without_scores_the_value_page_says_so_and_limits_are_there_without_data(
    browser: Browser, empty_dashboard: PlaneProcess
) -> None:
    with visitor(browser, empty_dashboard) as page:
        page.goto(f"{empty_dashboard.url}/value")
        expect(page.get_by_test_id("none-ltv")).to_contain_text("No predictions yet")
        expect(page.get_by_test_id("none-churn")).to_contain_text("No model of leaving")
        page.goto(f"{empty_dashboard.url}/data")
        expect(page.get_by_test_id("quotas").locator("tbody tr")).to_have_count(5)


@pytest.mark.parametrize(
    "path", ["/", "/attribution", "/cohorts", "/spend", "/funnel", "/fraud", "/value", "/trace"]
)
def test_a_connection_that_breaks_shows_an_error_and_a_retry_that_works(
    browser: Browser, dashboard: PlaneProcess, path: str
) -> None:
    with visitor(browser, dashboard) as page:
        page.goto(dashboard.url + path)
        expect(page.locator("[data-testid^=page-][data-busy=false]")).to_be_visible()
        page.context.set_offline(True)
        page.get_by_label("7 days").check()
        expect(page.get_by_test_id("error")).to_contain_text("could not be loaded")
        page.context.set_offline(False)
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("[data-testid^=page-][data-busy=false]")).to_be_visible()


def test_a_plane_that_went_away_shows_an_error_and_a_retry_that_works(
    page: Page, empty_dashboard: PlaneProcess
) -> None:
    sign_in(page, empty_dashboard)
    expect(page.get_by_test_id("empty")).to_be_visible()
    empty_dashboard.stop()
    page.get_by_label("7 days").check()
    expect(page.get_by_test_id("error")).to_contain_text("could not be loaded")
    empty_dashboard.start()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_test_id("empty")).to_be_visible()
