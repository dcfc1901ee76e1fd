"""Who replays which refused delivery: claims in `raw.replays`, written before anything is sent.

A claim names the delivery it will become (event id, `received_at`), so what became of it is read from the lake
and not from anyone's memory:

| claim | meaning | a later replay |
|---|---|---|
| raw.events holds its delivery | landed | leaves the row alone |
| younger than LEASE, or its record waits in the event log | under way | leaves it alone |
| neither | the replay died between claim and log | claims and sends it again |

Claims are fenced like landings are: of two replays that want one row, one commits and the other reads again. Two
looks are in this order so that nothing falls between them: first the log, then the lake, because a record leaves
the log only after it has landed. A Kafka log is not looked into (a second reader would take partitions from the
lander); there a claim is sent again once its lease is over though it may still wait: the same event id, which
clean holds once.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pyarrow as pa

from ingest_api.event_log.protocol import LogPosition
from resources.errors import CommitConflictError, ServiceUnavailableError
from resources.lake import OFFSET_PREFIX
from resources.lake_filters import all_of, at_least, at_most, equals, is_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest_api.event_log.protocol import LogReader
    from resources.lake import Lake

TABLE = "raw.replays"
OFFSET_KEY = f"{OFFSET_PREFIX}replays"
# From claim to durable takes milliseconds, a Kafka delivery 10 s at most: whoever is not done then is dead.
LEASE = dt.timedelta(minutes=5)
TRIES = 20  # commits lost in a row to other replays; each loser reads again first
WHOLE_LOG = 2**62


class Claim(NamedTuple):
    """One event of one refused delivery, and the delivery it becomes."""

    quarantined_at: dt.datetime
    quarantine_id: str
    event_id: str
    event_date: dt.date
    received_at: dt.datetime
    claimed_at: dt.datetime


@dataclass(frozen=True)
class Standing:
    """Where earlier replays stand: rows that landed, rows under way, claims that came to nothing, events in either."""

    landed: frozenset[str] = frozenset()
    under_way: frozenset[str] = frozenset()
    lost: frozenset[tuple[str, dt.datetime]] = frozenset()
    event_ids: frozenset[str] = frozenset()


class ReplayClaims:
    """One tenant's claims."""

    def __init__(self, lake: Lake, tenant_id: str, reader: LogReader | None) -> None:
        """Take the lake, and the event log's reading end where it may be looked into."""
        self._lake = lake
        self._tenant_id = tenant_id
        self._reader = reader

    def standing(self, first: dt.datetime, last: dt.datetime, now: dt.datetime) -> Standing:
        """Of rows refused within first..last."""
        claims = self._claims(first, last)
        landed = self._landed(claims)
        rest = [claim for claim in claims if claim.quarantine_id not in landed]
        young = {claim.quarantine_id for claim in rest if claim.claimed_at > now - LEASE}
        old = [claim for claim in rest if claim.quarantine_id not in young]
        waiting = self._waiting(old)
        landed |= self._landed(old)
        lost = [claim for claim in old if claim.quarantine_id not in landed | waiting]
        lost_ids = {claim.quarantine_id for claim in lost}
        return Standing(
            landed=frozenset(landed),
            under_way=frozenset(young | waiting - landed),
            lost=frozenset((claim.quarantine_id, claim.claimed_at) for claim in lost),
            event_ids=frozenset(claim.event_id for claim in claims if claim.quarantine_id not in lost_ids),
        )

    def take(self, claims: Sequence[Claim], standing: Standing) -> set[str]:
        """Write those claims whose row nobody else has claimed; the ids of their rows.

        Raises:
            CommitConflictError: other replays committed first, TRIES times in a row.
        """
        first = min(claim.quarantined_at for claim in claims)
        last = max(claim.quarantined_at for claim in claims)
        for _ in range(TRIES):
            number = self._lake.offsets(TABLE).get(OFFSET_KEY)  # before the claims are read: the fence
            known = ((claim.quarantine_id, claim.claimed_at) for claim in self._claims(first, last))
            taken = {quarantine_id for quarantine_id, at in known if (quarantine_id, at) not in standing.lost}
            free = [claim for claim in claims if claim.quarantine_id not in taken]
            if not free:
                return set()
            try:
                self._lake.append_with_offsets(
                    TABLE,
                    self._rows(free),
                    offsets={OFFSET_KEY: str(int(number or 0) + 1)},
                    expected_offsets={OFFSET_KEY: number} if number else {},
                    summary={},
                )
            except CommitConflictError:
                continue
            return {claim.quarantine_id for claim in free}
        raise CommitConflictError(
            f"tenant {self._tenant_id}: other replays keep committing before this one: run it again later"
        )

    def _claims(self, first: dt.datetime, last: dt.datetime) -> list[Claim]:
        within = all_of(
            equals("tenant_id", self._tenant_id),
            at_least("quarantined_at", first),
            at_most("quarantined_at", last),
        )
        return [Claim(*row) for row in self._lake.read(TABLE, within, Claim._fields).iter_rows()]

    def _landed(self, claims: Sequence[Claim]) -> set[str]:
        """Rows of the claims whose delivery is in raw.events."""
        if not claims:
            return set()
        exact = all_of(
            equals("tenant_id", self._tenant_id),
            is_in("event_date", {claim.event_date for claim in claims}),
            at_least("received_at", min(claim.received_at for claim in claims)),
            at_most("received_at", max(claim.received_at for claim in claims)),
        )
        keys = ["event_id", "received_at"]
        deliveries = self._lake.read("raw.events", exact, keys)
        frame = pl.DataFrame(self._rows(claims)).join(deliveries, on=keys, how="semi")
        return set(frame["quarantine_id"].to_list())

    def _waiting(self, claims: Sequence[Claim]) -> set[str]:
        """Rows of the claims whose record is in the event log and has not landed."""
        if not claims or self._reader is None:
            return set()
        waiting = self._unlanded(self._reader)
        return {claim.quarantine_id for claim in claims if micros(claim.received_at) in waiting}

    def _unlanded(self, reader: LogReader) -> set[int]:
        """`received_at` of the tenant's records in the event log that have not landed."""
        for _ in range(TRIES):
            offsets = self._lake.offsets("raw.events")
            starts = {writer: offsets.get(f"{OFFSET_PREFIX}{writer}") for writer in reader.writers()}
            try:
                return {
                    record.received_at_us
                    for writer, text in starts.items()
                    for _, record in reader.read(
                        writer, LogPosition.parse(text) if text else None, max_events=WHOLE_LOG
                    )
                    if record.tenant_id == self._tenant_id
                }
            except FileNotFoundError:  # a segment landed and was deleted while we looked: look again
                continue
        raise ServiceUnavailableError(
            f"tenant {self._tenant_id}: the lander empties the event log faster than it can be looked into: "
            "run the replay again"
        )

    def _rows(self, claims: Sequence[Claim]) -> pa.Table:
        rows = [{"tenant_id": self._tenant_id, **claim._asdict()} for claim in claims]
        return pa.Table.from_pylist(rows, schema=self._lake.arrow_schema(TABLE))


def micros(moment: dt.datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
