"""One tenant's finished exports, read by their manifests. Writing exports is `assets.exports`'s.

An export exists when its manifest does, and only files that the manifest lists are handed out, with the
checksum it names: the manifest is written last, so a reader sees a whole export or the one before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from dataclasses import dataclass
from io import BufferedReader

from resources.errors import ServiceUnavailableError
from resources.object_store import ObjectStore

MART_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
_FILE_NAME = re.compile(r"part-[0-9]{1,6}\.parquet")
_MANIFEST_KEY = re.compile(r"(?P<mart>[a-z][a-z0-9_]{0,62})/date=(?P<date>\d{4}-\d{2}-\d{2})/manifest\.json")


@dataclass(frozen=True, slots=True)
class ShelvedFile:
    """One Parquet file of an export."""

    part: int
    name: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShelvedExport:
    """One (mart, date) of one tenant, as its manifest says."""

    mart: str
    date: dt.date
    restatement: int
    files: tuple[ShelvedFile, ...]


def exports_of(
    store: ObjectStore, tenant_id: str, after: str, limit: int
) -> tuple[list[ShelvedExport], str | None]:
    """Up to `limit` exports of the tenant behind `after` (`<mart>/<date>`), and the next page's `after`."""
    found = (_MANIFEST_KEY.fullmatch(key.removeprefix(f"{tenant_id}/")) for key in store.keys(tenant_id))
    named = sorted((match["mart"], match["date"]) for match in found if match is not None)
    behind = [pair for pair in named if "/".join(pair) > after]
    page = [export_of(store, tenant_id, mart, dt.date.fromisoformat(date)) for mart, date in behind[:limit]]
    following = "/".join(behind[limit - 1]) if len(behind) > limit else None
    return [export for export in page if export is not None], following


def export_of(store: ObjectStore, tenant_id: str, mart: str, date: dt.date) -> ShelvedExport | None:
    """The tenant's export of this mart and date; None when there is none (yet)."""
    manifest = store.read(f"{_folder(tenant_id, mart, date)}/manifest.json")
    return None if manifest is None else parse_manifest(manifest, mart, date)


def open_part(store: ObjectStore, tenant_id: str, export: ShelvedExport, part: int) -> BufferedReader | None:
    """One file of the export, open at its beginning; None when the manifest lists no such part.

    Opened it stays what it is: a restatement puts another file in its place.

    Raises:
        ServiceUnavailableError: the file is being replaced right now.
    """
    if not 0 <= part < len(export.files):
        return None
    listed = export.files[part]
    file = store.open(f"{_folder(tenant_id, export.mart, export.date)}/{listed.name}")
    if file is not None and hashlib.file_digest(file, "sha256").hexdigest() == listed.sha256:
        file.seek(0)
        return file
    if file is not None:
        file.close()
    raise ServiceUnavailableError(
        f"tenant {tenant_id}: the export of {export.mart} for {export.date} is being restated; "
        "try again in a moment"
    )


def parse_manifest(manifest: bytes, mart: str, date: dt.date) -> ShelvedExport:
    """What a manifest lists; a name that is not a plain part file is never followed.

    Raises:
        ValueError: it is not what `assets.exports` writes.
    """
    document = json.loads(manifest)
    files = [
        ShelvedFile(part, one["name"], int(one["rows"]), int(one["bytes"]), one["sha256"])
        for part, one in enumerate(document["files"])
    ]
    if strange := [file.name for file in files if _FILE_NAME.fullmatch(file.name) is None]:
        raise ValueError(f"the manifest of {mart} for {date} lists {strange!r}, which is no part file")
    return ShelvedExport(mart, date, int(document["restatement"]), tuple(files))


def _folder(tenant_id: str, mart: str, date: dt.date) -> str:
    return f"{tenant_id}/{mart}/date={date.isoformat()}"
