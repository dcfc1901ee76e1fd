"""A table's snapshots, those that have expired included: what each was, oldest first.

Iceberg's metadata hold the snapshots that are kept, and every commit costs 0.6 ms more per kept snapshot (see
`lake_expiry`). So few are kept, and what a reader of the change feed may still want to know of an expired one,
its place and its summary, stands in a log beside the table: small files, each naming the one before, the newest
named by a table property that changes in the very commit that expires. A sensor whose cursor has expired reads
on from there instead of taking every slice; a run that was computed from an expired snapshot of a landed table
is still answered exactly (`landed_until`).

Which snapshots expire, and when, is `resources.lake_expiry`'s.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from resources.errors import SnapshotExpiredError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

OWN_KEYS_PREFIX = "unmogrowp."  # of a snapshot's summary; the rest is Iceberg's own counting
EXPIRED_LOG_KEY = "unmogrowp.expired_log"
LOG_FILE_PREFIX = "expired-"
# The landed position that every row of a snapshot lies below; land_seq rises strictly over the table.
LAND_SEQ_KEY = "unmogrowp.offset.land_seq"
FIRST_SEQUENCE_NUMBER = 1  # of a table's first snapshot (Iceberg specification); each later one adds 1


@dataclass(frozen=True)
class PastSnapshot:
    """What is worth knowing of a snapshot, kept or expired; `summary` holds our own keys."""

    snapshot_id: int
    sequence_number: int
    timestamp_ms: int
    summary: dict[str, str]


def kept_snapshots(table: Table) -> list[PastSnapshot]:
    """The snapshots in a loaded table's metadata that lead to its current one, oldest first."""
    by_id = {snapshot.snapshot_id: snapshot for snapshot in table.metadata.snapshots}
    snapshot = table.current_snapshot()
    newest_first: list[PastSnapshot] = []
    while snapshot is not None:
        newest_first.append(past(snapshot))
        parent = snapshot.parent_snapshot_id
        snapshot = by_id.get(parent) if parent is not None else None
    return newest_first[::-1]


def snapshots_since(table: Table, snapshot_id: int | None) -> tuple[list[PastSnapshot], bool]:
    """Snapshots after `snapshot_id`, oldest first, and whether none is missing between.

    None asks for the table's whole history; what has expired is then not looked for.
    """
    kept = kept_snapshots(table)
    for position, snapshot in enumerate(kept):
        if snapshot.snapshot_id == snapshot_id:
            return kept[position + 1 :], True
    if snapshot_id is None:
        return kept, not kept or kept[0].sequence_number == FIRST_SEQUENCE_NUMBER
    expired: list[PastSnapshot] = []
    for snapshot in _expired_backwards(table, kept):
        if snapshot.snapshot_id == snapshot_id:
            return expired[::-1] + kept, True
        expired.append(snapshot)
    return expired[::-1] + kept, False


def landed_until(table: Table, snapshot_id: int) -> int:
    """The land_seq that every row of an expired snapshot lies below, and every later row does not.

    Raises:
        SnapshotExpiredError: nothing is known of that snapshot any more, or the table is not a landed one.
    """
    for snapshot in _expired_backwards(table, kept_snapshots(table)):
        if snapshot.snapshot_id == snapshot_id and LAND_SEQ_KEY in snapshot.summary:
            return int(snapshot.summary[LAND_SEQ_KEY])
    raise SnapshotExpiredError(
        f"{'.'.join(table.name())}: snapshot {snapshot_id} has expired and cannot be read as it was; "
        "run the slice again, it then reads the newest"
    )


def write_expired(table: Table, snapshots: Sequence[PastSnapshot]) -> str:
    """Write the log file that says what these snapshots were; its location, for EXPIRED_LOG_KEY."""
    document = {
        "previous": table.properties.get(EXPIRED_LOG_KEY),
        "snapshots": [asdict(snapshot) for snapshot in snapshots],
    }
    newest = snapshots[-1].sequence_number
    location = f"{table.location()}/metadata/{LOG_FILE_PREFIX}{newest:09d}-{uuid.uuid4()}.json"
    with table.io.new_output(location).create() as file:
        file.write(json.dumps(document).encode())
    return location


def past(snapshot: Snapshot) -> PastSnapshot:
    """A snapshot of Iceberg's as one of ours."""
    told = snapshot.summary.additional_properties if snapshot.summary else {}
    own = {key: value for key, value in told.items() if key.startswith(OWN_KEYS_PREFIX)}
    return PastSnapshot(
        snapshot.snapshot_id, snapshot.sequence_number or FIRST_SEQUENCE_NUMBER, snapshot.timestamp_ms, own
    )


def _expired_backwards(table: Table, kept: Sequence[PastSnapshot]) -> Iterator[PastSnapshot]:
    """Expired snapshots, newest first, for as long as the sequence has no gap and the log goes back."""
    location = table.properties.get(EXPIRED_LOG_KEY)
    expected = kept[0].sequence_number - 1 if kept else 0
    while location is not None:
        document = _read(table, location)
        if document is None:
            return
        for fields in reversed(document["snapshots"]):
            snapshot = PastSnapshot(**fields)
            if snapshot.sequence_number != expected:
                return
            yield snapshot
            expected -= 1
        location = document["previous"]


def _read(table: Table, location: str) -> dict[str, Any] | None:
    """A log file, None when it was removed for its age."""
    try:
        with table.io.new_input(location).open() as file:
            document: dict[str, Any] = json.loads(file.read())
    except FileNotFoundError:
        return None
    return document
