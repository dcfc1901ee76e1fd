"""Whether a stack has nothing left to do: all events landed, no slice waiting, no run in flight.

For commands and tests that wait for the graph; the graph itself needs none of it.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING

from resources.dagster_client import IN_FLIGHT, DagsterClient
from resources.errors import ServiceUnavailableError
from resources.lake import Lake, current_snapshot_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.settings import Settings

# A finished run may cause the next one: a sensor ticks every 5 s and the queue is read every 5 s.
REST_S = 12.0
POLL_S = 1.0


class StackWatch:
    """Looks at one stack from outside."""

    def __init__(self, settings: Settings) -> None:
        self._lander_status = settings.home / "status" / "lander.json"
        self._lake = Lake(settings)
        self.dagster = DagsterClient(f"http://{settings.bind_host}:{settings.dagster_port}")

    def wait(self, timeout_s: float, check: Callable[[], None] = lambda: None) -> None:
        """Return once nothing has been left to do for REST_S; `check` may raise to end the waiting.

        Raises:
            ServiceUnavailableError: the time is over; the message says what is still going on.
        """
        started = dt.datetime.now(dt.UTC)
        deadline, resting_since = time.monotonic() + timeout_s, time.monotonic()
        while True:
            check()
            busy = self.busy(started)
            if busy:
                resting_since = time.monotonic()
            elif time.monotonic() - resting_since >= REST_S:
                return
            if time.monotonic() > deadline:
                raise ServiceUnavailableError(
                    f"the graph did not come to rest within {timeout_s:.0f} s: {busy}"
                )
            time.sleep(POLL_S)

    def busy(self, since: dt.datetime) -> str | None:
        """What is still going on, None when nothing; the lander must have looked at the log after `since`."""
        if not self._landed(since):
            return "events wait in the log"
        running = self.dagster.runs(statuses=IN_FLIGHT)
        if running:
            return ", ".join(f"{run.job} {run.status.lower()}" for run in running)
        cursor = json.loads(self.dagster.sensor_cursor("landed_slices") or "{}")
        if cursor.get("pending"):
            return f"slices wait for their run: {cursor['pending']}"
        if cursor.get("snapshot_id") != current_snapshot_id(self._lake.table("raw.events")):
            return "the landing sensor has not seen the newest snapshot"
        return None

    def _landed(self, since: dt.datetime) -> bool:
        if not self._lander_status.exists():
            return False
        status = json.loads(self._lander_status.read_text())
        return dt.datetime.fromisoformat(status["at"]) > since and status["backlog_bytes"] == 0
