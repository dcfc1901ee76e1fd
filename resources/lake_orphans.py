"""Files in a table's directory that nothing refers to any more: found, and removed after a grace.

Orphans are what expired snapshots leave (replaced data files, manifests), what crashed or lost commits wrote,
and logs of expired snapshots that are older than any reader. Kept is every file that a kept snapshot or
metadata version refers to, and every file younger than the grace: a commit in flight writes its files first and
refers to them last. Files are listed before the references are read, so one that is committed in between counts
as referenced. Which snapshots are kept is `resources.lake_expiry`'s.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.io.pyarrow import PyArrowFileIO

from resources.errors import ContractError
from resources.lake_history import LOG_FILE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyarrow.fs import FileSystem
    from pyiceberg.table import Table

# A reader of the change feed that was away longer takes every slice. At a commit every 5 s these are 2,400
# files of some kilobytes.
EXPIRED_LOG_DAYS = 7


@dataclass(frozen=True)
class StoredFile:
    """A file under a table's location; `path` is the file system's own."""

    path: str
    size_bytes: int
    modified_at: dt.datetime


def find_orphans(table: Table, *, grace_days: float, now: dt.datetime) -> list[StoredFile]:
    """Files that nothing refers to and that are older than the grace, by path.

    Raises:
        ContractError: no listed file is the table's own, so listing and references cannot be compared.
    """
    stored = _listed(table)
    table.refresh()
    referenced = referenced_paths(table)
    if referenced.isdisjoint(file.path for file in stored):
        raise ContractError(
            f"{'.'.join(table.name())}: no file under {table.location()} is one the table refers to, so the two "
            "cannot be compared; nothing is removed, check UNMOGROWP_WAREHOUSE and where the table lies"
        )
    youngest = now - dt.timedelta(days=grace_days)
    logs_end = now - dt.timedelta(days=max(grace_days, EXPIRED_LOG_DAYS))
    return [
        file
        for file in stored
        if file.path not in referenced and file.modified_at < (logs_end if _is_log(file) else youngest)
    ]


def remove_files(table: Table, files: Sequence[StoredFile]) -> int:
    """Delete these files; how many were there. Doing it twice is fine."""
    file_system, _ = _located(table, table.location())
    removed = 0
    for file in files:
        try:
            file_system.delete_file(file.path)
        except FileNotFoundError:
            continue
        removed += 1
    return removed


def referenced_paths(table: Table) -> set[str]:
    """Paths of every file that a loaded table's kept snapshots and metadata versions refer to."""
    metadata = table.metadata
    locations = {table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    locations |= {statistics.statistics_path for statistics in metadata.statistics}
    manifests_read: set[str] = set()
    for snapshot in metadata.snapshots:
        locations.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in manifests_read:
                continue
            manifests_read.add(manifest.manifest_path)
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            locations.update(entry.data_file.file_path for entry in entries)
    return {_path(table, location) for location in locations | manifests_read}


def _listed(table: Table) -> list[StoredFile]:
    from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415 - only maintenance lists

    file_system, root = _located(table, table.location())
    infos = file_system.get_file_info(FileSelector(root, recursive=True))
    files = [
        StoredFile(info.path, info.size, dt.datetime.fromtimestamp(modified_ns / 1e9, tz=dt.UTC))
        for info in infos
        # 0 is no age at all (rclone gives it for one file in twenty): such a file is kept
        if info.type == FileType.File and (modified_ns := info.mtime_ns)
    ]
    return sorted(files, key=lambda file: file.path)


def _is_log(file: StoredFile) -> bool:
    return file.path.rpartition("/")[2].startswith(LOG_FILE_PREFIX)


def _path(table: Table, location: str) -> str:
    return _located(table, location)[1]


def _located(table: Table, location: str) -> tuple[FileSystem, str]:
    io = table.io
    if not isinstance(io, PyArrowFileIO):
        raise ContractError(f"{'.'.join(table.name())}: its files are not reached through PyArrow")
    scheme, host, path = io.parse_location(location)
    return io.fs_by_scheme(scheme, host), path
