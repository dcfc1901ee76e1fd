"""The upkeep of one table, for whoever runs it (the nightly job, `unmogrowp maintain`): compact, expire, clean up.

In that order: what compaction replaced can expire, what has expired leaves orphans (removed some nights later,
after the grace). Each part and each partition fails for itself; what failed is told in the report. The parts
are `lake_compaction`, `lake_expiry` and `lake_orphans`.
"""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from resources.errors import CommitConflictError
from resources.lake_compaction import Compaction, candidates, compact
from resources.lake_expiry import due_for_expiry, expire_snapshots
from resources.lake_orphans import find_orphans, remove_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.table import Table

    from resources.lake import Lake
    from resources.settings import Settings

logger = logging.getLogger(__name__)


@dataclass
class TableUpkeep:
    """What one table's upkeep did, or on a dry run would do (then `compactions` is empty)."""

    table: str
    dry_run: bool
    partitions_to_compact: int = 0
    compactions: list[Compaction] = field(default_factory=list)
    snapshots_before: int = 0
    snapshots_expired: int = 0
    orphan_files: int = 0
    orphan_bytes: int = 0
    skipped: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def maintain_table(lake: Lake, settings: Settings, name: str, *, dry_run: bool = False) -> TableUpkeep:
    """Compact, expire and clean one table; what a part could not do is in `failures`, and the next part runs.

    A partition or expiry that lost against another commit is in `skipped`: the next upkeep does it.
    """
    upkeep = TableUpkeep(name, dry_run)
    for part in (_compact_partitions, _expire, _remove_orphans):
        with _told(upkeep, part.__name__.removeprefix("_").replace("_", " ")):
            part(lake.table(name), settings, upkeep)
    return upkeep


def _compact_partitions(table: Table, settings: Settings, upkeep: TableUpkeep) -> None:
    found = candidates(table, dt.datetime.now(dt.UTC).date())
    upkeep.partitions_to_compact = len(found)
    if upkeep.dry_run:
        return
    spill_root = settings.home / "tmp"
    spill_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    for candidate in found:
        with _told(upkeep, f"compact {candidate.label}"):
            upkeep.compactions.append(compact(table, candidate, spill_root))


def _expire(table: Table, settings: Settings, upkeep: TableUpkeep) -> None:
    upkeep.snapshots_before = len(table.metadata.snapshots)
    if upkeep.dry_run:
        upkeep.snapshots_expired = len(due_for_expiry(table, settings, dt.datetime.now(dt.UTC)))
    else:
        upkeep.snapshots_expired = expire_snapshots(table, settings)


def _remove_orphans(table: Table, settings: Settings, upkeep: TableUpkeep) -> None:
    orphans = find_orphans(table, grace_days=settings.orphan_grace_days, now=dt.datetime.now(dt.UTC))
    upkeep.orphan_bytes = sum(file.size_bytes for file in orphans)
    upkeep.orphan_files = len(orphans) if upkeep.dry_run else remove_files(table, orphans)


@contextmanager
def _told(upkeep: TableUpkeep, part: str) -> Iterator[None]:
    """Let what follows a failure still run: it goes into the report and, with its trace, to the log."""
    try:
        yield
    except CommitConflictError as error:
        upkeep.skipped.append(str(error))
    except Exception as error:
        logger.warning("%s: %s failed", upkeep.table, part, exc_info=True)
        upkeep.failures.append(f"{upkeep.table}, {part}: {type(error).__name__}: {error}")
