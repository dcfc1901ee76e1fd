"""Opening the Iceberg catalog and creating its tables from `schemas/tables`.

Table properties and their measurements are here; reading and writing rows is `resources.lake`.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    TableAlreadyExistsError,
)
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
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from resources.errors import ServiceUnavailableError
from resources.library_environment import use_plain_s3_checksums
from schemas import TableSchema, table_schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.transforms import Transform

    from resources.settings import Settings

logger = logging.getLogger(__name__)
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
CATALOG_NAME = "unmogrowp"
SQLITE_LOCK_WAIT_S = "30"  # another process holds the write lock for milliseconds, longer on a stalled disk
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
FENCED_TABLES = frozenset({"raw.events", "raw.quarantine", "raw.replays"})


def open_catalog(settings: Settings) -> SqlCatalog:
    """The catalog of these settings; local directories are made.

    Raises:
        ServiceUnavailableError: the catalog's database does not answer.
    """
    warehouse = settings.lake_warehouse
    properties = {
        "uri": _engine_url(settings.lake_catalog_uri),
        "pool_pre_ping": "true",  # a database that was restarted costs a reconnect, not a failed commit
        "warehouse": warehouse if "://" in warehouse else f"file://{warehouse}",
    }
    if warehouse.startswith("s3://"):
        properties |= _s3_properties(settings)
    else:
        Path(warehouse).mkdir(parents=True, exist_ok=True)
    return _connected(properties)


def _engine_url(uri: str) -> str:
    """The catalog's SQLAlchemy URL: PostgreSQL by psycopg however it is spelled, SQLite waiting for its lock."""
    url = make_url(uri)
    if url.drivername in {"postgresql", "postgres"}:
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        if "timeout" not in url.query:
            url = url.update_query_dict({"timeout": SQLITE_LOCK_WAIT_S})
    return url.render_as_string(hide_password=False)


def _connected(properties: Mapping[str, str]) -> SqlCatalog:
    catalog = SqlCatalog(CATALOG_NAME, **properties, init_catalog_tables="false")
    try:
        _create_catalog_tables(catalog)
    except OperationalError as error:
        catalog.close()
        raise ServiceUnavailableError(
            f"the lake's catalog does not answer ({error.orig}): check UNMOGROWP_CATALOG_URI and its database"
        ) from error
    return catalog


def _create_catalog_tables(catalog: SqlCatalog) -> None:
    """Create the catalog's own two SQL tables where they are missing.

    PyIceberg looks and then creates, without a lock: of processes that start together on an empty database some
    fail. Each failure means that one of the two tables is there now, so the third attempt finds both.
    """
    is_sqlite = catalog.engine.dialect.name == "sqlite"
    lost_race = (DBAPIError,) if is_sqlite else (ProgrammingError, IntegrityError)
    for _ in range(2):
        with contextlib.suppress(*lost_race):
            return catalog.create_tables()
    return catalog.create_tables()


def _s3_properties(settings: Settings) -> dict[str, str]:
    if settings.s3_endpoint:
        use_plain_s3_checksums()
    secret = settings.s3_secret_access_key.get_secret_value() if settings.s3_secret_access_key else None
    given = {
        "s3.endpoint": settings.s3_endpoint,
        "s3.region": settings.s3_region,
        "s3.access-key-id": settings.s3_access_key_id,
        "s3.secret-access-key": secret,
    }
    return {key: value for key, value in given.items() if value}


def create_missing_tables(catalog: SqlCatalog) -> None:
    """Create namespaces, tables and columns that are not there yet; losing a race to another process is fine."""
    existing = {
        ".".join(name) for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace)
    }
    for schema in table_schemas().values():
        if schema.name in existing:
            _add_missing_columns(catalog, schema)
        else:
            _create_table(catalog, schema)


def _create_table(catalog: SqlCatalog, schema: TableSchema) -> None:
    # the loser of a race gets the database's own error: PyIceberg looks first and inserts later
    with contextlib.suppress(NamespaceAlreadyExistsError, IntegrityError):
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


def _add_missing_columns(catalog: SqlCatalog, schema: TableSchema) -> None:
    """Bring a table that an earlier release made up to the contract; rows written before hold nulls there.

    One that cannot be read stays as it is: whoever reads it is told, and the others are well.
    """
    try:
        table = catalog.load_table(schema.name)
    except OSError:
        logger.exception("table %s cannot be read: its columns are not looked at", schema.name)
        return
    known = {field.name for field in table.schema().fields}
    missing = [column for column in schema.columns if column.name not in known]
    if not missing:
        return
    # a lost race is fine: the other process added them
    with contextlib.suppress(CommitFailedException), table.update_schema() as update:
        for column in missing:
            update.add_column(column.name, ICEBERG_TYPES[column.type], doc=column.doc or None)


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
