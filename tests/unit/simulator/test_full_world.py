"""The full world: valid, reproducible, and each kind of match, return, fraud and clock as its truth says."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import orjson
import polars as pl
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from schemas import event_schemas
from simulator import parameters as p
from simulator.frames import FrameWorld, simulate_frame
from simulator.simulation import TenantSimulation, simulate

END = dt.date(2026, 11, 19)
DAYS = 14
MS = pl.duration(milliseconds=1)


@pytest.fixture(scope="module")
def tenant() -> TenantSimulation:
    return simulate(["t123"], end_date=END, days=9, seed=7, users_per_tenant=500, world="full").tenants[0]


@pytest.fixture(scope="module")
def world() -> FrameWorld:
    return simulate_frame("t123", end_date=END, days=DAYS, seed=3, users=4_000)


@pytest.fixture(scope="module")
def cases(world: FrameWorld) -> pl.DataFrame:
    """First installs with their own event and the touch that caused them."""
    columns = ["event_time", "device_id", "ip_pseudonym", "user_agent_pseudonym", "os_version"]
    installs = world.events.filter(event_type="install").select(
        *columns, "install_begin_time", "referrer_click_id", "device_model", "app_id", install_id="event_id"
    )
    touches = world.events.filter(pl.col("event_type").is_in(["click", "impression"])).select(
        *columns, "click_id", "app_id", "source", "event_type", true_touch_id="event_id"
    )
    truth = world.truth["installs"].select(
        "install_id",
        "true_match",
        "true_touch_id",
        "match_kind",
        "fraud_kind",
        "is_reinstall",
        "install_time",
    )
    return truth.join(installs, on="install_id").join(
        touches, on="true_touch_id", how="left", suffix="_touch"
    )


def test_every_delivery_is_valid_a_duplicate_or_malformed_as_counted(tenant: TenantSimulation) -> None:
    formats = FormatChecker()
    validators = {
        kind: Draft202012Validator(schema, format_checker=formats) for kind, schema in event_schemas().items()
    }
    oldest = (END - dt.timedelta(days=30)).isoformat()
    valid = 0
    for line in dict.fromkeys(tenant.deliveries):
        event: dict[str, Any] = orjson.loads(line)
        validator = validators.get(event["eventType"])
        valid += bool(validator and validator.is_valid(event) and event["timestamp"] > oldest)
    assert valid == tenant.totals["unique_valid"]
    assert len(tenant.deliveries) == tenant.totals["sent"]


def test_the_same_seed_gives_the_same_bytes_and_tenants_do_not_depend_on_each_other() -> None:
    arguments: dict[str, Any] = {
        "end_date": END,
        "days": 3,
        "seed": 5,
        "users_per_tenant": 80,
        "world": "full",
    }
    both, alone = simulate(["acme", "t123"], **arguments), simulate(["t123"], **arguments)
    assert both.tenants[1].deliveries == alone.tenants[0].deliveries
    assert both.tenants[1].truth == alone.tenants[0].truth
    assert both.tenants[0].deliveries != alone.tenants[0].deliveries
    assert set(both.truth_tables()) == {
        "installs",
        "conversions",
        "touches",
        "publishers",
        "counts",
        "totals",
    }


def test_the_target_number_of_deliveries_is_met_exactly() -> None:
    world = simulate(["a1", "b1"], end_date=END, days=4, seed=1, events_total=9_001, world="full")
    assert sum(len(tenant.deliveries) for tenant in world.tenants) == 9_001


def test_every_kind_of_match_fraud_and_return_is_there(world: FrameWorld) -> None:
    installs, conversions = world.truth["installs"], world.truth["conversions"]
    kinds = Counter(installs["match_kind"].to_list())
    assert set(kinds) == {"", "referrer", "click_id", "device_id", "probabilistic"}
    assert min(kinds.values()) > 100
    frauds = set(installs["fraud_kind"].to_list())
    assert frauds == {"", "click_flooding", "hyper_engagement", "injection", "device_farm"}
    types = Counter(conversions["conversion_type"].to_list())
    assert set(types) == {"re_attribution", "reinstall", "re_engagement", "return", "purchase"}
    assert min(types.values()) > 5
    assert set(conversions["install_id"]) <= set(installs["install_id"])


def test_a_match_kind_names_what_install_and_touch_share(cases: pl.DataFrame) -> None:
    first = cases.filter(~pl.col("is_reinstall"))
    shares = {
        "referrer": pl.col("referrer_click_id") == pl.col("click_id"),
        "device_id": pl.col("device_id") == pl.col("device_id_touch"),
        "probabilistic": pl.all_horizontal(
            pl.col(name) == pl.col(f"{name}_touch")
            for name in ("ip_pseudonym", "user_agent_pseudonym", "os_version")
        ),
    }
    held = {
        kind: first.filter(match_kind=kind).select(share.fill_null(value=False).mean()).item()
        for kind, share in shares.items()
    }
    assert held["referrer"] == held["device_id"] == 1.0
    assert 0.7 < held["probabilistic"] < 0.97  # who moved or used another browser cannot be matched
    unmatched = first.filter(match_kind="probabilistic")
    assert (unmatched["device_id"] != unmatched["device_id_touch"]).all()
    assert (unmatched["app_id"] == unmatched["app_id_touch"]).all()


def test_fingerprints_are_shared_by_strangers_as_behind_a_nat(world: FrameWorld) -> None:
    clicks = world.events.filter(
        pl.col("event_type") == "click", pl.col("user_agent_pseudonym").is_not_null()
    )
    crowd = clicks.group_by("ip_pseudonym").agg(pl.col("device_id").n_unique())["device_id"]
    assert crowd.max() > 5
    assert clicks["user_agent_pseudonym"].n_unique() > 200


def test_a_wrong_clock_shifts_installs_by_minutes_at_most(cases: pl.DataFrame) -> None:
    shift_ms = (cases["event_time"] - cases["install_time"]).dt.total_milliseconds()
    skewed = (shift_ms != 0).mean()
    assert skewed == pytest.approx(p.SKEWED_CLOCK_SHARE, abs=0.01)
    assert shift_ms.abs().max() <= p.SKEW_MAX_MS
    assert shift_ms.min() < 0 < shift_ms.max()


def test_two_devices_of_one_user_have_the_app(world: FrameWorld) -> None:
    installs = world.events.filter(event_type="install")
    per_user = installs.group_by("user_id", "app_id").agg(pl.col("device_id").n_unique())["device_id"]
    assert ((per_user == 2).sum() * 2) / installs.height == pytest.approx(p.TWO_DEVICES_SHARE, abs=0.015)


def test_injected_clicks_come_after_the_download_began_or_seconds_before_the_open(world: FrameWorld) -> None:
    injected = world.truth["touches"].filter(fraud_kind="injection")
    clicks = world.events.join(injected, left_on="event_id", right_on="touch_id")
    truth = world.truth["installs"].filter(fraud_kind="injection", is_reinstall=False)
    installs = world.events.join(truth.select("install_id"), left_on="event_id", right_on="install_id")
    pairs = clicks.join(installs, on=["device_id", "app_id"], suffix="_install")
    assert pairs.height == injected.height > 20
    ctit_ms = (pairs["event_time_install"] - pairs["event_time"]).dt.total_milliseconds()
    after_begin = pairs["event_time"] > pairs["install_begin_time_install"]
    assert ((ctit_ms < 5_000) | after_begin.fill_null(value=False)).mean() > 0.9
    assert (ctit_ms < 5_000).mean() == pytest.approx(p.INJECTED_LAST_SECONDS_SHARE, abs=0.2)


def test_flooders_spread_clicks_evenly_and_mostly_over_devices_that_never_install(world: FrameWorld) -> None:
    clicks = world.events.filter(pl.col("source").is_in([p.PUBLISHERS[place] for place in p.FLOODERS]))
    assert clicks.group_by("source").agg(pl.col("app_id").n_unique())["app_id"].to_list() == [1, 1]
    per_day = clicks.group_by("event_date").len()["len"]
    assert per_day.len() == DAYS
    assert per_day.max() < 2 * per_day.min()
    installing = set(world.events.filter(event_type="install")["device_id"])
    hits = clicks["device_id"].is_in(installing).mean()
    assert hits == pytest.approx(1 / (1 + p.FLOOD_WASTE), abs=0.05)


def test_farms_install_many_devices_in_one_network_on_one_day(cases: pl.DataFrame) -> None:
    farmed = cases.filter(fraud_kind="device_farm")
    assert farmed.height == round(4_000 * p.FARM_SHARE)
    batches = farmed.group_by("ip_pseudonym", pl.col("event_time").dt.date()).len()
    assert batches["len"].max() > 10
    assert (farmed["source"] == p.PUBLISHERS[p.FARMER]).all()
    emulated = farmed["device_model"].is_in(p.EMULATOR_MODELS).mean()
    assert emulated == pytest.approx(p.FARM_EMULATOR_SHARE, abs=0.2)


def test_bots_click_more_than_the_cap_and_their_victims_clicked_an_honest_ad_between(
    world: FrameWorld,
) -> None:
    bots = world.events.filter(source=p.PUBLISHERS[p.HYPER])
    assert bots.group_by("device_id", "event_date").len()["len"].max() > 100
    victims = world.truth["installs"].filter(fraud_kind="hyper_engagement")
    assert (victims["true_match"] == "click").all()


def test_a_return_comes_after_the_inactivity_and_a_caused_one_right_after_its_click(
    world: FrameWorld,
) -> None:
    kinds = ["install", "session", "event", "purchase"]
    active = world.events.filter(pl.col("event_type").is_in(kinds)).select(
        "device_id", "app_id", "event_time"
    )
    returns = world.truth["conversions"].filter(pl.col("conversion_type").is_in(["re_engagement", "return"]))
    sessions = world.events.join(returns, left_on="event_id", right_on="conversion_id")
    before = sessions.join(active, on=["device_id", "app_id"], suffix="_before").filter(
        pl.col("event_time_before") < pl.col("event_time")
    )
    gaps = before.group_by("event_id").agg((pl.col("event_time") - pl.col("event_time_before")).min())
    assert gaps.height == returns.height
    assert gaps["event_time"].min() >= dt.timedelta(days=7)
    caused = sessions.filter(conversion_type="re_engagement").join(
        world.events.select("event_id", "event_time"),
        left_on="true_touch_id",
        right_on="event_id",
        suffix="_touch",
    )
    ages = (caused["event_time"] - caused["event_time_touch"]).dt.total_milliseconds()
    assert ages.is_between(0, 3 * p.HOUR_MS).mean() > 0.9  # but for wrong clocks


def test_a_reinstall_after_the_re_attribution_window_is_a_new_install() -> None:
    world = simulate_frame("t123", end_date=END, days=125, seed=2, users=1_200)
    installs = world.truth["installs"].sort("install_time")
    repeated = installs.with_columns(first=pl.col("install_time").first().over("device_id", "app_id")).filter(
        pl.col("install_time") > pl.col("first")
    )
    gap = repeated["install_time"] - repeated["first"]
    assert ((gap > dt.timedelta(days=90)) == ~repeated["is_reinstall"]).all()
    assert repeated["is_reinstall"].sum() > 20
    assert (~repeated["is_reinstall"]).sum() > 2


@pytest.mark.parametrize("users", [0, 1, 7])
def test_a_tiny_world_is_still_a_world(users: int) -> None:
    world = simulate_frame("t123", end_date=END, days=1, seed=5, users=users)
    assert world.events.height >= 30  # one day's spend rows
    assert world.truth["installs"].height <= users
