"""The dashboard's numbers equal the pushed marts, to the micro-unit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pytest

from tenant_plane.reports.overview import campaigns, totals
from tenant_plane.reports.periods import Window
from tenant_plane.score_store import distribution
from tests.unit.tenant_plane.plane_process import PlaneProcess, running

LAST = dt.date(2026, 3, 9)
BIG = 2**55 + 1  # above what a double holds exactly


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    with running(PlaneProcess(tmp_path_factory.mktemp("empty"))) as started:
        yield started


def push_day(plane: PlaneProcess, age: int) -> None:
    date = LAST - dt.timedelta(days=age)
    kpi: dict[str, object] = {"events": 100 + age, "active_users": 10 + age, "revenue_micros": BIG}
    organic: dict[str, object] = {"match_type": "organic", "source": "organic"}
    paid: dict[str, object] = {"match_type": "click_id", "source": "net", "campaign": "c"}
    spent: dict[str, object] = {"model": "last_touch", "source": "net", "campaign": "c", "spend_micros": 500}
    credited = spent | {"installs": 2, "clicks": 9, "impressions": 90, "revenue_micros": 1000 + age}
    free = {"model": "last_touch", "source": "organic", "installs": 1, "revenue_micros": 7}
    other_model = credited | {"model": "linear"}
    plane.push_mart("kpi_daily", date, [kpi]).raise_for_status()
    plane.push_mart("installs", date, [organic, paid, paid]).raise_for_status()
    plane.push_mart("campaign_daily", date, [credited, free, other_model]).raise_for_status()


@pytest.fixture(scope="module")
def stats(plane: PlaneProcess) -> dict[str, object]:
    for age in (0, 1, 2, 5, 6, 7, 13, 14):
        push_day(plane, age)
    with plane.signed_in() as client:
        return dict(client.get("/api/v1/dashboard/stats", params={"period": "7d"}).json())


def test_a_period_sums_exactly_its_days(stats: dict[str, object]) -> None:
    assert (stats["from"], stats["to"]) == ("2026-03-03", "2026-03-09")
    now = stats["totals"]
    assert isinstance(now, dict)
    assert now["reportedDays"] == 5
    assert now["events"] == 100 + 101 + 102 + 105 + 106
    assert now["revenueMicros"] == 5 * BIG
    assert (now["installs"], now["organicInstalls"], now["paidInstalls"]) == (15, 5, 10)
    assert now["spendMicros"] == 2500
    assert now["paidRevenueMicros"] == 5000 + 14
    assert now["roas"] == 5014 / 2500
    assert now["cpiMicros"] == 250.0
    assert (now["dailyActiveUsersMean"], now["dailyActiveUsersPeak"]) == (12.8, 16)


def test_the_previous_period_is_as_long_and_ends_the_day_before(stats: dict[str, object]) -> None:
    before = stats["previous"]
    assert isinstance(before, dict)
    assert (before["reportedDays"], before["events"]) == (2, 107 + 113)


def test_every_date_is_there_and_missing_ones_say_so(stats: dict[str, object]) -> None:
    days = stats["daily"]
    assert isinstance(days, list)
    assert [day["date"] for day in days] == [f"2026-03-0{n}" for n in range(3, 10)]
    assert [day["reported"] for day in days] == [True, True, False, False, True, True, True]
    assert [day["installs"] for day in days] == [3, 3, 0, 0, 3, 3, 3]


def test_campaigns_count_one_model_only(stats: dict[str, object]) -> None:
    rows = stats["campaigns"]
    assert isinstance(rows, list)
    assert [(row["source"], row["installs"], row["spendMicros"]) for row in rows] == [
        ("net", 10, 2500),
        ("organic", 5, 0),
    ]
    assert rows[1]["roas"] is None


def test_a_plane_without_marts_answers_emptily(empty: PlaneProcess) -> None:
    with empty.signed_in() as client:
        stats = client.get("/api/v1/dashboard/stats").json()
        assert (stats["from"], stats["to"], stats["daily"], stats["ltv"]) == (None, None, [], None)
        assert stats["totals"]["roas"] is None
        assert client.get("/api/v1/marts/installs").json()["rows"] == []
        assert client.get("/api/v1/ml/scores").json()["items"] == []
        assert client.get("/api/v1/dashboard/stats?period=8d").status_code == 422


def test_a_window_counts_both_ends() -> None:
    window = Window(dt.date(2026, 2, 27), dt.date(2026, 3, 1))
    assert len(window.dates) == 3
    assert window.previous == Window(dt.date(2026, 2, 24), dt.date(2026, 2, 26))


def test_ratios_without_a_divisor_are_none() -> None:
    assert totals([], [], []).cpi_micros is None
    assert campaigns([]) == []


def test_the_histogram_counts_every_user_once_and_keeps_the_tail_in_its_last_bin() -> None:
    rng = np.random.default_rng(7)
    for values in (rng.pareto(1.2, 5000) * 1e6, np.zeros(3), np.array([5.5]), np.array([-2e6, 9e9])):
        found = distribution(values)
        assert found is not None
        assert sum(each.users for each in found.histogram) == found.users == values.size
        assert found.histogram[0].from_micros <= values.min()
        assert found.histogram[-1].to_micros >= values.max()
    assert distribution(np.array([])) is None
