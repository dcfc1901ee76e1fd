"""One exported Parquet file as JSON, CSV, Parquet or an Arrow stream, batch by batch. No HTTP, no store.

The rows are the same in every format, in the file's own order. What a format has no type for is written so that it
can be read back: lists in CSV as JSON, a null in CSV as nothing and an empty text as `""`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

Format = Literal["parquet", "arrow", "json", "csv"]

# in the order of preference: what `*/*` gets is the first
MEDIA_TYPES: dict[Format, str] = {
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
    "json": "application/json",
    "csv": "text/csv",
}
CHUNK_BYTES = 256 * 1024
BATCH_ROWS = 8_192  # about 4 MB of installs as Python objects


def wanted_format(accept: str) -> Format | None:
    """What an `Accept` header likes best of what there is; None when it takes none of them."""
    ranges = [_media_range(part) for part in accept.split(",") if part.strip()]
    best: tuple[float, Format | None] = (0.0, None)
    for name, media_type in MEDIA_TYPES.items():
        quality = _quality(media_type, ranges or [("*/*", 1.0)])
        if quality > best[0]:
            best = (quality, name)
    return best[1]


def streamed(file: BinaryIO, kind: Format) -> Iterator[bytes]:
    """The Parquet file's rows in a format, in pieces; the file is closed at the end, however that comes."""
    with file:
        if kind == "parquet":
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
        else:
            yield from {"arrow": _arrow, "json": _json, "csv": _csv}[kind](file)


def _media_range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                return name, 0.0
    return name, 1.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """The quality of the most specific range that covers the type; 0 when none does (RFC 9110, 12.5.1)."""
    asked = dict(ranges)
    major = media_type.split("/", maxsplit=1)[0]
    return next((asked[name] for name in (media_type, f"{major}/*", "*/*") if name in asked), 0.0)


def _batches(file: BinaryIO) -> tuple[Any, Iterator[Any]]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - 0.3 s of import, wanted only where rows are read

    parquet = pq.ParquetFile(file)
    return parquet.schema_arrow, parquet.iter_batches(batch_size=BATCH_ROWS)


def _arrow(file: BinaryIO) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415 - as above

    schema, batches = _batches(file)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        yield _drained(sink)
        for batch in batches:
            writer.write_batch(batch)
            yield _drained(sink)
    yield _drained(sink)


def _json(file: BinaryIO) -> Iterator[bytes]:
    import orjson  # noqa: PLC0415 - as above

    _, batches = _batches(file)
    before = b"["
    for batch in batches:
        if batch.num_rows:
            yield before + orjson.dumps(batch.to_pylist(), option=orjson.OPT_UTC_Z)[1:-1]
            before = b",\n"
    yield b"[]\n" if before == b"[" else b"]\n"


def _csv(file: BinaryIO) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415 - as above
    from pyarrow import csv  # noqa: PLC0415 - as above

    schema, batches = _batches(file)
    flat = pa.schema([(f.name, pa.string() if pa.types.is_list(f.type) else f.type) for f in schema])
    sink = io.BytesIO()
    with csv.CSVWriter(sink, flat) as writer:
        for batch in batches:
            columns = [_flat_column(column) for column in batch.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))
            yield _drained(sink)
    yield _drained(sink)


def _flat_column(column: Any) -> Any:
    import orjson  # noqa: PLC0415 - as above
    import pyarrow as pa  # noqa: PLC0415 - as above

    if not pa.types.is_list(column.type):
        return column
    texts = [None if value is None else orjson.dumps(value).decode() for value in column.to_pylist()]
    return pa.array(texts, pa.string())


def _drained(sink: io.BytesIO) -> bytes:
    """What was written since the last time. Positions go on from zero: neither writer looks back."""
    content = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return content
