"""Every report against sums made by hand from the pushed rows; a plane without marts; each table as CSV."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.dashboard_world import CHURNING, DAYS, LAST, SCORED_USERS, TRACED, Marts, day, push_world
from tests.unit.tenant_plane.plane_process import PlaneProcess, running

PAGES = ("attribution", "channels", "cohorts", "spend", "funnel", "fraud", "value", "installs", "data")


@pytest.fixture(scope="module")
def full(plane: PlaneProcess) -> PlaneProcess:
    push_world(plane)
    return plane


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    with running(PlaneProcess(tmp_path_factory.mktemp("empty"), extra={"USERS_MAX": "2"})) as started:
        yield started


def read(plane: PlaneProcess, page: str, **parameters: str) -> dict[str, Any]:
    with plane.signed_in() as client:
        answer = client.get(f"/api/v1/dashboard/{page}", params=parameters)
        return dict(answer.raise_for_status().json())


def pushed(first_age: int, last_age: int) -> list[Marts]:
    """Days by age before the last one, 0 = the last."""
    ages = range(first_age, last_age + 1)
    return [day(LAST - dt.timedelta(days=age), DAYS - 1 - age) for age in ages]


def number(row: dict[str, object], name: str) -> float:
    return float(str(row[name]))


def summed(days: list[Marts], mart: str, name: str, **where: str) -> float:
    rows = [row for marts in days for row in marts[mart]]
    return sum(
        number(row, name) for row in rows if all(row.get(key) == value for key, value in where.items())
    )


def test_attribution_sums_each_model_and_says_what_another_gives(full: PlaneProcess) -> None:
    report = read(full, "attribution", period="7d", model="linear", against="first")
    now, before = pushed(0, 6), pushed(7, 13)
    assert {"last_touch", "linear", "time_decay"} <= set(report["models"])
    for row in report["rows"]:
        where = {"source": row["source"], "campaign": row["campaign"]}
        linear = summed(now, "campaign_daily", "credited_installs", model="linear", **where)
        first = summed(now, "campaign_daily", "credited_installs", model="first", **where)
        assert row["installs"] == pytest.approx(linear)
        assert row["installsDifference"] == pytest.approx(linear - first)
        revenue = summed(now, "campaign_daily", "revenue_micros", model="linear", **where)
        other = summed(now, "campaign_daily", "revenue_micros", model="first", **where)
        assert (row["revenueMicros"], row["revenueDifferenceMicros"]) == (revenue, revenue - other)
        assert row["spendMicros"] == summed(now, "campaign_daily", "spend_micros", model="linear", **where)
        earlier = summed(before, "campaign_daily", "credited_installs", model="linear", **where)
        assert row["previousInstalls"] == pytest.approx(earlier)
    assert len(report["rows"]) == 5
    northwind, bluebird = (
        sum(row["installsDifference"] for row in report["rows"] if row["source"] == source)
        for source in ("northwind", "bluebird")
    )
    assert northwind > 0 > bluebird


def test_channels_have_the_models_of_whole_paths(full: PlaneProcess) -> None:
    rows = read(full, "channels", period="7d")["rows"]
    found = {(row["channel"], row["model"]): row for row in rows}
    days = pushed(0, 6)
    asked = {"channel": "bluebird", "model": "shapley"}
    installs = summed(days, "channel_credits", "conversions", conversion_type="install", **asked)
    revenue = summed(days, "channel_credits", "revenue_micros", conversion_type="purchase", **asked)
    assert found["bluebird", "shapley"]["installs"] == pytest.approx(installs)
    assert found["bluebird", "shapley"]["revenueMicros"] == revenue


def test_the_heat_map_counts_only_ages_that_a_cohort_has_reached(full: PlaneProcess) -> None:
    report = read(full, "cohorts", period="30d")
    assert report["days"] == [0, 1, 2, 3, 4, 5, 6, 7, 14, 21]
    assert [len(row["cells"]) for row in report["rows"][:9]] == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    last = report["rows"][-1]
    assert last["from"] == last["to"] == "2026-02-08"
    assert (last["size"], last["spendMicros"]) == (90, 560_000_000)
    age_7 = next(cell for cell in last["cells"] if cell["day"] == 7)
    assert age_7["retention"] == (60 * 4 // 25 + 30 * 4 // 25) / 90
    paid = sum(60 * 4 // (3 * n + 4) // 5 for n in range(8)) * 9_310_007
    free = sum(30 * 4 // (3 * n + 4) // 5 for n in range(8)) * 9_310_007
    assert age_7["revenuePerInstallMicros"] == (paid + free) / 90
    assert age_7["roas"] == paid / 560_000_000
    assert [cell["day"] for cell in report["overall"]] == report["days"]
    assert report["overall"][7]["retention"] == age_7["retention"]  # every cohort is alike


def test_one_source_s_cohorts_leave_the_others_out(full: PlaneProcess) -> None:
    report = read(full, "cohorts", period="7d", source="organic")
    assert report["sources"] == ["northwind", "organic"]
    assert {row["size"] for row in report["rows"]} == {30}
    assert {cell["roas"] for row in report["rows"] for cell in row["cells"]} == {None}


def test_spend_is_of_paid_sources_by_day_and_by_source(full: PlaneProcess) -> None:
    report = read(full, "spend", period="7d")
    days = pushed(0, 6)
    spent = summed(days, "campaign_daily", "spend_micros", model="last_touch")
    organic = {"model": "last_touch", "source": "organic"}
    earned = summed(days, "campaign_daily", "revenue_micros", model="last_touch")
    earned -= summed(days, "campaign_daily", "revenue_micros", **organic)
    totals = report["totals"]
    assert (totals["spendMicros"], totals["paidRevenueMicros"], totals["reportedDays"]) == (spent, earned, 7)
    assert totals["roas"] == earned / spent
    assert sum(row["spendMicros"] for row in report["daily"]) == spent
    assert [row["source"] for row in report["rows"]] == ["northwind", "bluebird"]
    assert sum(row["previousSpendMicros"] for row in report["rows"]) == report["previous"]["spendMicros"]


def test_the_funnel_s_halves_have_their_own_first_step(full: PlaneProcess) -> None:
    report = read(full, "funnel", period="7d")
    steps = {step["step"]: step for step in report["steps"]}
    assert list(steps) == ["impression", "click", "install", "session", "event", "purchase"]
    days = pushed(0, 6)
    for name, step in steps.items():
        assert step["devices"] == summed(days, "funnel_daily", "devices", step=name)
    assert steps["click"]["shareOfFirst"] == pytest.approx(1 / 30)
    assert steps["install"]["shareOfFirst"] is None
    paying = steps["purchase"]["devices"] / steps["install"]["devices"]
    assert steps["purchase"]["shareOfFirst"] == paying
    alone = read(full, "funnel", period="7d", source="organic")
    assert [step["step"] for step in alone["steps"]] == ["install", "session", "event", "purchase"]
    assert len(alone["rows"]) == 1


def test_fraud_is_by_source_and_rule_with_the_newest_reason(full: PlaneProcess) -> None:
    report = read(full, "fraud", period="7d")
    days = pushed(0, 6)
    assert report["totals"]["rejectedTouches"] == summed(days, "fraud_daily", "touches", verdict="rejected")
    first = report["findings"][0]
    assert (first["source"], first["rule"], first["days"]) == ("shady", "injection", 7)
    assert first["latestDate"] == LAST.isoformat()
    assert first["reason"] == days[0]["fraud_daily"][0]["reason"]
    assert first["previousTouches"] == summed(pushed(7, 13), "fraud_daily", "touches", rule="injection")
    flagged = next(each for each in report["findings"] if each["verdict"] == "flagged")
    assert flagged["days"] == sum(len(marts["fraud_daily"]) == 3 for marts in days)


def test_values_and_probabilities_to_leave_are_told_apart(full: PlaneProcess) -> None:
    report = read(full, "value")
    assert (report["ltv"]["model"], report["ltv"]["users"]) == ("ltv_v1", SCORED_USERS)
    assert sum(row["users"] for row in report["bySource"]) == SCORED_USERS
    assert {row["source"] for row in report["bySource"]} == {"northwind", "bluebird", "organic"}
    churn = report["churn"]
    assert (churn["users"], churn["atRiskUsers"]) == (CHURNING, CHURNING // 2)
    assert [each["users"] for each in churn["histogram"]] == [CHURNING // 10] * 10
    stats = read(full, "stats")
    assert stats["ltv"]["model"] == "ltv_v1"


def test_installs_are_found_by_id_source_and_campaign(full: PlaneProcess) -> None:
    day_0 = day(LAST, DAYS - 1)["installs"]
    everything = read(full, "installs", period="7d", limit="20")
    assert everything["total"] == sum(len(marts["installs"]) for marts in pushed(0, 6))
    assert (len(everything["items"]), everything["nextOffset"]) == (20, 20)
    found = read(full, "installs", period="7d", search=f"{LAST}-north")
    assert found["total"] == sum(row["source"] == "northwind" for row in day_0)
    assert read(full, "installs", search="PLAYABLE")["total"] > 0
    assert read(full, "installs", search="' OR 1=1 --")["total"] == 0


def test_a_trace_shows_the_candidates_in_the_waterfall_s_order(full: PlaneProcess) -> None:
    found = read(full, f"installs/{TRACED}")
    assert found["install"]["installId"] == TRACED
    assert [each["verdict"] for each in found["candidates"]] == ["injection", "won", "assist"]
    assert (found["hasCandidates"], found["mayBeCut"]) == (True, False)
    assert "device" not in found["install"]
    with full.signed_in() as client:
        missing = client.get("/api/v1/dashboard/installs/nothing-like-it")
        assert missing.status_code == 404
        assert "no install of that id" in missing.json()["detail"]


def test_a_day_whose_touches_were_not_sent_is_told_from_one_without_any(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running(PlaneProcess(tmp_path_factory.mktemp("unsent"))) as plane:
        plane.push_mart("installs", LAST, [{"install_id": "i1"}]).raise_for_status()
        assert read(plane, "installs/i1")["hasCandidates"] is False
        plane.push_mart("touch_decisions", LAST, []).raise_for_status()
        known = read(plane, "installs/i1")
    assert (known["hasCandidates"], known["candidates"]) == (True, [])


def test_freshness_and_limits_are_those_of_the_plane(full: PlaneProcess, empty: PlaneProcess) -> None:
    report = read(full, "data")
    sets = {each["name"]: each for each in report["sets"]}
    assert sets["kpi_daily"]["dates"] == DAYS
    assert sets["kpi_daily"]["latestDate"] == LAST.isoformat()
    assert sets["churn_v1"]["kind"] == "scores"
    quotas = {each["name"]: each for each in report["quotas"]}
    assert quotas["events_per_day"]["used"] == max(
        number(marts["usage_daily"][0], "events_received") for marts in pushed(0, 29)
    )
    assert quotas["events_per_day"]["limit"] is None
    kept = sum(number(marts["usage_daily"][0], "stored_bytes") for marts in pushed(0, DAYS - 1))
    assert quotas["storage_bytes"]["used"] == kept > 100_000
    assert quotas["export_bytes_per_day"]["used"] == 120_000
    users = next(each for each in read(empty, "data")["quotas"] if each["name"] == "users")
    assert (users["used"], users["limit"], users["share"]) == (1, 2, 0.5)


@pytest.mark.parametrize("page", PAGES)
def test_a_plane_without_marts_answers_every_page_emptily(empty: PlaneProcess, page: str) -> None:
    report = read(empty, page)
    assert report["tenantId"] == "t123"
    assert not report.get("rows") and not report.get("items") and not report.get("findings")
    assert report.get("ltv") is None and report.get("to") is None


@pytest.mark.parametrize("page", [*PAGES, f"installs/{TRACED}"])
def test_every_table_comes_as_csv_with_the_api_s_values(full: PlaneProcess, page: str) -> None:
    with full.signed_in() as client:
        answer = client.get(f"/api/v1/dashboard/{page}", params={"format": "csv"})
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        document = client.get(f"/api/v1/dashboard/{page}").json()
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="t123_')
    lists = ("candidates", "findings", "bySource", "items", "sets", "rows")
    expected = next(document[name] for name in lists if name in document)
    if page == "cohorts":
        expected = [cell for row in expected for cell in row["cells"]]
    assert len(rows) == len(expected) > 0
    shared = expected[0].keys() & rows[0].keys()
    assert shared
    assert {name: rows[0][name] for name in shared if isinstance(expected[0][name], int)} == {
        name: str(expected[0][name]) for name in shared if isinstance(expected[0][name], int)
    }


def test_a_source_named_as_a_formula_is_only_text_in_the_file(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running(PlaneProcess(tmp_path_factory.mktemp("formula"))) as plane:
        plane.push_mart("kpi_daily", LAST, [{}]).raise_for_status()
        row: dict[str, object] = {"source": "=HYPERLINK(1)", "model": "last_touch", "spend_micros": 5}
        plane.push_mart("campaign_daily", LAST, [row]).raise_for_status()
        with plane.signed_in() as client:
            text = client.get("/api/v1/dashboard/spend?format=csv").text
    assert text.splitlines()[1].startswith("'=HYPERLINK")
