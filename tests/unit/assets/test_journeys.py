"""Which touches are one journey: devices of a user, windows, caps, milestones, apart by app and tenant; and nulls.

Every case is an app of one tenant under one rule set, with the same device, user and click ids as the others: a build
costs the same for one case and for all, and a case that could see another's rows would fail.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from benchmarks.mart_lab import MartLab
from resources.rules import ChannelRules, RuleSet
from tests.support.credit_world import FIRST, LAST, MODELS, TENANT, event, frame, purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.credit_world import Event

HOUR_MS = 3_600_000
MS = 1 / HOUR_MS  # in hours
DAY_H = 24.0
AT = 10 * DAY_H
ODD_NAME = "it's \\ 50 %"
RULES = RuleSet(
    channels=(
        ChannelRules(source="short", click_window_ms=HOUR_MS),
        ChannelRules(source="short", medium="video", click_window_ms=2 * HOUR_MS),
        ChannelRules(source="unseen", view_window_ms=0),
    ),
    click_cap_per_day=5,
    conversion_events=(ODD_NAME,),
    registration_event="sign_up",
)
CASES: dict[str, list[Event]] = {
    "many_touches": [
        *(
            event("impression", f"v{n:04d}", 1 + n / 100, source="net", device_id="d1" if n % 2 else "d2")
            for n in range(520)
        ),
        *(event("session", f"s{n}", 7, device_id=f"d{n}", user_id="u") for n in (1, 2)),
        purchase("p", 8, 1_000_003, user_id="u"),
    ],
    "two_devices": [
        event("click", "phone", 1, source="a"),
        event("install", "i", 2, user_id="u"),
        event("click", "tablet", 30, source="b", device_id="d2"),
        event("session", "s", 31, device_id="d2", user_id="u"),
        event("click", "stranger", 32, source="c", device_id="d3"),
        purchase("p", 50, 10, user_id="u"),
        purchase("nameless", 51, 10),
    ],
    "placeholder": [
        event("click", "another", 10, source="a", device_id="g00"),
        *(event("session", f"s{n:02d}", 20, device_id=f"g{n:02d}", user_id="guest") for n in range(21)),
        purchase("p", 22, 10, device_id="g01", user_id="guest"),
    ],
    "not_seen_lately": [
        event("session", "s", 1, device_id="d2", user_id="u"),
        event("click", "c", 9 * DAY_H, source="a", device_id="d2"),
        purchase("early", 5 * DAY_H, 10, user_id="u"),
        purchase("p", AT, 10, user_id="u"),
    ],
    "windows": [
        event("install", "i", 1),
        event("click", "oldest", AT - 7 * DAY_H, source="a"),
        event("click", "too_old", AT - 7 * DAY_H - MS, source="a"),
        event("impression", "seen", AT - DAY_H, source="a"),
        event("impression", "seen_too_early", AT - DAY_H - MS, source="a"),
        event("click", "short_out", AT - 1 - MS, source="short", medium="banner"),
        event("click", "video_in", AT - 2, source="short", medium="video"),
        event("click", "short_in", AT - 1, source="short"),
        event("impression", "switched_off", AT, source="unseen"),
        event("click", "at_once", AT, source="a"),
        event("click", "late", AT + MS, source="a"),
        purchase("p", AT, 10),
    ],
    "rejected": [
        event("install", "i", 1),
        event("click", "blocked", 4, source="b", ip_pseudonym="p_bad"),
        *(event("click", f"c{n}", 5 + n, source="a") for n in range(7)),
        purchase("p", 20, 10),
    ],
    "for_life": [
        event("click", "c", 1, source="a", device_id="browser", click_id="k"),
        event("install", "i", 2, referrer_click_id="k"),
        purchase("p", 24 * DAY_H, 10),
    ],
    "no_install": [
        event("click", "c", 1, source="a"),
        purchase("p", 5, 10),
        purchase("late", 9 * DAY_H, 10),
    ],
    "milestones": [
        event("click", "first", 1, source="a"),
        event("click", "second", 2, source="b"),
        event("install", "i", 3),
        event("event", "r", 4, event_name="sign_up"),
        event("click", "third", 14 * DAY_H, source="c"),
        event("click", "fourth", 15 * DAY_H, source="d"),
        purchase("p", 15 * DAY_H + 1, 10),
    ],
    "named_events": [
        event("event", "yes", 1, event_name=ODD_NAME),
        event("event", "no", 1, event_name="other"),
    ],
    "currency": [purchase("p", 1, 10), purchase("yen", 1, 10, currency="JPY")],
    "came_to_nothing": [
        event("click", "c1", 1, source="too_long_ago"),
        event("click", "c2", 5 * DAY_H, source="a"),
        event("impression", "v", 12 * DAY_H - 1, source="b"),
        event("click", "c3", 3 * DAY_H, source="c", device_id="d2"),
        event("install", "i", 4 * DAY_H, device_id="d2"),
        event("click", "again", 6 * DAY_H, source="c", device_id="d2"),
    ],
    "earned_elsewhere": [
        event("click", "c", 1, source="a", device_id="browser", click_id="k"),
        event("install", "i", 2, click_id="k"),
        event("click", "x", 1, source="a", device_id="browser2", click_id="other"),
    ],
    "only_a_session": [event("session", "s", 1)],
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    """Every case built."""
    rows = [
        {**row, "app_id": case, "event_id": f"{case}.{row['event_id']}"}
        for case, events in CASES.items()
        for row in events
    ]
    with MartLab(tmp_path_factory.mktemp("journeys") / "lab") as opened:
        opened.put(frame([*rows, *colliding_world()]))
        for tenant in (TENANT, "t_other"):
            opened.build(tenant, FIRST, LAST, RULES, MODELS, blocked_ip_pseudonyms=["p_bad"])
        yield opened


def colliding_world() -> list[Event]:
    """The same journey in two apps of one tenant and in another tenant: every id the same but the events' own."""

    def rows(prefix: str, **fields: Any) -> list[Event]:
        return [
            event("click", f"{prefix}.c", 1, source=prefix, click_id="k", **fields),
            event("install", f"{prefix}.i", 2, referrer_click_id="k", user_id="u", **fields),
            event("click", f"{prefix}.r", 3, source=prefix, **fields),
            event("event", f"{prefix}.e", 4, event_name="sign_up", user_id="u", **fields),
            purchase(f"{prefix}.p", 5, 7, user_id="u", **fields),
        ]

    return [*rows("own", app_id="own"), *rows("app2", app_id="app2"), *rows("theirs", tenant_id="t_other")]


def rows_of(lab: MartLab, mart: str, case: str) -> pl.DataFrame:
    return lab.mart(mart, TENANT).filter(pl.col("app_id") == case)


def touches(lab: MartLab, case: str, conversion_id: str, tenant: str = TENANT) -> list[str]:
    of_conversion = (pl.col("model") == "linear") & (pl.col("conversion_id") == f"{case}.{conversion_id}")
    rows = lab.mart("attribution_credits", tenant).filter(of_conversion).sort("position")
    return [touch.removeprefix(f"{case}.") for touch in rows["touch_id"].to_list()]


def weights(lab: MartLab, case: str, conversion_id: str, model: str) -> list[float]:
    of_conversion = (pl.col("model") == model) & (pl.col("conversion_id") == f"{case}.{conversion_id}")
    return (
        rows_of(lab, "attribution_credits", case).filter(of_conversion).sort("position")["weight"].to_list()
    )


def nulls(
    lab: MartLab, case: str, conversion_type: str = "install"
) -> dict[tuple[dt.date, tuple[str, ...]], int]:
    of_type = (pl.col("nulls") > 0) & (pl.col("conversion_type") == conversion_type)
    rows = rows_of(lab, "journey_paths", case).filter(of_type)
    return {(row["event_date"], tuple(row["path"])): row["nulls"] for row in rows.iter_rows(named=True)}


def test_a_journey_keeps_the_500_most_recent_touches(lab: MartLab) -> None:
    assert touches(lab, "many_touches", "p") == [f"v{n:04d}" for n in range(20, 520)]
    credited = (
        rows_of(lab, "attribution_credits", "many_touches")
        .group_by("model")
        .agg(pl.col("revenue_micros").sum(), pl.col("weight").sum())
    )
    assert credited["revenue_micros"].to_list() == [1_000_003] * 6
    assert credited["weight"].to_list() == pytest.approx([1.0] * 6, abs=1e-9)


def test_touches_on_both_devices_of_a_user_are_one_journey(lab: MartLab) -> None:
    assert touches(lab, "two_devices", "p") == ["phone", "tablet"]
    assert touches(lab, "two_devices", "nameless") == ["phone"]


def test_a_user_id_that_many_devices_share_is_no_person(lab: MartLab) -> None:
    assert touches(lab, "placeholder", "p") == [""]
    assert rows_of(lab, "device_days", "placeholder").is_empty()
    assert rows_of(lab, "device_milestones", "placeholder").height == 1  # the purchase is one all the same


def test_a_device_not_seen_inside_the_longest_window_is_not_the_users(lab: MartLab) -> None:
    rows = rows_of(lab, "credited_conversions", "not_seen_lately")
    assert dict(rows.select("conversion_id", "devices").iter_rows()) == {
        "not_seen_lately.early": ["d1", "d2"],
        "not_seen_lately.p": ["d1"],
    }
    assert touches(lab, "not_seen_lately", "p") == [""]


def test_touches_after_the_install_count_inside_their_channels_window_to_the_millisecond(
    lab: MartLab,
) -> None:
    assert touches(lab, "windows", "p") == ["oldest", "seen", "video_in", "short_in", "at_once"]


def test_clicks_beyond_the_cap_and_from_blocked_networks_are_in_no_journey(lab: MartLab) -> None:
    assert touches(lab, "rejected", "p") == ["c0", "c1", "c2", "c3", "c4"]


def test_a_purchase_follows_the_installs_journey_for_life(lab: MartLab) -> None:
    assert touches(lab, "for_life", "p") == ["c"]


def test_a_purchase_without_an_install_has_the_touches_of_its_window(lab: MartLab) -> None:
    assert touches(lab, "no_install", "p") == ["c"]
    assert touches(lab, "no_install", "late") == [""]


def test_the_w_model_knows_a_registration_of_long_ago(lab: MartLab) -> None:
    assert touches(lab, "milestones", "p") == ["first", "second", "third", "fourth"]
    assert weights(lab, "milestones", "p", "w") == pytest.approx([0.3, 0.3, 0.1, 0.3])
    assert weights(lab, "milestones", "p", "position") == pytest.approx([0.4, 0.1, 0.1, 0.4])
    assert weights(lab, "milestones", "i", "w") == weights(lab, "milestones", "i", "position") == [0.5, 0.5]


def test_only_listed_events_are_conversions_and_their_names_may_hold_anything(lab: MartLab) -> None:
    rows = rows_of(lab, "credited_conversions", "named_events")
    assert rows.select("conversion_id", "conversion_type", "event_name").rows() == [
        ("named_events.yes", "event", ODD_NAME)
    ]


def test_money_of_another_currency_is_not_credited(lab: MartLab) -> None:
    assert rows_of(lab, "credited_conversions", "currency")["conversion_id"].to_list() == ["currency.p"]


def test_nothing_crosses_apps_or_tenants_where_every_id_is_the_same(lab: MartLab) -> None:
    for prefix, tenant in (("own", TENANT), ("app2", TENANT), ("theirs", "t_other")):
        assert touches(lab, prefix, "i", tenant) == ["c"]
        assert touches(lab, prefix, "p", tenant) == ["c", "r"]
    assert {tuple(path) for path in lab.mart("journey_paths", "t_other")["path"].to_list()} == {
        ("theirs",),
        ("theirs", "theirs"),
    }


def test_a_journey_comes_to_nothing_when_its_last_click_window_closes(lab: MartLab) -> None:
    closes = FIRST + dt.timedelta(days=18)
    assert nulls(lab, "came_to_nothing") == {(closes, ("a", "b")): 1}
    assert nulls(lab, "came_to_nothing", "purchase") == {
        (closes, ("a", "b")): 1,
        (FIRST + dt.timedelta(days=13), ("c", "c")): 1,
    }


def test_a_click_that_earned_an_install_on_another_device_is_no_null(lab: MartLab) -> None:
    assert nulls(lab, "earned_elsewhere") == {(FIRST + dt.timedelta(days=7), ("a",)): 1}


def test_an_app_without_conversions_has_no_rows(lab: MartLab) -> None:
    assert all(rows_of(lab, name, "only_a_session").is_empty() for name in MODELS)
