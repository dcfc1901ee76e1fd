"""A lake table as ClickHouse reads it: the SQL table expression. Running SQL is `resources.clickhouse`'s."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.table import Table


def clickhouse_source(table: Table, s3_endpoint: str | None) -> str:
    """The ClickHouse table expression that reads a loaded table at its current snapshot.

    The metadata file is always pinned: unpinned, a losing commit's leftover file breaks the read.
    On S3 the server signs with its own environment's credentials, so no secret is in any SQL.
    """
    location = table.location().removeprefix("file://")
    metadata = table.metadata_location.removeprefix("file://").removeprefix(location).lstrip("/")
    function = "icebergLocal"
    if location.startswith("s3://"):
        function = "icebergS3"
        location = location.replace("s3://", f"{s3_endpoint.rstrip('/')}/", 1) if s3_endpoint else location
    return f"{function}({_quoted(location)}, SETTINGS iceberg_metadata_file_path = {_quoted(metadata)})"


def _quoted(text: str) -> str:
    """A ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
