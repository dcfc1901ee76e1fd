"""Which snapshots of a table expire, and the commit that lets them go.

Why at all: a commit reads, copies and writes the metadata of every kept snapshot, 0.6 to 0.9 ms of CPU each. CPU
of an append of 10,000 rows: 38 ms at commit 10; without expiry 115 ms at commit 100 and 567 ms at commit 600; with
it 67, 65 and 59 ms at commits 100, 300 and 600.

Who does it: each committer, for its own table, as soon as `snapshot_expire_every` are due (`expire_if_due`, called
by `resources.lake` behind its commits), so that no table waits for the night and raw tables keep one committer.
The nightly job expires what quiet tables still hold.

What stays: the newest `snapshots_kept`, and in tables written slice by slice those younger than
`snapshot_min_age_s`: a run that is computing from one has its commit checked against it. Change-feed cursors and
the raw snapshot that a clean commit names need no snapshot kept: `resources.lake_history` remembers what they
ask for. Files are not deleted here but by `resources.lake_orphans`.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.update.snapshot import ExpireSnapshots

from resources.errors import CommitConflictError
from resources.lake_catalog import FENCED_TABLES
from resources.lake_history import EXPIRED_LOG_KEY, PastSnapshot, kept_snapshots, write_expired

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyiceberg.table import Table

    from resources.settings import Settings

logger = logging.getLogger(__name__)


def expirable(
    snapshots: Sequence[PastSnapshot], *, kept: int, min_age_s: float, now: dt.datetime
) -> list[PastSnapshot]:
    """Of a table's snapshots (oldest first) those that may go: neither among the newest `kept` nor too young."""
    youngest_ms = (now.timestamp() - min_age_s) * 1000
    older = snapshots[: max(0, len(snapshots) - kept)]
    too_young = next((at for at, item in enumerate(older) if item.timestamp_ms > youngest_ms), len(older))
    return list(older[:too_young])


def due_for_expiry(table: Table, settings: Settings, now: dt.datetime) -> list[PastSnapshot]:
    """The snapshots of a loaded table that may go now, by its kind and the settings."""
    is_landed = ".".join(table.name()) in FENCED_TABLES
    min_age_s = 0.0 if is_landed else settings.snapshot_min_age_s
    return expirable(kept_snapshots(table), kept=settings.snapshots_kept, min_age_s=min_age_s, now=now)


def expire_snapshots(table: Table, settings: Settings, *, at_least: int = 1) -> int:
    """Let every snapshot go that may, when they are `at_least` so many; how many went.

    Raises:
        CommitConflictError: another process expired the same ones, or its commit won; nothing is lost.
    """
    due = due_for_expiry(table, settings, dt.datetime.now(dt.UTC))
    if not due or len(due) < at_least:
        return 0
    log_location = write_expired(table, due)
    try:
        with table.transaction() as tx:
            ExpireSnapshots(tx).by_ids([snapshot.snapshot_id for snapshot in due]).commit()
            tx.set_properties({EXPIRED_LOG_KEY: log_location})
    except (CommitFailedException, ValueError) as error:  # ValueError: another process expired one of them
        table.io.delete(log_location)
        name = ".".join(table.name())
        raise CommitConflictError(
            f"{name}: another process committed while snapshots expired; the next commit tries again"
        ) from error
    return len(due)


def expire_if_due(table: Table, settings: Settings) -> None:
    """Behind a commit: expire when enough is due. The rows are committed, so nothing that fails here may raise."""
    try:
        expire_snapshots(table, settings, at_least=settings.snapshot_expire_every)
    except CommitConflictError as error:
        logger.info("%s", error)
    except Exception:
        logger.warning(
            "%s: snapshots did not expire, the next commit tries again", ".".join(table.name()), exc_info=True
        )
