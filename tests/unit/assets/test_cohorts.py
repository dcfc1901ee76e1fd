"""`cohorts`, `cohort_curves` and `funnel_daily` over small worlds, by the project's own SQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from random import Random
from typing import Any

import polars as pl
import pytest

from benchmarks.mart_lab import MartLab

DAY = dt.date(2026, 3, 30)  # day 2 is in another month
USD = 1_000_000
MODELS = (
    "install_events",
    "touch_decisions",
    "installs",
    "reengagements",
    "attributed_purchases",
    "campaign_daily",
    "cohorts",
    "funnel_daily",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    with MartLab(tmp_path_factory.mktemp("cohorts") / "lab") as opened:
        yield opened


def event(
    kind: str, day: int, device: str | None = None, *, minute: int = 600, **more: Any
) -> dict[str, Any]:
    """An event of tenant t1, app a, at 10:00 unless another minute of the day is named."""
    at = dt.datetime.combine(DAY, dt.time(), dt.UTC) + dt.timedelta(days=day, minutes=minute)
    own = {"tenant_id": "t1", "app_id": "a", "event_type": kind, "event_time": at, "device_id": device}
    return {**own, **more}


def install(day: int, device: str, source: str | None = None, *, minute: int = 600, **more: Any) -> list[Any]:
    """A first open, ten minutes after a click of `source` unless it is organic."""
    happened = [event("install", day, device, minute=minute, **more)]
    if source:
        click = {"source": source, "campaign": f"{source}_campaign", **more}
        happened.append(event("click", day, device, minute=minute - 10, **click))
    return happened


def purchase(day: int, device: str, amount: int, currency: str = "USD", **more: Any) -> dict[str, Any]:
    return event("purchase", day, device, minute=700, revenue_micros=amount, currency=currency, **more)


def spend(day: int, source: str, amount: int, currency: str = "USD") -> dict[str, Any]:
    more = {"source": source, "campaign": f"{source}_campaign", "spend_micros": amount, "currency": currency}
    return event("ad_spend", day, **more)


def put(lab: MartLab, *events: Any) -> None:
    flat = [one for item in events for one in (item if isinstance(item, list) else [item])]
    lab.clear()
    numbered = [{"event_id": f"e{number}", **one} for number, one in enumerate(flat)]
    lab.put(pl.DataFrame(numbered, infer_schema_length=None))


def build(lab: MartLab, first: int, last: int, tenant: str = "t1") -> None:
    lab.build(tenant, DAY + dt.timedelta(days=first), DAY + dt.timedelta(days=last), models=MODELS)


def built(lab: MartLab, *events: Any, last: int = 3) -> None:
    put(lab, *events)
    build(lab, 0, last)


def cohort(lab: MartLab, source: str, cohort_day: int, day_n: int) -> dict[str, Any]:
    """The row's numbers; an empty answer where there is none."""
    rows = lab.mart("cohorts").filter(
        pl.col("source") == source,
        pl.col("cohort_date") == DAY + dt.timedelta(days=cohort_day),
        pl.col("day_n") == day_n,
    )
    assert rows.height <= 1
    return rows.to_dicts()[0] if rows.height else {}


def test_a_cohort_has_its_size_and_spend_on_day_0_and_activity_on_every_day_it_came_back(
    lab: MartLab,
) -> None:
    built(
        lab,
        install(0, "d1", "net"),
        install(0, "d2", "net"),
        install(0, "d3"),
        spend(0, "net", 3 * USD),
        event("session", 2, "d1"),
        event("event", 2, "d1", event_name="level"),
        purchase(2, "d2", 5 * USD),
        purchase(2, "d2", USD),
    )
    day_0, day_2 = cohort(lab, "net", 0, 0), cohort(lab, "net", 0, 2)
    assert (day_0["cohort_size"], day_0["active_devices"], day_0["spend_micros"]) == (2, 2, 3 * USD)
    assert (day_2["cohort_size"], day_2["active_devices"], day_2["spend_micros"]) == (0, 2, 0)
    assert (day_2["purchasers"], day_2["revenue_micros"]) == (1, 6 * USD)
    assert day_2["event_date"] == DAY + dt.timedelta(days=2)
    assert cohort(lab, "net", 0, 1) == {}
    assert cohort(lab, "organic", 0, 0)["cohort_size"] == 1


def test_a_network_with_spend_and_no_install_keeps_its_spend_everywhere(lab: MartLab) -> None:
    built(
        lab,
        install(0, "d1", "net"),
        spend(0, "quiet", 7 * USD),
        spend(1, "quiet", USD),
        spend(0, "net", 2 * USD),
    )
    assert cohort(lab, "quiet", 0, 0)["spend_micros"] == 7 * USD
    assert cohort(lab, "quiet", 0, 0)["cohort_size"] == 0
    last_touch = lab.mart("campaign_daily").filter(pl.col("model") == "last_touch")
    for name, frame in (
        ("campaign_daily", last_touch),
        ("cohorts", lab.mart("cohorts")),
        ("ssot_daily", lab.mart("ssot_daily")),
    ):
        assert frame["spend_micros"].sum() == 10 * USD, name
        assert frame.filter(pl.col("source") == "quiet")["spend_micros"].sum() == 8 * USD, name


def test_only_the_tenants_currency_is_revenue_and_spend(lab: MartLab) -> None:
    built(lab, install(0, "d1", "net"), purchase(1, "d1", USD, "EUR"), spend(0, "net", USD, "EUR"))
    day_1 = cohort(lab, "net", 0, 1)
    assert (day_1["active_devices"], day_1["purchasers"], day_1["revenue_micros"]) == (1, 0, 0)
    assert cohort(lab, "net", 0, 0)["spend_micros"] == 0


def test_activity_before_the_install_or_without_one_is_in_no_cohort(lab: MartLab) -> None:
    built(lab, event("session", 0, "d1", minute=599), install(0, "d1"), event("session", 1, "ghost"))
    assert cohort(lab, "organic", 0, 0)["active_devices"] == 1
    assert lab.mart("cohorts")["active_devices"].sum() == 1


def test_another_app_or_tenant_with_the_same_device_is_not_this_cohorts(lab: MartLab) -> None:
    built(
        lab,
        install(0, "d1", "net"),
        event("session", 1, "d1", app_id="b"),
        event("session", 1, "d1", tenant_id="t2"),
    )
    assert cohort(lab, "net", 0, 1) == {}


def test_day_180_is_the_last_and_a_second_new_install_begins_another_cohort(lab: MartLab) -> None:
    put(
        lab,
        install(0, "d1", "net"),
        install(0, "d2", "net"),
        event("session", 180, "d1"),
        event("session", 181, "d1"),
        install(120, "d2", "ads"),  # beyond the 90 days of re-attribution: a new install
        event("session", 120, "d2", minute=1),  # in the morning, still of the first
        event("session", 121, "d2"),
    )
    for day in (0, 120, 121, 180, 181):
        build(lab, day, day)
    assert cohort(lab, "net", 0, 180)["active_devices"] == 1
    assert cohort(lab, "net", 0, 181) == {}
    assert cohort(lab, "net", 0, 120)["active_devices"] == 1
    assert cohort(lab, "ads", 120, 0)["active_devices"] == 1
    assert cohort(lab, "ads", 120, 1)["active_devices"] == 1
    assert cohort(lab, "net", 0, 121) == {}


def test_a_new_day_rewrites_no_older_row(lab: MartLab) -> None:
    events = [install(0, "d1", "net"), purchase(0, "d1", USD), purchase(3, "d1", USD)]
    put(lab, *events)
    build(lab, 0, 2)
    before = lab.mart("cohorts")
    build(lab, 3, 3)
    after = lab.mart("cohorts")
    assert after.filter(pl.col("event_date") <= DAY + dt.timedelta(days=2)).equals(before)
    assert after.height == before.height + 1


def test_day_by_day_is_the_same_as_all_at_once_and_revenue_is_that_of_the_installs(lab: MartLab) -> None:
    random = Random(3)  # noqa: S311 - a world, not a secret
    events: list[Any] = []
    for number in range(60):
        device, first = f"d{number}", random.randint(0, 3)
        events.append(
            install(first, device, random.choice([None, "net", "ads"]), minute=random.randint(20, 1400))
        )
        for _ in range(random.randint(0, 6)):
            day = random.randint(0, 4)
            events.append(
                random.choice([event("session", day, device), purchase(day, device, random.randint(1, 9))])
            )
    put(lab, *events)
    build(lab, 0, 4)
    at_once = {name: lab.mart(name) for name in ("cohorts", "cohort_curves", "funnel_daily")}
    random.shuffle(events)
    put(lab, *events)
    for day in range(5):
        build(lab, day, day)
    for name, frame in at_once.items():
        assert lab.mart(name).equals(frame), name
    of_installs = lab.mart("attributed_purchases").filter(pl.col("attribution") == "install")
    assert at_once["cohorts"]["revenue_micros"].sum() == of_installs["revenue_micros"].sum() > 0
    assert at_once["cohorts"]["cohort_size"].sum() == lab.mart("installs").height == 60


def test_curves_cumulate_revenue_and_have_every_day_up_to_the_newest(lab: MartLab) -> None:
    built(
        lab,
        install(0, "d1", "net"),
        install(0, "d2", "net"),
        spend(0, "net", 4 * USD),
        purchase(0, "d1", USD),
        purchase(2, "d1", 3 * USD),
        install(3, "d9"),
    )
    curve = lab.mart("cohort_curves").filter(pl.col("source") == "net").sort("day_n")
    assert curve["day_n"].to_list() == [0, 1, 2, 3]
    assert curve["retention"].to_list() == [1.0, 0.0, 0.5, 0.0]
    assert curve["revenue_to_date_micros"].to_list() == [USD, USD, 4 * USD, 4 * USD]
    assert curve["roas"].to_list() == [0.25, 0.25, 1.0, 1.0]
    assert curve["revenue_per_install_micros"].to_list()[-1] == 2.0 * USD


def test_a_curve_without_installs_or_spend_divides_by_nothing(lab: MartLab) -> None:
    built(lab, spend(0, "quiet", USD), install(0, "d1"))
    rows = {row["source"]: row for row in lab.mart("cohort_curves").filter(pl.col("day_n") == 0).to_dicts()}
    assert (rows["quiet"]["retention"], rows["quiet"]["roas"]) == (None, 0.0)
    assert (rows["organic"]["retention"], rows["organic"]["roas"]) == (1.0, None)


def funnel(lab: MartLab, source: str, day: int = 0) -> dict[str, int]:
    on = DAY + dt.timedelta(days=day)
    rows = lab.mart("funnel_daily").filter(pl.col("source") == source, pl.col("event_date") == on)
    return dict(rows.sort("step_index").select("step", "devices").iter_rows())


def test_a_funnel_counts_devices_once_per_step_and_a_later_step_implies_the_earlier(lab: MartLab) -> None:
    net = {"source": "net", "campaign": "net_campaign"}
    built(
        lab,
        install(0, "d1", "net"),
        install(0, "d2", "net"),
        install(0, "d3", "net"),
        event("impression", 0, "d4", **net),
        event("impression", 0, "d1", minute=580, **net),
        event("click", 0, "d1", minute=585, **net),
        purchase(0, "d1", USD),
        event("session", 0, "d2", minute=601),
        event("session", 0, "d2", minute=602),
    )
    expected = {"impression": 4, "click": 3, "install": 3, "session": 2, "event": 1, "purchase": 1}
    assert funnel(lab, "net") == expected


def test_a_funnel_is_of_one_day_and_organic_has_no_ads(lab: MartLab) -> None:
    built(lab, install(0, "d1"), event("session", 0, "d1", minute=1), event("session", 1, "d1"))
    assert funnel(lab, "organic") == {"install": 1, "session": 0, "event": 0, "purchase": 0}
    assert funnel(lab, "organic", 1) == {}


def test_touches_without_a_device_stand_for_one_each(lab: MartLab) -> None:
    net = {"source": "net", "campaign": "net_campaign"}
    built(lab, event("click", 0, **net), event("click", 0, **net), event("impression", 0, **net))
    assert funnel(lab, "net") == {"impression": 3, "click": 2}
