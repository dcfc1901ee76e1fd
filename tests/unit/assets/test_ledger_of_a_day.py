"""The ledger over the real door, lander and clean: exact counts, repeats and late ones included, replays followed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import orjson

from assets.checks.clean import ledger_result
from assets.clean import rebuild
from assets.partitions import RunSlices
from ingest_api.replay import replay_quarantine
from resources.ledger_reader import ledger_now, ledger_of_run
from resources.quarantine import QuarantineFilter
from tests.support.door import (
    OTHER_TENANT,
    OTHER_TOKEN,
    TENANT,
    Landing,
    RunningDoor,
    click,
    headers_of,
    now_text,
)

if TYPE_CHECKING:
    from resources.ledger import LedgerCounts
    from resources.settings import Settings

YESTERDAY = now_text(-dt.timedelta(days=1))
DAY = dt.date.fromisoformat(YESTERDAY[:10])
SLICES = RunSlices(TENANT, (DAY,))
TIGHT_BYTES = 260


def large(**fields: object) -> dict[str, object]:
    return click(timestamp=YESTERDAY, metadata={"text": "x" * 200}, **fields)


def counted(total: LedgerCounts) -> tuple[int, int, int, int, int, int]:
    return (
        total.received,
        total.clean,
        total.duplicate,
        total.not_yet_clean,
        total.quarantined,
        total.replayed,
    )


def test_every_delivery_of_a_day_is_followed_from_the_door_to_clean(settings: Settings) -> None:
    with (
        Landing(settings) as landing,
        RunningDoor(settings.with_changes(event_max_bytes=TIGHT_BYTES)) as door,
    ):

        def total() -> LedgerCounts:
            landing.land_all()
            [day] = ledger_now(landing.lake, TENANT, [DAY], settings.late_days)
            assert day.balances
            return day.total

        good = [click(timestamp=YESTERDAY) for _ in range(5)]
        moved = {**good[0], "timestamp": now_text()}  # the same id again, under another date
        refused = [large(), large(), large(surprise=1)]
        door.send_batch(orjson.dumps([*good, *good[:2], *refused, moved]))
        door.client.post(
            "/v1/events/ingest",
            json=click(tenantId=OTHER_TENANT),
            headers=headers_of(OTHER_TENANT, OTHER_TOKEN),
        )
        assert counted(total()) == (10, 0, 0, 7, 3, 0)

        rebuild(landing.lake, SLICES, settings.late_days, "run")
        assert counted(total()) == (10, 5, 2, 0, 3, 0)
        [check] = ledger_of_run(landing.lake, TENANT, [DAY], settings.late_days)
        assert counted(check.total) == (10, 5, 2, 0, 3, 0)

        door.send_batch(orjson.dumps([click(timestamp=YESTERDAY), good[4]]))
        assert counted(total()) == (12, 5, 2, 2, 3, 0)

        report = replay_quarantine(settings, landing.lake, TENANT, QuarantineFilter())
        assert (report.replayed, report.still_refused) == (2, 1)
        [waiting] = ledger_now(landing.lake, TENANT, [DAY], settings.late_days)
        assert counted(waiting.total) == (12, 5, 2, 2, 3, 0)  # in the log, still counted where it was
        assert counted(total()) == (12, 5, 2, 4, 1, 2)

        rebuild(landing.lake, SLICES, settings.late_days, "next run")
        final = total()
        assert counted(final) == (12, 8, 3, 0, 1, 2)
        assert final.by_reason == {"event_too_large": 1}
        run = ledger_of_run(landing.lake, TENANT, [DAY], settings.late_days)
        assert ledger_result(SLICES, run).passed

        [today] = ledger_now(landing.lake, TENANT, [DAY + dt.timedelta(days=1)], settings.late_days)
        assert today.total.received == 1  # `moved`; clean has not been made for its date
