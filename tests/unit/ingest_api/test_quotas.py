"""Quotas in memory and between workers, by a clock that the test turns; the same over a file and a real Redis."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_api.quota_counts import FileCounts, QuotaCounts, RedisCounts, Taken
from ingest_api.quotas import BURST_S, Quotas
from resources.errors import ServiceUnavailableError
from resources.registry import DoorLimits
from tests.support.redis_server import RedisServer

ENOUGH = 10**15
DAY = "2026-11-20"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def limited(clock: Clock, per_second: int = ENOUGH, per_day: int = ENOUGH) -> Quotas:
    quotas = Quotas(clock)
    quotas.set_limits({"t1": DoorLimits(per_second, per_day)})
    quotas.end_day_in(3600)
    return quotas


def taken_in_a_minute(quotas: Quotas, clock: Clock, batch: int, step_s: float = 0.001) -> int:
    taken = 0
    for _ in range(round(60 / step_s)):
        clock.now_s += step_s
        while quotas.refusal("t1") is None and quotas.charge("t1", batch) is None:
            taken += batch
    return taken


@pytest.mark.parametrize("batch", [1, 50, 300])
def test_a_minute_of_more_than_allowed_takes_what_is_allowed_to_one_percent(batch: int) -> None:
    clock = Clock()
    taken = taken_in_a_minute(limited(clock, per_second=1000), clock, batch)
    assert abs(taken - 60_000) <= 600


def test_a_batch_larger_than_a_second_is_taken_whole_and_then_paid_back() -> None:
    clock = Clock()
    quotas = limited(clock, per_second=1000)
    assert quotas.charge("t1", 10_000) is None
    refused = quotas.charge("t1", 1)
    assert refused is not None
    assert dict(refused.headers)[b"retry-after"] == b"10"
    clock.now_s += 10 - BURST_S - 0.01
    assert quotas.refusal("t1") is not None
    clock.now_s += 0.02
    assert quotas.refusal("t1") is None


def test_a_batch_that_does_not_fit_into_the_day_is_refused_whole_and_a_smaller_one_is_taken() -> None:
    clock = Clock()
    quotas = limited(clock, per_day=1000)
    assert quotas.charge("t1", 900) is None
    refused = quotas.charge("t1", 101)
    assert refused is not None
    problem = document(refused.body)
    assert (refused.status, problem["quota"], problem["limit"]) == (429, "events_per_day", 1000)
    assert "100 are left" in problem["detail"]
    assert dict(refused.headers)[b"retry-after"] == b"3600"
    assert quotas.charge("t1", 100) is None
    assert quotas.refusal("t1") is not None
    quotas.begin_day()
    assert quotas.refusal("t1") is None


def test_what_was_not_made_durable_is_not_charged() -> None:
    clock = Clock()
    quotas = limited(clock, per_second=10, per_day=100)
    assert quotas.charge("t1", 100) is None
    assert quotas.refusal("t1") is not None
    quotas.give_back("t1", 100)
    assert quotas.charge("t1", 100) is None


def test_a_raised_limit_counts_at_once_also_for_who_owes_a_lot() -> None:
    clock = Clock()
    quotas = limited(clock, per_second=1, per_day=10)
    assert quotas.charge("t1", 10) is None
    quotas.set_limits({"t1": DoorLimits(1000, 20)})
    assert quotas.charge("t1", 10) is None
    assert quotas.charge("t1", 1) is not None


def test_tenants_do_not_use_each_others_quota() -> None:
    clock = Clock()
    quotas = limited(clock, per_day=5)
    quotas.set_limits({"t1": DoorLimits(ENOUGH, 5), "t2": DoorLimits(ENOUGH, 5)})
    assert quotas.charge("t1", 5) is None
    assert quotas.charge("t1", 1) is not None
    assert quotas.charge("t2", 5) is None


@pytest.fixture(params=["file", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], QuotaCounts]]:
    made: list[QuotaCounts] = []

    def remembered(counts: QuotaCounts) -> QuotaCounts:
        made.append(counts)
        return counts

    if request.param == "file":
        yield lambda: remembered(FileCounts(tmp_path / "quotas.db"))
    else:
        with RedisServer(tmp_path) as server:
            yield lambda: remembered(RedisCounts(server.url))
    for counts in made:
        counts.close()


def test_workers_count_together_whoever_came_first_and_a_new_day_begins_at_nothing(
    opened: Callable[[], QuotaCounts],
) -> None:
    one, two = opened(), opened()
    assert one.add(DAY, [Taken("t1", 7, 0.0, 10.0)])["t1"].today == 7
    both = two.add(DAY, [Taken("t1", 5, 0.0, 10.0), Taken("t2", 1, 0.0, 10.0)])
    assert {tenant: each.today for tenant, each in both.items()} == {"t1": 12, "t2": 1}
    assert two.add("2026-11-21", [Taken("t1", 1, 0.0, 10.0)])["t1"].today == 1


def test_what_one_worker_owes_all_owe_until_the_limit_changes(opened: Callable[[], QuotaCounts]) -> None:
    one, two = opened(), opened()
    one.add(DAY, [Taken("t1", 1000, 100.0, 10.0)])
    assert 90 < two.add(DAY, [Taken("t1", 0, 0.0, 10.0)])["t1"].owed_s < 100
    assert two.add(DAY, [Taken("t1", 0, 0.0, 20.0)])["t1"].owed_s <= 0


def test_no_addition_is_lost_between_workers(opened: Callable[[], QuotaCounts]) -> None:
    def worker() -> None:
        counts = opened()
        for _ in range(50):
            counts.add(DAY, [Taken("t1", 3, 0.0, 10.0)])

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened().add(DAY, [Taken("t1", 0, 0.0, 10.0)])["t1"].today == 600


def test_four_workers_that_share_every_50_ms_take_a_minutes_worth_to_one_percent(tmp_path: Path) -> None:
    clock, wall = Clock(), Clock()
    workers = [limited(clock, per_second=1000) for _ in range(4)]
    counts = [FileCounts(tmp_path / "quotas.db", wall) for _ in workers]
    taken = 0
    for tick in range(60_000):
        clock.now_s = wall.now_s = 1_000 + tick / 1000
        for quotas in workers:
            while quotas.refusal("t1") is None and quotas.charge("t1", 10) is None:
                taken += 10
        if tick % 50 == 0:
            for quotas, shared in zip(workers, counts, strict=True):
                exchange(quotas, shared)
    for shared in counts:
        shared.close()
    assert abs(taken - 60_000) <= 600


def exchange(quotas: Quotas, counts: QuotaCounts) -> None:
    (use,) = [use for _, use in quotas.uses()]
    taken = Taken("t1", use.unshared, use.unshared_rate * use.seconds_per_event, use.per_second)
    use.unshared_rate = 0
    quotas.share("t1", counts.add(DAY, [taken])["t1"], taken.events)


def test_redis_that_is_away_is_said_so(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        counts = RedisCounts(server.url)
        counts.add(DAY, [Taken("t1", 1, 0.0, 10.0)])
        server.stop()
        with pytest.raises(ServiceUnavailableError, match="cannot be kept in Redis"):
            counts.add(DAY, [Taken("t1", 1, 0.0, 10.0)])
        server.start()
        assert counts.add(DAY, [Taken("t1", 1, 0.0, 10.0)])["t1"].today == 1
        counts.close()


def document(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body)
    return found
