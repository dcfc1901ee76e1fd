"""The bytes of a segment file: its magic, and records framed with length and CRC. Pure, no files.

A frame is `length u32 | crc32 u32 | payload`, little-endian; the CRC covers length and payload, so a frame
of zeros (a hole the file system left after a power cut) is not a record.
"""

from __future__ import annotations

import struct
import zlib

import orjson

from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogRecord, Rejection

SEGMENT_MAGIC = b"UMGSEG1\n"
_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<BBBqIBBI")  # layout version, format, encoding, received, events, 3 lengths
_LAYOUT_VERSION = 1


class TornFrameError(Exception):
    """The bytes at this place are no whole record: a torn write, or the end of what is written."""


def encode_frame(record: LogRecord) -> bytes:
    """The record as one frame."""
    tenant = record.tenant_id.encode()
    version = record.schema_version.encode()
    rejections = (
        orjson.dumps([list(rejection) for rejection in record.rejections]) if record.rejections else b""
    )
    head = _HEAD.pack(
        _LAYOUT_VERSION,
        record.format,
        record.encoding,
        record.received_at_us,
        record.event_count,
        len(tenant),
        len(version),
        len(rejections),
    )
    payload = b"".join((head, tenant, version, rejections, record.body))
    return _FRAME.pack(len(payload), _crc(len(payload), payload)) + payload


def decode_frame(data: memoryview, start: int) -> tuple[LogRecord, int]:
    """The record whose frame begins at `start`, and where the next one begins.

    Raises:
        TornFrameError: there is no whole, intact frame there.
    """
    payload_start = start + _FRAME.size
    if payload_start > len(data):
        raise TornFrameError
    length, crc = _FRAME.unpack_from(data, start)
    end = payload_start + length
    if length < _HEAD.size or end > len(data) or _crc(length, data[payload_start:end]) != crc:
        raise TornFrameError
    return _decode_payload(data[payload_start:end]), end


def _decode_payload(payload: memoryview) -> LogRecord:
    _, body_format, encoding, received_at_us, events, *lengths = _HEAD.unpack_from(payload, 0)
    parts: list[bytes] = []
    at = _HEAD.size
    for length in lengths:
        parts.append(bytes(payload[at : at + length]))
        at += length
    tenant, version, rejections = parts
    return LogRecord(
        tenant_id=tenant.decode(),
        received_at_us=received_at_us,
        format=BodyFormat(body_format),
        encoding=BodyEncoding(encoding),
        event_count=events,
        body=bytes(payload[at:]),
        rejections=tuple(Rejection(*item) for item in orjson.loads(rejections)) if rejections else (),
        schema_version=version.decode(),
    )


def _crc(length: int, payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, length)
