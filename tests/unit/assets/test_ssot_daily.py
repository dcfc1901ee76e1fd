"""`ssot_daily`: installs from events and postbacks together, against a plain matching of one with the other."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import polars as pl
import pytest

from assets.skan_postbacks import SKAN_POSTBACKS
from benchmarks.mart_lab import MartLab

DAY = dt.date(2026, 10, 28)  # worlds cross a month's end
MATCHED_DAYS = 4
DETERMINISTIC, PROBABILISTIC, ORGANIC = 1, 2, 5


class Install(NamedTuple):
    """One row of `installs`, as far as the view reads it."""

    day: int
    source: str
    tier: int
    platform: str = "ios"
    app: str = "a"
    tenant: str = "t1"


class Postback(NamedTuple):
    """One row of `skan_postbacks`: a won install unless said otherwise."""

    day: int
    source: str
    app: str = "a"
    tenant: str = "t1"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    with MartLab(tmp_path_factory.mktemp("ssot") / "lab") as opened:
        opened.build("t1", DAY, DAY, models=["campaign_daily"])
        yield opened


def date(day: int) -> dt.date:
    return DAY + dt.timedelta(days=day)


def put(lab: MartLab, installs: list[Install], postbacks: list[Postback]) -> None:
    """Make these the rows of the two tables that the view counts."""
    lab.clear()
    install_rows = [
        {
            "tenant_id": one.tenant,
            "event_date": date(one.day),
            "app_id": one.app,
            "platform": one.platform,
            "source": one.source,
            "tier": one.tier,
            "install_id": f"i{number}",
        }
        for number, one in enumerate(installs)
    ]
    postback_rows = [
        {
            "tenant_id": one.tenant,
            "event_date": date(one.day),
            "app_id": one.app,
            "source": one.source,
            "transaction_id": f"p{number}",
            "land_seq": number,
            "did_win": True,
            "basis": "no_value",
        }
        for number, one in enumerate(postbacks)
    ]
    for table, rows in (("installs", install_rows), (SKAN_POSTBACKS.name, postback_rows)):
        if rows:
            lab.insert(
                f"marts.{table}", pl.DataFrame(rows).with_columns(pl.selectors.integer().cast(pl.Int64))
            )


def ssot(lab: MartLab, installs: list[Install], postbacks: list[Postback]) -> list[dict[str, Any]]:
    put(lab, installs, postbacks)
    return lab.mart("ssot_daily").to_dicts()


def total(rows: list[dict[str, Any]], column: str, **where: Any) -> int:
    return sum(row[column] for row in rows if all(row[name] == value for name, value in where.items()))


def left_over(installs: Counter[int], postbacks: Counter[int]) -> Counter[int]:
    """Per day the postbacks that find no install of that day or the days before; the oldest goes first."""
    free, left = Counter(installs), Counter[int]()
    for day in sorted(postbacks):
        for _ in range(postbacks[day]):
            match = next((d for d in range(day - MATCHED_DAYS, day + 1) if free[d]), None)
            if match is None:
                left[day] += 1
            else:
                free[match] -= 1
    return left


def test_installs_of_every_kind_count_once_without_any_postback(lab: MartLab) -> None:
    installs = [
        Install(0, "net", DETERMINISTIC),
        Install(0, "net", 3),
        Install(0, "net", PROBABILISTIC, "android"),
        Install(0, "organic", ORGANIC, "android"),
    ]
    rows = ssot(lab, installs, [])
    assert [(row["platform"], row["source"], row["deterministic"], row["probabilistic"]) for row in rows] == [
        ("android", "net", 0, 1),
        ("android", "organic", 0, 0),
        ("ios", "net", 2, 0),
    ]
    assert total(rows, "total_installs") == 4


def test_postbacks_of_credited_installs_days_later_add_nothing(lab: MartLab) -> None:
    installs = [Install(0, "net", DETERMINISTIC)] * 60 + [Install(0, "net", PROBABILISTIC)] * 40
    rows = ssot(lab, installs, [Postback(3, "net")] * 50 + [Postback(4, "net")] * 50)
    assert total(rows, "skan") == 100
    assert total(rows, "skan_beyond") == 0
    assert total(rows, "total_installs") == 100


def test_postbacks_beyond_the_credited_come_out_of_organic(lab: MartLab) -> None:
    installs = [Install(0, "net", DETERMINISTIC)] * 2 + [Install(0, "organic", ORGANIC)] * 10
    rows = ssot(lab, installs, [Postback(3, "net")] * 5)
    assert total(rows, "skan_beyond", source="net") == 3
    assert total(rows, "total_installs", source="net") == 5
    assert total(rows, "total_installs", source="organic") == 7
    assert total(rows, "total_installs") == 12


def test_a_postback_nothing_accounts_for_is_an_install_more(lab: MartLab) -> None:
    rows = ssot(lab, [Install(0, "organic", ORGANIC)], [Postback(5, "net"), Postback(4, "net")])
    assert (total(rows, "skan_beyond"), total(rows, "organic_in_skan")) == (2, 1)
    assert total(rows, "total_installs") == 2


def test_an_install_on_the_fourth_day_before_is_matched_and_on_the_fifth_is_not(lab: MartLab) -> None:
    at_the_edge = ssot(lab, [Install(0, "net", DETERMINISTIC)], [Postback(4, "net")])
    past_it = ssot(lab, [Install(0, "net", DETERMINISTIC)], [Postback(5, "net")])
    assert (total(at_the_edge, "skan_beyond"), total(past_it, "skan_beyond")) == (0, 1)


def test_installs_of_other_platforms_networks_apps_and_tenants_account_for_none(lab: MartLab) -> None:
    installs = [
        Install(0, "net", DETERMINISTIC, "android"),
        Install(0, "other", DETERMINISTIC),
        Install(0, "net", DETERMINISTIC, app="b"),
        Install(0, "net", DETERMINISTIC, tenant="t2"),
        Install(0, "organic", ORGANIC, "android"),
        Install(0, "organic", ORGANIC, app="b"),
        Install(0, "organic", ORGANIC, tenant="t2"),
    ]
    rows = ssot(lab, installs, [Postback(0, "net")])
    assert (total(rows, "skan_beyond"), total(rows, "organic_in_skan")) == (1, 0)
    assert total(rows, "total_installs", tenant_id="t2") == 2
    assert total(rows, "total_installs", tenant_id="t1", app_id="b") == 2


def test_a_network_with_spend_and_neither_install_nor_postback_keeps_its_spend(lab: MartLab) -> None:
    put(lab, [Install(0, "net", DETERMINISTIC)], [])
    spend = [
        {"source": source, "campaign": campaign, "model": model, "spend_micros": 7_000_000}
        for source, campaign, model in (
            ("quiet", "x", "last_touch"),
            ("quiet", "y", "last_touch"),
            ("quiet", "x", "linear"),
            ("net", "x", "last_touch"),
        )
    ]
    frame = pl.DataFrame(spend).with_columns(
        tenant_id=pl.lit("t1"), event_date=pl.lit(DAY), app_id=pl.lit("a")
    )
    lab.insert("marts.campaign_daily", frame)
    rows = lab.mart("ssot_daily").to_dicts()
    assert total(rows, "spend_micros", source="quiet", platform="") == 14_000_000
    assert total(rows, "spend_micros", source="net") == 7_000_000
    assert total(rows, "total_installs") == 1


WORLDS = 300  # each a tenant of its own, all in one query
SOURCES, APPS = ("net", "ads"), ("a", "b")


def random_world(random: Random, tenant: str) -> tuple[list[Install], list[Postback]]:
    """Some installs and postbacks within two weeks, so few that ties, gaps and left-overs are common."""

    def credited() -> Install:
        tier, platform = random.choice([1, 2, 3, 4]), random.choice(["ios", "ios", "android"])
        return Install(
            random.randint(0, 12), random.choice(SOURCES), tier, platform, random.choice(APPS), tenant
        )

    def organic() -> Install:
        platform = random.choice(["ios", "android"])
        return Install(random.randint(0, 12), "organic", ORGANIC, platform, random.choice(APPS), tenant)

    def postback() -> Postback:
        return Postback(random.randint(0, 14), random.choice(SOURCES), random.choice(APPS), tenant)

    installs = [random.choice([credited, organic])() for _ in range(random.randint(0, 30))]
    return installs, [postback() for _ in range(random.randint(0, 25))]


def test_in_any_world_no_install_is_counted_twice_and_none_is_lost(lab: MartLab) -> None:
    random = Random(7)  # noqa: S311 - worlds, not secrets
    worlds = {f"t{number}": random_world(random, f"t{number}") for number in range(WORLDS)}
    installs = [install for world, _ in worlds.values() for install in world]
    postbacks = [postback for _, world in worlds.values() for postback in world]
    random.shuffle(installs)
    rows = ssot(lab, installs, postbacks)
    by_tenant: dict[str, list[dict[str, Any]]] = {tenant: [] for tenant in worlds}
    for row in rows:
        by_tenant[row["tenant_id"]].append(row)
    assert total(rows, "skan_beyond") > total(rows, "organic_in_skan") > WORLDS  # the worlds have both
    for tenant, world in worlds.items():
        for app in APPS:
            check_app(by_tenant[tenant], app, *world)


def check_app(
    rows: list[dict[str, Any]], app: str, installs: list[Install], postbacks: list[Postback]
) -> None:
    """The view's numbers of one app are those of the plain matching."""
    beyond = Counter[int]()
    for source in SOURCES:
        credited = Counter(i.day for i in installs if (i.app, i.source, i.platform) == (app, source, "ios"))
        left = left_over(credited, Counter(p.day for p in postbacks if (p.app, p.source) == (app, source)))
        beyond += left
        for day in range(15):
            where = {"app_id": app, "source": source, "event_date": date(day)}
            assert total(rows, "skan_beyond", **where) == left[day]
    organic = Counter(i.day for i in installs if (i.app, i.tier, i.platform) == (app, ORGANIC, "ios"))
    unseen = left_over(organic, beyond)
    assert total(rows, "organic_in_skan", app_id=app) == beyond.total() - unseen.total()
    seen = sum(install.app == app for install in installs)
    assert total(rows, "total_installs", app_id=app) == seen + unseen.total()
