"""Replay: refused deliveries once more, judged and logged by the door's own code, in the contract of now.

Each row of raw.quarantine is opened and judged first, by the `Judge` of the door. Only what passes is sent, so what
is still refused stays the one row it is, however often it is tried. What passes is claimed (`replay_claims`) and
then appended to the event log as the very bytes that came, with the same event id: from there on it is an
accepted delivery like any other, and the lander, clean and the ledger treat it as one. An event whose id has been
accepted meanwhile (its sender corrected it and sent it again, or another refused delivery of it was replayed) is
not sent: it would only be a duplicate.

A delivery counts as received now. With `as_received` it is judged, and counts, as of when it came: for events that
were refused for a fault of ours and are too old by now. Its `received_at` is then the first one, so that it lies
where clean looks for events of its date.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import zstandard

from ingest_api import reasons
from ingest_api.accepted_ids import AcceptedIds
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogRecord, Rejection
from ingest_api.event_log.stores import open_event_log, open_log_reader
from ingest_api.quarantine import unseal_body
from ingest_api.replay_claims import LEASE, ReplayClaims, Standing, micros
from ingest_api.replay_verdicts import Opened, ReplayJudge
from resources.errors import ArtifactCorruptError, ServiceUnavailableError
from resources.pii import Keyring
from resources.quarantine import QuarantineFilter, received_range, sealed_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest_api.event_log.protocol import EventLog, LogReader
    from resources.lake import Lake
    from resources.settings import Settings

BATCH_ROWS = 2_000  # a claim's commit costs 30 ms and more: 15 µs per row
BATCH_BYTES = 4 * 1024 * 1024
ZSTD_LEVEL = 3


@dataclass
class ReplayReport:
    """What became of each matching row; `matched` is the sum of the others but `events`."""

    matched: int = 0
    replayed: int = 0
    replayed_before: int = 0
    under_way: int = 0
    already_accepted: int = 0
    still_refused: int = 0
    damaged: int = 0
    events: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def is_too_old_by_now(self) -> bool:
        """Whether rows are refused for their age, which `as_received` may heal."""
        return self.reasons[reasons.TIMESTAMP_TOO_OLD] > 0

    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        return {**vars(self), "reasons": dict(self.reasons.most_common())}


def now_utc() -> dt.datetime:
    """The moment now, in UTC."""
    return dt.datetime.now(dt.UTC)


class Replay:
    """Replays one tenant's refused deliveries; one object per replay."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        tenant_id: str,
        reader: LogReader | None,
        *,
        as_received: bool = False,
        clock: Callable[[], dt.datetime] = now_utc,
        after_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make a replay; `after_step` is told the name of each finished step (tests stop there)."""
        self._lake = lake
        self._tenant_id = tenant_id
        self._log: EventLog | None = None
        self._keyring = Keyring(settings.keys())
        self._judge = ReplayJudge(settings, tenant_id)
        self._claims = ReplayClaims(lake, tenant_id, reader)
        self._accepted = AcceptedIds(lake, tenant_id, settings.late_days)
        self._as_received = as_received
        self._clock = clock
        self._after_step = after_step
        self._standing = Standing()
        self._seen: set[str] = set()
        self._report = ReplayReport()

    async def run(self, wanted: QuarantineFilter, event_log: EventLog | None) -> ReplayReport:
        """Replay what matches of the tenant's, oldest day first; without a log nothing is claimed or sent.

        Raises:
            ServiceUnavailableError, EventLogFullError, CommitConflictError: what was sent before stays sent; run
                it again later.
            SettingsError: the key of a body is not in the keyring.
        """
        self._log = event_log
        wanted = replace(wanted, tenant_id=self._tenant_id)
        received = received_range(self._lake, wanted)
        if received is None:
            return self._report
        first, last = received
        self._standing = self._claims.standing(first, last, self._clock())
        self._seen |= self._standing.event_ids
        for number in range((last.date() - first.date()).days + 1):
            day = first.date() + dt.timedelta(days=number)
            await self._replay_day(replace(wanted, first=day, last=day))
        return self._report

    async def _replay_day(self, wanted: QuarantineFilter) -> None:
        batch: list[Opened] = []
        size_bytes = 0
        for row in sealed_rows(self._lake, wanted):
            opened = self._passing(row)
            if opened is None:
                continue
            if batch and (len(batch) >= BATCH_ROWS or size_bytes + opened.size_bytes > BATCH_BYTES):
                await self._replay_batch(batch)
                batch, size_bytes = [], 0
            batch.append(opened)
            size_bytes += opened.size_bytes
        if batch:
            await self._replay_batch(batch)

    def _passing(self, row: dict[str, Any]) -> Opened | None:
        """The row opened, when it is to be sent; else counted as what it is."""
        report, quarantine_id = self._report, row["quarantine_id"]
        report.matched += 1
        if quarantine_id in self._standing.landed:
            report.replayed_before += 1
            return None
        if quarantine_id in self._standing.under_way:
            report.under_way += 1
            return None
        try:
            body = unseal_body(self._keyring, self._tenant_id, quarantine_id, row["body_sealed"])
        except ArtifactCorruptError:
            report.damaged += 1
            return None
        opened = self._judge.opened(row, body, row["received_at"] if self._as_received else self._clock())
        if not opened.events:
            report.still_refused += 1
            report.reasons[opened.refusal.code] += 1
            report.examples.setdefault(opened.refusal.code, opened.refusal.reason)
            return None
        return opened

    async def _replay_batch(self, batch: Sequence[Opened]) -> None:
        fresh = self._not_accepted_yet(batch)
        self._report.already_accepted += len(batch) - len(fresh)
        if not fresh:
            return
        if self._log is not None:
            taken = await self._send(self._log, fresh)
            self._report.under_way += len(fresh) - len(taken)
            fresh = taken
        self._report.replayed += len(fresh)
        self._report.events += sum(len(opened.events) for opened in fresh)

    def _not_accepted_yet(self, batch: Sequence[Opened]) -> list[Opened]:
        """Rows with an event that neither raw.events nor a replay has; of two with one id, the first."""
        accepted = self._accepted.among(batch)
        fresh = []
        for opened in batch:
            new = [
                event_id
                for event_id, _ in opened.events
                if event_id not in accepted and event_id not in self._seen
            ]
            if new:
                fresh.append(opened)
                self._seen.update(new)
        return fresh

    async def _send(self, log: EventLog, rows: Sequence[Opened]) -> list[Opened]:
        """Claim and append; the rows that were ours to take."""
        if not log.is_writable():
            raise ServiceUnavailableError(
                f"tenant {self._tenant_id}: the event log takes nothing now: run the replay again when the lander "
                "has caught up; what was replayed before stays replayed"
            )
        self._after_step("judged")
        claimed_at = self._clock()
        claims = [
            claim
            for opened in rows
            for claim in opened.claims(self._received_at(opened, claimed_at), claimed_at)
        ]
        taken_ids = self._claims.take(claims, self._standing)
        self._after_step("claimed")
        taken = [opened for opened in rows if opened.quarantine_id in taken_ids]
        together: dict[tuple[dt.datetime, str], list[Opened]] = {}
        for opened in taken:
            key = self._received_at(opened, claimed_at), opened.version
            together.setdefault(key, []).append(opened)
        if self._clock() - claimed_at > LEASE / 2:
            raise ServiceUnavailableError(
                f"tenant {self._tenant_id}: claiming took too long, another replay may take these rows soon: run "
                f"the replay again in {LEASE.seconds // 60} minutes"
            )
        records = [_record(self._tenant_id, *key, rows) for key, rows in together.items()]
        await asyncio.gather(*(log.append(record) for record in records))
        self._after_step("sent")
        return taken

    def _received_at(self, opened: Opened, now: dt.datetime) -> dt.datetime:
        return opened.quarantined_at if self._as_received else now


def replay_quarantine(
    settings: Settings,
    lake: Lake,
    tenant_id: str,
    wanted: QuarantineFilter,
    *,
    as_received: bool = False,
    dry_run: bool = False,
    clock: Callable[[], dt.datetime] = now_utc,
    after_step: Callable[[str], None] = lambda _: None,
) -> ReplayReport:
    """Replay what matches, through the event log of these settings; `after_step` as `Replay` has it.

    Raises:
        UnMoGrowPError: as `Replay.run`, and DirectoryLockedError when no log directory is free.
    """
    reader = None if settings.event_log == "kafka" else open_log_reader(settings)
    replay = Replay(
        settings, lake, tenant_id, reader, as_received=as_received, clock=clock, after_step=after_step
    )

    async def run() -> ReplayReport:
        if dry_run:
            return await replay.run(wanted, None)
        event_log = open_event_log(settings)
        try:
            return await replay.run(wanted, event_log)
        finally:
            await event_log.close()

    return asyncio.run(run())


def _record(tenant_id: str, received_at: dt.datetime, version: str, rows: Sequence[Opened]) -> LogRecord:
    """One log record of these rows' deliveries: an array of the bytes that came."""
    raws: list[bytes] = []
    rejections: list[Rejection] = []
    for opened in rows:
        rejections += opened.rejections(len(raws))
        raws += opened.raws
    return LogRecord(
        tenant_id=tenant_id,
        received_at_us=micros(received_at),
        format=BodyFormat.ARRAY,
        encoding=BodyEncoding.ZSTD,
        event_count=len(raws),
        body=zstandard.compress(b"[" + b",".join(raws) + b"]", level=ZSTD_LEVEL),
        rejections=rejections,
        schema_version=version,
    )
