"""Opening the Iceberg catalog and creating its tables from `schemas/tables`.

Table properties and their measurements are here; reading and writing rows is `resources.lake`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, TableAlreadyExistsError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DoubleType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)

from schemas import TableSchema, table_schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.transforms import Transform

    from resources.settings import Settings

ICEBERG_TYPES: Mapping[str, PrimitiveType] = {
    "string": StringType(),
    "long": LongType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "timestamptz": TimestamptzType(),
    "binary": BinaryType(),
}
ARROW_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.large_string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "binary": pa.large_binary(),
}
TRANSFORMS: Mapping[str, Transform[Any, Any]] = {"identity": IdentityTransform(), "day": DayTransform()}
PARTITION_FIELD_ID_START = 1000  # the Iceberg specification's first partition field id

COMMON_PROPERTIES: Mapping[str, str] = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.compression-level": "1",
    # without it ids that share 16 characters conflict falsely
    "write.metadata.metrics.column.tenant_id": "full",
    # with manifest merge and expiry an append stays at 29 ms; without, 3.2 s at commit 3,000
    "commit.manifest-merge.enabled": "true",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "commit.retry.num-retries": "20",
    "commit.retry.min-wait-ms": "50",
    "commit.retry.max-wait-ms": "2000",
    # snapshot isolation duplicated rows under concurrent overwrites
    "write.delete.isolation-level": "serializable",
    "write.update.isolation-level": "serializable",
    "write.merge.isolation-level": "serializable",
}
# Appends with offsets are fenced on the snapshot they were computed from: an automatic retry would append
# a zombie's rows a second time.
FENCED_TABLES = frozenset({"raw.events", "raw.quarantine"})


def open_catalog(settings: Settings) -> SqlCatalog:
    """The catalog of these settings; local directories are made."""
    uri = settings.lake_catalog_uri
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        uri += "?timeout=30"  # seconds another process may hold the write lock
    warehouse = settings.lake_warehouse
    properties = {"uri": uri, "warehouse": warehouse if "://" in warehouse else f"file://{warehouse}"}
    if warehouse.startswith("s3://"):
        properties |= _s3_properties(settings)
    else:
        Path(warehouse).mkdir(parents=True, exist_ok=True)
    return SqlCatalog("unmogrowp", **properties)


def _s3_properties(settings: Settings) -> dict[str, str]:
    secret = settings.s3_secret_access_key.get_secret_value() if settings.s3_secret_access_key else None
    given = {
        "s3.endpoint": settings.s3_endpoint,
        "s3.region": settings.s3_region,
        "s3.access-key-id": settings.s3_access_key_id,
        "s3.secret-access-key": secret,
    }
    return {key: value for key, value in given.items() if value}


def create_missing_tables(catalog: SqlCatalog) -> None:
    """Create namespaces and tables that are not there yet; losing a race to another process is fine."""
    existing = {
        ".".join(name) for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace)
    }
    for schema in table_schemas().values():
        if schema.name not in existing:
            _create_table(catalog, schema)


def _create_table(catalog: SqlCatalog, schema: TableSchema) -> None:
    with contextlib.suppress(NamespaceAlreadyExistsError):
        catalog.create_namespace(schema.name.split(".")[0])
    properties = {**COMMON_PROPERTIES, **schema.properties}
    if schema.name in FENCED_TABLES:
        properties["commit.retry.num-retries"] = "0"
    with contextlib.suppress(TableAlreadyExistsError):
        catalog.create_table(
            schema.name,
            schema=iceberg_schema(schema),
            partition_spec=_partition_spec(schema),
            sort_order=_sort_order(schema),
            properties=properties,
        )


def iceberg_schema(schema: TableSchema) -> Schema:
    """The Iceberg schema of a table contract."""
    return Schema(
        *(
            NestedField(
                column.id,
                column.name,
                ICEBERG_TYPES[column.type],
                required=column.required,
                doc=column.doc or None,
            )
            for column in schema.columns
        )
    )


def arrow_schema(schema: TableSchema) -> pa.Schema:
    """The Arrow schema of a table contract; required columns are not nullable."""
    return pa.schema(
        [
            pa.field(column.name, ARROW_TYPES[column.type], nullable=not column.required)
            for column in schema.columns
        ]
    )


def _partition_spec(schema: TableSchema) -> PartitionSpec:
    ids = {column.name: column.id for column in schema.columns}
    return PartitionSpec(
        *(
            PartitionField(
                source_id=ids[column],
                field_id=PARTITION_FIELD_ID_START + position,
                transform=TRANSFORMS[transform],
                name=column if transform == "identity" else f"{column}_{transform}",
            )
            for position, (column, transform) in enumerate(schema.partition)
        )
    )


def _sort_order(schema: TableSchema) -> SortOrder:
    ids = {column.name: column.id for column in schema.columns}
    return SortOrder(
        *(SortField(source_id=ids[column], transform=IdentityTransform()) for column in schema.sort)
    )
