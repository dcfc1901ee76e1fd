r"""The bytes of a buffer's segment: records framed with a mark, length, kind and CRC. Pure.

A frame is `mark 4 | length u32 | kind u8 | crc32 u32 | record`, little-endian; the CRC covers length, kind and
record. The mark begins with 0xFF, a byte that no UTF-8 text holds, so after damage the next frame is found by
looking for it: damage costs the frames it touches and no other.
"""

from __future__ import annotations

import struct
import zlib
from mmap import mmap
from typing import NamedTuple, TypeAlias

from unmogrowp.waiting import Kind

MARK = b"\xffUMG"
_HEAD = struct.Struct("<4sIBI")
_COVERED = struct.Struct("<IB")
OVERHEAD_BYTES = _HEAD.size
Segment: TypeAlias = bytes | mmap


class Taken(NamedTuple):
    """Records that travel together, where the next one begins, and how many damaged frames were passed."""

    kind: Kind
    records: list[bytes]
    end: int
    lost: int


def encode(kind: Kind, record: bytes) -> bytes:
    """The record as one frame."""
    return _HEAD.pack(MARK, len(record), kind, _crc(len(record), kind, record)) + record


def take(segment: Segment, start: int, size: int, max_events: int, max_bytes: int) -> Taken:
    """The first records from `start` on that travel together: one body, or events up to both limits.

    Damaged frames before them are passed over and counted; those behind them are left for the next call.
    """
    kind, records, lost, total, at = Kind.EVENT, list[bytes](), 0, 0, start
    while at < size:
        frame = _decode(segment, at, size)
        if frame is None:
            if records:
                break
            lost += 1
            at = _next_mark(segment, at + 1, size)
            continue
        found, record, end = frame
        total += len(record) + 1
        if records and (found is not kind or len(records) >= max_events or total > max_bytes):
            break
        kind, at = found, end
        records.append(record)
        if kind is not Kind.EVENT:
            break
    return Taken(kind, records, at, lost)


def intact_size(segment: Segment, size: int) -> int:
    """The size without what a crash left half-written at the end: nobody was told that it is safe."""
    at = 0
    while at < size:
        frame = _decode(segment, at, size)
        if frame is not None:
            at = frame[2]
            continue
        following = _next_mark(segment, at + 1, size)
        if following == size and _is_cut_off(segment, at, size):
            return at
        at = following
    return size


def _decode(segment: Segment, at: int, size: int) -> tuple[Kind, bytes, int] | None:
    if at + _HEAD.size > size:
        return None
    mark, length, kind, crc = _HEAD.unpack_from(segment, at)
    start = at + _HEAD.size
    if mark != MARK or start + length > size or kind > max(Kind):
        return None
    record = segment[start : start + length]
    return (Kind(kind), record, start + length) if _crc(length, kind, record) == crc else None


def _is_cut_off(segment: Segment, at: int, size: int) -> bool:
    """Whether the file ends inside the frame at `at`, or holds nothing but the zeros of a hole from there."""
    if at + _HEAD.size > size:
        return True
    mark, length, *_ = _HEAD.unpack_from(segment, at)
    return (mark == MARK and at + _HEAD.size + length > size) or not any(segment[at:size])


def _next_mark(segment: Segment, start: int, size: int) -> int:
    found = segment.find(MARK, start, size)
    return size if found < 0 else found


def _crc(length: int, kind: int, record: bytes) -> int:
    return zlib.crc32(record, zlib.crc32(_COVERED.pack(length, kind)))
