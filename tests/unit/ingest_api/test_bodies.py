"""Bodies as bytes: what one body may cost, and that door and lander unpack the same."""

from __future__ import annotations

import gzip
import os
import tracemalloc

import pytest
import zstandard

from ingest_api.bodies import BodyTooLargeError, BodyUnreadableError, raw_deliveries, unpacked
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat

EVENT_MAX_BYTES = 64 * 1024


def unsized_zstd(plain: bytes) -> bytes:
    """As a streaming client sends it: the frame does not say its size."""
    stream = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return stream.compress(plain) + stream.flush()


@pytest.mark.parametrize("max_bytes", [EVENT_MAX_BYTES, 2**40])
def test_a_streamed_zstd_body_unpacks_under_any_limit(max_bytes: int) -> None:
    plain = b'[{"a":1}]' * 1_000
    assert unpacked(unsized_zstd(plain), BodyEncoding.ZSTD, max_bytes) == plain


def test_a_zstd_body_over_the_limit_and_damaged_further_on_is_unreadable_and_no_fault_of_ours() -> None:
    damaged = bytearray(unsized_zstd(os.urandom(400_000)))
    damaged[-2] ^= 0xFF
    with pytest.raises(BodyUnreadableError):
        unpacked(bytes(damaged), BodyEncoding.ZSTD, EVENT_MAX_BYTES)


def test_gzip_members_are_joined_held_to_the_limit_and_counted() -> None:
    plain = os.urandom(200_000)
    joined = gzip.compress(plain[:50_000]) + gzip.compress(plain[50_000:])
    assert unpacked(joined, BodyEncoding.GZIP, len(plain)) == plain
    with pytest.raises(BodyTooLargeError):
        unpacked(joined, BodyEncoding.GZIP, len(plain) - 1)
    with pytest.raises(BodyUnreadableError, match="cut off"):
        unpacked(joined[:-5], BodyEncoding.GZIP, len(plain))
    with pytest.raises(BodyUnreadableError, match="members"):
        unpacked(gzip.compress(b"") * 10_001, BodyEncoding.GZIP, len(plain))


def test_a_long_string_costs_no_memory_per_character_to_step_over() -> None:
    element = b'"' + b"a\\n" * 500_000 + b'"'
    tracemalloc.start()
    try:
        assert raw_deliveries(b"[" + element + b",1]", BodyFormat.ARRAY) == [element, b"1"]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * len(element)
