"""The synthetic world: reproducible, valid, and true to what it says of itself."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from jsonschema import Draft202012Validator, FormatChecker

from resources.errors import ContractError
from schemas import event_schemas
from simulator import draws
from simulator import parameters as p
from simulator.simulation import Simulation, TenantSimulation, simulate

END = dt.date(2026, 11, 19)
CLICK_WINDOW = dt.timedelta(days=7)
VIEW_WINDOW = dt.timedelta(hours=24)
Event = dict[str, Any]


@pytest.fixture(scope="module")
def world() -> Simulation:
    return simulate(["t123", "acme"], end_date=END, days=9, seed=7, events_total=24_000)


@pytest.fixture(scope="module", params=["t123", "acme"])
def tenant(world: Simulation, request: pytest.FixtureRequest) -> TenantSimulation:
    return next(one for one in world.tenants if one.tenant_id == request.param)


@pytest.fixture(scope="module")
def verdicts(tenant: TenantSimulation) -> tuple[list[Event], list[Event]]:
    """First deliveries that are valid by the reference validator, and those that are not."""
    formats = FormatChecker()
    validators = {
        kind: Draft202012Validator(schema, format_checker=formats) for kind, schema in event_schemas().items()
    }
    oldest = dt.datetime(END.year, END.month, END.day, tzinfo=dt.UTC) - dt.timedelta(days=30)
    valid: list[Event] = []
    broken: list[Event] = []
    for line in dict.fromkeys(tenant.deliveries):
        event = orjson.loads(line)
        validator = validators.get(event["eventType"])
        ok = validator is not None and validator.is_valid(event) and when(event["timestamp"]) > oldest
        (valid if ok else broken).append(event)
    return valid, broken


def when(timestamp: str) -> dt.datetime:
    return dt.datetime.fromisoformat(timestamp)


def test_the_target_number_of_deliveries_is_met_exactly(world: Simulation) -> None:
    assert [len(tenant.deliveries) for tenant in world.tenants] == [12_000, 12_000]
    odd = simulate(["a1", "b1", "c1"], end_date=END, days=2, seed=1, events_total=4_001)
    assert sum(len(tenant.deliveries) for tenant in odd.tenants) == 4_001


def test_every_delivery_is_valid_a_duplicate_or_malformed_as_counted(
    tenant: TenantSimulation, verdicts: tuple[list[Event], list[Event]]
) -> None:
    valid, broken = verdicts
    totals = tenant.totals
    assert len(valid) == totals["unique_valid"]
    assert len({event["eventId"] for event in valid}) == len(valid)
    assert (
        len(broken) == totals["malformed"] == sum(totals[f"malformed:{kind}"] for kind in p.MALFORMED_KINDS)
    )
    assert len(tenant.deliveries) - len(set(tenant.deliveries)) == totals["duplicates"]
    assert totals["sent"] == totals["unique_valid"] + totals["duplicates"] + totals["malformed"]


def test_counts_per_day_and_type_are_those_of_the_valid_events(
    tenant: TenantSimulation, verdicts: tuple[list[Event], list[Event]]
) -> None:
    valid, _ = verdicts
    events: Counter[tuple[dt.date, str]] = Counter()
    money: Counter[tuple[dt.date, str]] = Counter()
    for event in valid:
        key = (when(event["timestamp"]).date(), event["eventType"])
        events[key] += 1
        if event.get("currency") == "USD":
            money[key] += event.get("revenueMicros", 0) + event.get("spendMicros", 0)
    truth = {(row["event_date"], row["event_type"]): row for row in tenant.counts.to_pylist()}
    assert {key: row["events"] for key, row in truth.items()} == dict(events)
    sums = {key: row["revenue_micros"] + row["spend_micros"] for key, row in truth.items()}
    assert sums == {key: money[key] for key in events}
    assert {day for day, _ in events} == {END - dt.timedelta(days=age) for age in range(9)}


def test_the_same_seed_gives_the_same_bytes_and_tenants_do_not_depend_on_each_other(
    world: Simulation,
) -> None:
    again = simulate(["t123", "acme"], end_date=END, days=9, seed=7, events_total=24_000)
    assert [one.deliveries for one in again.tenants] == [one.deliveries for one in world.tenants]
    assert again.truth_tables() == world.truth_tables()
    alone = simulate(["acme"], end_date=END, days=9, seed=7, events_total=12_000)
    assert alone.tenants[0].deliveries == world.tenants[1].deliveries
    other = simulate(["acme"], end_date=END, days=9, seed=8, events_total=12_000)
    assert other.tenants[0].deliveries != alone.tenants[0].deliveries


def test_every_kind_of_event_and_of_install_is_there(
    tenant: TenantSimulation, verdicts: tuple[list[Event], list[Event]]
) -> None:
    valid, _ = verdicts
    kinds = {event["eventType"] for event in valid}
    assert kinds == set(event_schemas()) - {"skan_postback"}
    installs = [event for event in valid if event["eventType"] == "install"]
    assert sum("referrer" in event for event in installs) > 20
    assert sum("clickId" in event for event in installs) > 5
    matches = Counter(tenant.installs["true_match"].to_pylist())
    assert matches["click"] > matches["organic"] > matches["view"] > 10


def test_the_true_touch_is_the_devices_winning_touch_in_the_window(
    tenant: TenantSimulation, verdicts: tuple[list[Event], list[Event]]
) -> None:
    """The default rule set, spelled out: a later click, an eligible view or another app never contradicts."""
    valid, _ = verdicts
    by_id = {event["eventId"]: event for event in valid}
    touches: dict[tuple[str, str], list[Event]] = {}
    for event in valid:
        if event["eventType"] in {"click", "impression"}:
            touches.setdefault((event["deviceId"], event["appId"]), []).append(event)
            if "clickId" in event:
                touches.setdefault((event["clickId"], event["appId"]), []).append(event)
    for row in tenant.installs.to_pylist():
        install = by_id[row["install_id"]]
        assert when(install["timestamp"]) == row["install_time"]
        referrer = install.get("referrer", {}).get("clickId", install.get("clickId", ""))
        app = row["app_id"]
        candidates = touches.get((row["device_id"], app), []) + touches.get((referrer, app), [])
        ages = [(row["install_time"] - when(touch["timestamp"]), touch) for touch in candidates]
        clicks = [
            (age, t) for age, t in ages if t["eventType"] == "click" and dt.timedelta() <= age <= CLICK_WINDOW
        ]
        views = [
            (age, t)
            for age, t in ages
            if t["eventType"] == "impression" and dt.timedelta() <= age <= VIEW_WINDOW
        ]
        expected = min(clicks or views, key=lambda pair: pair[0], default=(None, None))[1]
        assert row["true_touch_id"] == (expected["eventId"] if expected else None)
        assert (
            row["true_match"]
            == {None: "organic", "click": "click", "impression": "view"}[
                expected["eventType"] if expected else None
            ]
        )
        if expected:
            assert (row["source"], row["campaign"]) == (expected["source"], expected["campaign"])
            if "referrer" in install:
                assert install["referrer"]["clickTime"] == expected["timestamp"]
                began = install["referrer"]["installBeginTime"]
                assert expected["timestamp"] < began < install["timestamp"]
        else:
            assert (row["source"], row["campaign"]) == ("organic", "")


def test_there_are_assists_stale_touches_and_clicks_of_people_who_never_install(
    tenant: TenantSimulation, verdicts: tuple[list[Event], list[Event]]
) -> None:
    valid, _ = verdicts
    winners = set(tenant.installs["true_touch_id"].to_pylist())
    devices = {row["device_id"]: row for row in tenant.installs.to_pylist()}
    losing = [e for e in valid if e["eventType"] in {"click", "impression"} and e["eventId"] not in winners]
    of_installers = [event for event in losing if event["deviceId"] in devices]
    assert len(of_installers) > 100
    organic = [event for event in of_installers if devices[event["deviceId"]]["true_match"] == "organic"]
    assert len(organic) > 10
    assert any(event["appId"] != devices[event["deviceId"]]["app_id"] for event in organic)
    assert sum(event["eventType"] == "click" for event in losing if event["deviceId"] not in devices) > 500


def test_late_events_arrive_after_events_of_later_days(tenant: TenantSimulation) -> None:
    newest = dt.datetime.min.replace(tzinfo=dt.UTC)
    late = 0
    for line in tenant.deliveries:
        stamp = orjson.loads(line).get("timestamp", "")
        if not stamp.endswith("Z") or stamp < "2026":
            continue
        moment = when(stamp)
        late += newest - moment > dt.timedelta(hours=6)
        newest = max(newest, moment)
    assert late > tenant.totals["late"] * 0.9 > 100


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_click_to_install_times_are_those_of_the_field(seed: int) -> None:
    delay_ms = draws.click_to_install_ms(np.random.default_rng(seed), 20_000)
    assert delay_ms.min() >= 10_000
    assert delay_ms.max() < 7 * p.DAY_MS
    assert (delay_ms < p.HOUR_MS).mean() == pytest.approx(0.75, abs=0.02)
    assert (delay_ms < p.DAY_MS).mean() == pytest.approx(0.94, abs=0.02)
    assert (delay_ms < 10_000 + p.SECOND_MS).mean() < 0.025  # the norm below 10 s; injection shows 17 %


def test_install_day_behaviour_predicts_the_next_three_days_revenue() -> None:
    """A least-squares fit on install-day sums of half of the users beats the mean on the other half."""
    tenant = simulate(["t123"], end_date=END, days=7, seed=3, events_total=60_000).tenants[0]
    installs = {row["device_id"]: row["install_time"].date() for row in tenant.installs.to_pylist()}
    first_day = {device: np.zeros(5) for device in installs}
    later = dict.fromkeys(installs, 0.0)
    for line in dict.fromkeys(tenant.deliveries):
        event = orjson.loads(line)
        stamp = event.get("timestamp", "")
        column = {"session": 0, "event": 1, "purchase": 2}.get(event["eventType"])
        if column is None or not stamp.endswith("Z") or "favouriteColour" in event:
            continue
        device, revenue = event["deviceId"], event.get("revenueMicros", 0) / 1e6
        age_days = (when(stamp).date() - installs[device]).days
        if age_days == 0:
            first_day[device] += np.eye(5)[column] + [0, 0, 0, event.get("durationMs", 0) / 6e4, revenue]
        elif 1 <= age_days <= 3:
            later[device] += revenue
    mature = [device for device, day in installs.items() if day <= END - dt.timedelta(days=3)]
    features = np.log1p(np.array([first_day[device] for device in mature]))
    features = np.column_stack([features, features**2, np.ones(len(mature))])
    label = np.array([later[device] for device in mature])
    weights = np.linalg.lstsq(features[::2], label[::2], rcond=None)[0]
    error = np.sqrt(np.mean((features[1::2] @ weights - label[1::2]) ** 2))
    baseline = np.sqrt(np.mean((label[::2].mean() - label[1::2]) ** 2))
    assert error < 0.9 * baseline


def test_written_files_hold_the_deliveries_and_the_truth(tmp_path: Path) -> None:
    world = simulate(["t123"], end_date=END, days=2, seed=5, users_per_tenant=60)
    world.write(tmp_path)
    packed = (tmp_path / "events" / "t123.ndjson.zst").read_bytes()
    assert zstandard.decompress(packed).splitlines() == world.tenants[0].deliveries
    for name, table in world.truth_tables().items():
        stored: pa.Table = pq.read_table(tmp_path / "truth" / f"{name}.parquet")
        assert stored.equals(table)
        assert set(stored["tenant_id"].to_pylist()) == {"t123"}


@pytest.mark.parametrize("users", [0, 1, 2])
def test_a_tiny_world_is_still_a_world(users: int) -> None:
    world = simulate(["t123"], end_date=END, days=1, seed=5, users_per_tenant=users)
    assert world.tenants[0].installs.num_rows <= users
    assert world.tenants[0].totals["unique_valid"] >= 30  # one day's spend rows


@pytest.mark.parametrize(
    "arguments",
    [
        {"days": 0, "events_total": 10},
        {"days": 1},
        {"days": 1, "events_total": 10, "users_per_tenant": 3},
    ],
)
def test_contradicting_arguments_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ContractError):
        simulate(["t123"], end_date=END, seed=1, **arguments)
