"""A replay sends each event once, whenever it dies and whoever replays beside it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
import pytest

from ingest_api.replay import now_utc
from ingest_api.replay_claims import LEASE, Claim, ReplayClaims, Standing
from resources.lake import Lake
from tests.support.door import TENANT

if TYPE_CHECKING:
    from resources.settings import Settings
from tests.support.replays import (
    PowerCutError,
    accepted,
    assert_adds_up,
    cut_after,
    land,
    large,
    logged_events,
    refuse,
    replay,
)


@pytest.mark.parametrize("is_landed", [False, True])
def test_a_replay_that_dies_after_the_log_took_the_events_is_not_repeated(
    settings: Settings, is_landed: bool
) -> None:
    refuse(settings, orjson.dumps([large(), large()]))
    with pytest.raises(PowerCutError):
        replay(settings, after_step=cut_after("sent"))
    if is_landed:
        land(settings)
    report = replay(settings, later=2 * LEASE)
    assert (report.replayed_before, report.under_way) == ((2, 0) if is_landed else (0, 2))
    land(settings)
    assert replay(settings, later=2 * LEASE).replayed_before == 2
    land(settings)
    assert len(accepted(settings)) == 2


def test_a_replay_that_dies_before_the_log_took_the_events_is_made_good_after_its_lease(
    settings: Settings,
) -> None:
    events = [large(), large()]
    refuse(settings, orjson.dumps(events))
    with pytest.raises(PowerCutError):
        replay(settings, after_step=cut_after("claimed"))
    assert logged_events(settings) == 0
    report = replay(settings)
    assert (report.replayed, report.under_way) == (0, 2)  # its claims are young: it may live yet
    report = replay(settings, later=2 * LEASE)
    assert (report.replayed, report.under_way) == (2, 0)
    land(settings)
    assert replay(settings, later=4 * LEASE).replayed_before == 2
    land(settings)
    assert accepted(settings) == sorted(event["eventId"] for event in events)


def test_replays_that_run_together_send_each_event_once(settings: Settings) -> None:
    events = [large() for _ in range(50)]
    refuse(settings, orjson.dumps(events))
    both_have_judged = threading.Barrier(2)

    def meet(step: str) -> None:
        if step == "judged":
            both_have_judged.wait(timeout=60)

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(replay, settings, after_step=meet) for _ in range(2)]
        reports = [future.result() for future in futures]
    for report in reports:
        assert_adds_up(report)
        assert report.matched == 50
    assert sum(report.replayed for report in reports) == 50
    land(settings)
    assert accepted(settings) == sorted(event["eventId"] for event in events)


def test_a_claim_that_comes_between_anothers_look_and_its_commit_wins(settings: Settings) -> None:
    now = now_utc()

    def claims(event_id: str) -> list[Claim]:
        return [Claim(now, f"q{number}", event_id, now.date(), now, now) for number in (1, 2)]

    class InterruptedLake(Lake):
        """Between the look and the commit of its first claim, another replay claims one of the rows."""

        def read(self, name: str, *arguments: Any) -> pl.DataFrame:
            found = super().read(name, *arguments)
            if not self.offsets(name):
                taken = ReplayClaims(Lake(settings), TENANT, None).take(claims("other")[:1], Standing())
                assert taken == {"q1"}
            return found

    lake = InterruptedLake(settings)
    lake.ensure_tables()
    assert ReplayClaims(lake, TENANT, None).take(claims("own"), Standing()) == {"q2"}
    rows = lake.table("raw.replays").scan().to_arrow().to_pylist()
    assert sorted((row["quarantine_id"], row["event_id"]) for row in rows) == [("q1", "other"), ("q2", "own")]
