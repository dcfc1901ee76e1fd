"""Quotas at a real door: refused whole with the limit's name, changed within seconds, kept over a restart."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from resources.plans import Quota
from resources.registry import DoorLimits
from resources.settings import Settings
from tests.support.door import TENANT, Keys, Landing, RunningDoor, click
from tests.support.redis_server import RedisServer

ENOUGH = 10**12


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, key_cache_s=0.05, segment_max_age_s=0.2)


def limited_keys(per_second: int = ENOUGH, per_day: int = ENOUGH) -> Keys:
    keys = Keys()
    keys.limits = {TENANT: DoorLimits(per_second, per_day)}
    return keys


def batch(rows: int) -> bytes:
    return orjson.dumps([click() for _ in range(rows)])


def test_a_batch_over_the_day_is_refused_whole_with_the_limits_name_and_nothing_of_it_lands(
    settings: Settings,
) -> None:
    with RunningDoor(settings, keys=limited_keys(per_day=10)) as door:
        assert door.send_batch(batch(8)).status_code == 202
        refused = door.send_batch(batch(3))
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 86_400
        problem = refused.json()
        assert (problem["code"], problem["quota"], problem["limit"]) == ("over_quota", "events_per_day", 10)
        assert door.send_batch(batch(2)).status_code == 202
        assert door.send(click()).status_code == 429
    with Landing(settings) as landing:
        landing.land_all()
        assert len(landing.rows()) == 10


def test_a_limit_that_is_raised_counts_within_seconds(settings: Settings) -> None:
    keys = limited_keys(per_day=1)
    with RunningDoor(settings, keys=keys) as door:
        assert door.send(click()).status_code == 202
        assert door.send(click()).status_code == 429
        keys.limits = {TENANT: DoorLimits(ENOUGH, 2)}
        assert eventually(door) == 202
        assert door.send(click()).status_code == 429


def eventually(door: RunningDoor) -> int:
    deadline = time.monotonic() + 20
    while (status := door.send(click()).status_code) != 202 and time.monotonic() < deadline:
        time.sleep(0.1)
    return status


@pytest.mark.parametrize("is_shared", [False, True])
def test_the_day_goes_on_after_a_restart(settings: Settings, tmp_path: Path, is_shared: bool) -> None:
    if not is_shared:
        restarted(settings)
        return
    with RedisServer(tmp_path) as server:
        restarted(settings.with_changes(redis_url=server.url))


def restarted(settings: Settings) -> None:
    with RunningDoor(settings, keys=limited_keys(per_day=5)) as door:
        assert door.send_batch(batch(5)).status_code == 202
    with RunningDoor(settings, keys=limited_keys(per_day=5)) as door:
        assert door.send(click()).status_code == 429


def test_a_door_whose_redis_is_away_takes_events_and_limits_them_by_itself(
    settings: Settings, tmp_path: Path
) -> None:
    with RedisServer(tmp_path) as server:
        away = settings.with_changes(redis_url=server.url)
    with RunningDoor(away, keys=limited_keys(per_day=1)) as door:
        assert door.send(click()).status_code == 202
        assert door.send(click()).status_code == 429


def test_two_doors_on_one_redis_share_a_tenants_day(settings: Settings, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        shared = settings.with_changes(redis_url=server.url)
        shares_a_day(shared, shared.with_changes(home=tmp_path / "other"))


def test_two_workers_of_one_home_share_a_tenants_day_without_redis(settings: Settings) -> None:
    worker = settings.with_changes(ingest_workers=2)
    shares_a_day(worker, worker)


def shares_a_day(one_s: Settings, two_s: Settings) -> None:
    keys = limited_keys(per_day=6)
    with RunningDoor(one_s, keys=keys) as one, RunningDoor(two_s, keys=keys) as two:
        taken = 0
        for number in range(10):
            taken += (one, two)[number % 2].send(click()).status_code == 202
            time.sleep(0.3)  # the doors tell each other every 50 ms
    assert taken == 6


def test_a_real_door_takes_the_limits_rate_over_some_seconds(settings: Settings) -> None:
    rate, rows, seconds = 1000, 10, 4.0
    with RunningDoor(settings, keys=limited_keys(per_second=rate)) as door:
        body = batch(rows)
        door.send_batch(body)
        taken, began_s = 0, time.monotonic()
        while (elapsed_s := time.monotonic() - began_s) < seconds:
            if door.send_batch(body).status_code == 202:
                taken += rows
        # 0.25 s of burst, one request, one that answers late
        assert taken <= rate * (elapsed_s + 0.25) + 2 * rows
        assert taken >= 0.8 * rate * seconds


def test_eighty_and_a_hundred_percent_are_told_once_each(settings: Settings) -> None:
    keys = limited_keys(per_day=10)
    with RunningDoor(settings, keys=keys) as door:
        assert door.send_batch(batch(8)).status_code == 202
        assert told(keys, 1) == [(TENANT, Quota.EVENTS_PER_DAY, 8, 10)]
        assert door.send_batch(batch(3)).status_code == 429
        assert told(keys, 2)[1] == (TENANT, Quota.EVENTS_PER_DAY, 10, 10)
        time.sleep(1.5)
    assert len(keys.told) == 2


def told(keys: Keys, number: int) -> list[tuple[str, Quota, int, int]]:
    deadline = time.monotonic() + 20
    while len(keys.told) < number and time.monotonic() < deadline:
        time.sleep(0.05)
    return [(tenant, quota, used, limit) for tenant, quota, _, used, limit in keys.told]


def test_refusals_are_counted_for_prometheus(settings: Settings) -> None:
    with RunningDoor(settings, keys=limited_keys(per_day=1)) as door:
        door.send(click())
        door.send(click())
        token: dict[str, Any] = {"Authorization": f"Bearer {settings.scrape_token()}"}
        text = door.client.get("/metrics", headers=token).text
    assert f'unmogrowp_ingest_over_quota_requests_total{{tenant_id="{TENANT}"}} 1.0' in text
