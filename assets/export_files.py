"""From rows to published files: byte-identical Parquet, manifest, restatement counter, acknowledgement.

Needs an object store alone. What is exported is in export_contract.py; reading and pushing are in exports.py.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assets.export_contract import SCHEMA_VERSION, Dataset
from resources.errors import ArtifactCorruptError, ContractError, MixedTenantsError
from resources.object_store import ObjectStore

PART_FILE = "part-0.parquet"
MANIFEST_FILE = "manifest.json"
ROW_GROUP_ROWS = 131_072  # about 1 MB per column: what a reader of one column holds at a time


@dataclass(frozen=True)
class ExportSlice:
    """One (tenant, dataset, date) and its folder in the export store."""

    tenant_id: str
    dataset: Dataset
    date: dt.date

    def key(self, filename: str) -> str:
        """The store's key of one of the slice's files."""
        return f"{self.tenant_id}/{self.dataset.name}/date={self.date.isoformat()}/{filename}"

    def __str__(self) -> str:
        return f"{self.dataset.name} of tenant {self.tenant_id}, {self.date}"


@dataclass(frozen=True)
class Published:
    """A slice as it now lies in the store."""

    slice: ExportSlice
    rows: int
    bytes: int
    sha256: str
    restatement: int
    changed: bool


def conformed(table: pa.Table, slice_: ExportSlice) -> pa.Table:
    """The rows in the dataset's exact columns, types and order.

    Raises:
        ContractError: a column is missing, null where it may not be, or of another type or date.
        MixedTenantsError: a row is another tenant's.
    """
    schema = slice_.dataset.schema
    try:
        columns = [_cast(table.column(field.name), field) for field in schema]
    except (KeyError, pa.ArrowException) as error:
        raise ContractError(f"{slice_}: the rows do not fit the export's contract ({error})") from error
    rows = pa.Table.from_arrays(columns, schema=schema)
    strangers = {str(tenant) for tenant in rows["tenant_id"].unique().to_pylist()} - {slice_.tenant_id}
    if strangers:
        raise MixedTenantsError(f"{slice_}: rows of {sorted(strangers)} were read; nothing was exported")
    if set(rows[slice_.dataset.date_column].unique().to_pylist()) - {slice_.date}:
        raise ContractError(f"{slice_}: rows of another date were read; nothing was exported")
    return rows.sort_by([(name, "ascending") for name in slice_.dataset.order])


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as Parquet; the same rows give the same bytes with one version of pyarrow."""
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=3,
        version="2.6",
        row_group_size=ROW_GROUP_ROWS,
        store_schema=False,  # any reader of Parquet gets it; Arrow's own schema adds nothing to these types
    )
    return buffer.getvalue()


def publish(
    store: ObjectStore,
    slice_: ExportSlice,
    table: pa.Table,
    *,
    source_snapshots: Mapping[str, int | None],
    run_id: str,
) -> Published:
    """Write the slice's file, then its manifest. Unchanged content from unchanged sources writes nothing.

    A crash between the two leaves the old manifest, whose checksum no longer matches: the next run writes the
    file again and counts one restatement, as this one would have.
    """
    content = parquet_bytes(conformed(table, slice_))
    previous = read_json(store, slice_.key(MANIFEST_FILE))
    entry = file_entry(content, table.num_rows)
    manifest = manifest_of(slice_, entry, previous, source_snapshots, run_id)
    if store.read(slice_.key(PART_FILE)) != content:
        store.write(slice_.key(PART_FILE), content)
    if previous is None or _without_run(previous) != _without_run(manifest):
        store.write(slice_.key(MANIFEST_FILE), json_bytes(manifest))
    restatement = int(manifest["restatement"])
    changed = previous is None or restatement != previous.get("restatement")
    return Published(slice_, entry["rows"], entry["bytes"], entry["sha256"], restatement, changed)


def file_entry(content: bytes, rows: int) -> dict[str, Any]:
    """What the manifest says of one file."""
    return {
        "name": PART_FILE,
        "rows": rows,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "schema_version": SCHEMA_VERSION,
    }


def content_of(store: ObjectStore, published: Published) -> bytes:
    """The published file's bytes.

    Raises:
        ArtifactCorruptError: it is not the file that the manifest names.
    """
    content = store.read(published.slice.key(PART_FILE)) or b""
    if hashlib.sha256(content).hexdigest() != published.sha256:
        raise ArtifactCorruptError(f"{published.slice}: the file is not its manifest's; export it again")
    return content


def manifest_of(
    slice_: ExportSlice,
    entry: Mapping[str, Any],
    previous: Mapping[str, Any] | None,
    source_snapshots: Mapping[str, int | None],
    run_id: str,
) -> dict[str, Any]:
    """The manifest of this content; `restatement` is 0 at first and rises when the content changed."""
    restatement = 0
    if previous is not None:
        was_same = [file["sha256"] for file in previous["files"]] == [entry["sha256"]]
        restatement = int(previous["restatement"]) + (0 if was_same else 1)
    return {
        "tenant_id": slice_.tenant_id,
        "mart": slice_.dataset.name,
        "date": slice_.date.isoformat(),
        "schema_version": SCHEMA_VERSION,
        "restatement": restatement,
        "files": [dict(entry)],
        "source_snapshots": {
            name: None if snapshot is None else str(snapshot)
            for name, snapshot in sorted(source_snapshots.items())
        },
        "run_id": run_id,
    }


def published_of(store: ObjectStore, slice_: ExportSlice) -> Published | None:
    """The slice as its manifest says it lies in the store; None when there is none."""
    manifest = read_json(store, slice_.key(MANIFEST_FILE))
    if manifest is None:
        return None
    (entry,) = manifest["files"]
    restatement = int(manifest["restatement"])
    return Published(slice_, entry["rows"], entry["bytes"], entry["sha256"], restatement, changed=False)


def read_json(store: ObjectStore, key: str) -> dict[str, Any] | None:
    """A JSON object of the store; None when there is none.

    Raises:
        ContractError: the file is damaged.
    """
    content = store.read(key)
    if content is None:
        return None
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ContractError(f"{key} is no JSON: delete it and materialise the export again") from error
    if not isinstance(document, dict):
        raise ContractError(f"{key} is no JSON object: delete it and materialise the export again")
    return document


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Canonical JSON for people: sorted keys, two spaces, a final newline."""
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def _cast(column: Any, field: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_date(field.type) and pa.types.is_uint16(column.type):
        column = column.cast(pa.int32())  # ClickHouse may write Date as days since 1970 in 16 bits
    if column.null_count and not field.nullable:
        raise pa.ArrowInvalid(f"column {field.name} holds nulls")
    return column.cast(field.type)


def _without_run(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name != "run_id"}
