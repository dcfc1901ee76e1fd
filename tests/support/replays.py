"""A door that refused events, and their replay under roomier limits."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from ingest_api.event_log.stores import open_log_reader
from ingest_api.replay import ReplayReport, now_utc, replay_quarantine
from resources.quarantine import QuarantineFilter
from tests.support.door import TENANT, Landing, RunningDoor, click

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.settings import Settings


TIGHT_BYTES = 260  # a click without metadata fits; one with METADATA does not


METADATA = {"text": "ż🙂" * 60}


class PowerCutError(BaseException):
    """Ends a replay like a crash: nothing catches it."""


def refuse(settings: Settings, *bodies: bytes) -> None:
    """Deliveries that a door of a tighter contract refuses, landed in quarantine."""
    with RunningDoor(settings.with_changes(event_max_bytes=TIGHT_BYTES)) as door:
        for body in bodies:
            assert door.send_batch(body).status_code in (202, 400)
    land(settings)


def land(settings: Settings) -> None:
    with Landing(settings) as landing:
        landing.land_all()


def large(**fields: Any) -> dict[str, Any]:
    return click(metadata=METADATA, **fields)


def replay(
    settings: Settings,
    *,
    later: dt.timedelta = dt.timedelta(),
    after_step: Callable[[str], None] = lambda _: None,
    reason_code: str | None = None,
    **options: bool,
) -> ReplayReport:
    with Landing(settings) as landing:
        return replay_quarantine(
            settings,
            landing.lake,
            TENANT,
            QuarantineFilter(reason_code=reason_code),
            clock=lambda: now_utc() + later,
            after_step=after_step,
            **options,
        )


def accepted(settings: Settings) -> list[str]:
    with Landing(settings) as landing:
        return sorted(row["event_id"] for row in landing.rows())


def logged_events(settings: Settings) -> int:
    reader = open_log_reader(settings)
    return sum(
        record.event_count
        for writer in reader.writers()
        for _, record in reader.read(writer, None, max_events=10**9)
    )


def cut_after(step: str) -> Callable[[str], None]:
    def cut(name: str) -> None:
        if name == step:
            raise PowerCutError

    return cut


def assert_adds_up(report: ReplayReport) -> None:
    parts = (report.replayed, report.replayed_before, report.under_way, report.already_accepted)
    assert report.matched == sum(parts) + report.still_refused + report.damaged
    assert report.still_refused == report.reasons.total()
