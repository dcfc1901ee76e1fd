"""The lander: log records into the lake, exactly once; then their log segments go.

One landing is: read → originals to the vault → commit `raw.quarantine` → commit `raw.events` → release. Each
table keeps the log position it holds (`unmogrowp.offset.<writer>`) in the same commit as the rows, so a crash
between any two steps repeats only what is not there yet:

- quarantine is committed first, so what `raw.events` holds a position for is complete in both;
- rows of a record at or before quarantine's own position are not written there again;
- a second lander's commit is refused (CommitConflictError), because it expects the positions it read.

Rows are made in `landing`; the process around this is `lander_service`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import ingest_api.arrow_heap  # noqa: F401 - before anything that loads pyarrow
from ingest_api.event_log.protocol import LogPosition
from ingest_api.landing import Batch, LandedRows, slices_of
from ingest_api.remembered import Remembered
from resources.lake import OFFSET_PREFIX, SLICES_KEY, slices_json
from resources.lake_history import LAND_SEQ_KEY
from resources.pii import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingest_api.event_log.protocol import LogReader
    from resources.lake import Lake
    from resources.settings import Settings
    from resources.vault import Vault

logger = logging.getLogger(__name__)
EVENTS_TABLE = "raw.events"
QUARANTINE_TABLE = "raw.quarantine"
ROWS_KEY = "unmogrowp.rows"
# Unpacked bytes after which a batch is full whatever its row count; it takes about four times this in memory.
BATCH_MAX_BYTES = 128 * 1024 * 1024


class LandReport(NamedTuple):
    """What one landing did."""

    rows: int = 0
    quarantined: int = 0
    commits: int = 0
    bytes: int = 0


class Lander:
    """Lands what a `LogReader` gives. One thread; several processes fence each other off."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        reader: LogReader,
        vault: Vault,
        *,
        after_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make a lander; `after_step` is told the name of each finished step (tests stop there)."""
        self._settings = settings
        self._lake = lake
        self._reader = reader
        self._vault = vault
        self._after_step = after_step
        self._remembered = Remembered(Keyring(settings.keys()), is_native=settings.native_scan)
        self._offsets: dict[str, dict[str, str]] | None = None
        self._read_upto: dict[str, LogPosition] = {}

    def land_once(self) -> LandReport:
        """Land what is there, up to one batch.

        Raises:
            CommitConflictError: another lander works on these tables; call again to continue behind it.
        """
        try:
            return self._land()
        except BaseException:
            self._offsets = None  # what is landed is read from the lake again
            self._read_upto = {}
            raise

    def backlog_bytes(self) -> int:
        """Bytes in the log that have not landed."""
        return sum(
            self._reader.backlog_bytes(writer, self._read_upto.get(writer))
            for writer in self._reader.writers()
        )

    def _land(self) -> LandReport:
        offsets = self._landed_offsets()
        batch = self._gather(offsets)
        if not batch.positions:
            self._release(offsets)
            return LandReport()
        events = batch.events(self._lake.arrow_schema(EVENTS_TABLE))
        self._after_step("read")
        self._remembered.store_originals(self._vault)
        self._after_step("vault")
        if batch.quarantine_count:
            rejected = batch.quarantine_table(self._lake.arrow_schema(QUARANTINE_TABLE))
            slices = slices_of(rejected, "event_date", "received_date")
            self._commit(QUARANTINE_TABLE, LandedRows(rejected, slices, batch.quarantine_count), batch, {})
            self._after_step("quarantine")
        if events is not None:
            land_seq = {LAND_SEQ_KEY: str(batch.next_land_seq)}
            self._commit(EVENTS_TABLE, events, batch, land_seq)
            self._after_step("events")
        self._read_upto |= batch.positions
        self._release(offsets)
        self._after_step("release")
        commits = bool(batch.event_count) + bool(batch.quarantine_count)
        return LandReport(batch.event_count, batch.quarantine_count, commits, batch.unpacked_bytes)

    def _gather(self, offsets: Mapping[str, Mapping[str, str]]) -> Batch:
        self._remembered.forget_if_large()
        next_land_seq = int(offsets[EVENTS_TABLE].get(LAND_SEQ_KEY, "0"))
        batch = Batch(self._remembered, next_land_seq)
        writers = self._reader.writers()
        for writer in writers:
            share = max(
                1, self._settings.land_max_rows // len(writers)
            )  # no writer waits behind another's backlog
            quarantined_upto = _position(offsets[QUARANTINE_TABLE], writer)
            for position, record in self._reader.read(writer, self._start(offsets, writer), max_events=share):
                is_landed = quarantined_upto is not None and position <= quarantined_upto
                batch.add(writer, position, record, is_quarantine_landed=is_landed)
                if batch.unpacked_bytes >= BATCH_MAX_BYTES:
                    break
        return batch

    def _release(self, offsets: Mapping[str, Mapping[str, str]]) -> None:
        """Also when nothing new came: a segment may have been closed since its last record landed."""
        for writer in self._reader.writers():
            position = self._start(offsets, writer)
            if position is not None:
                self._reader.release(writer, position)

    def _start(self, offsets: Mapping[str, Mapping[str, str]], writer: str) -> LogPosition | None:
        """Where to read on: behind what `raw.events` holds, or behind what was read and held no event."""
        return self._read_upto.get(writer) or _position(offsets[EVENTS_TABLE], writer)

    def _landed_offsets(self) -> dict[str, dict[str, str]]:
        if self._offsets is None:
            self._offsets = {name: self._lake.offsets(name) for name in (EVENTS_TABLE, QUARANTINE_TABLE)}
        return self._offsets

    def _commit(self, name: str, landed: LandedRows, batch: Batch, more_offsets: dict[str, str]) -> None:
        offsets = self._landed_offsets()[name]
        moved = {
            f"{OFFSET_PREFIX}{writer}": str(max(position, _position(offsets, writer) or position))
            for writer, position in batch.positions.items()
        }  # never back: after a crash between the tables quarantine's position is ahead of this batch
        self._lake.append_with_offsets(
            name,
            landed.rows,
            offsets={**moved, **more_offsets},
            expected_offsets=offsets,
            summary={SLICES_KEY: slices_json(landed.slices), ROWS_KEY: str(landed.row_count)},
        )
        offsets |= {**moved, **more_offsets}


def _position(offsets: Mapping[str, str], writer: str) -> LogPosition | None:
    text = offsets.get(f"{OFFSET_PREFIX}{writer}")
    return LogPosition.parse(text) if text else None


if __name__ == "__main__":
    from ingest_api.lander_service import main

    main()
