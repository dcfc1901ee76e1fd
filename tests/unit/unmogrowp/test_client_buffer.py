"""The buffers alone: order, restart, torn tails, damage, budget, ownership, a disk that takes no more."""

from __future__ import annotations

import os
import random
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmogrowp import frames
from unmogrowp.buffer import DiskBuffer
from unmogrowp.errors import BufferFullError, BufferLockedError
from unmogrowp.waiting import Buffer, Kind, MemoryBuffer, RefusedBody

PLENTY = 100_000_000


def disk(directory: Path, budget_bytes: int = PLENTY) -> DiskBuffer:
    return DiskBuffer(directory, "t123", budget_bytes=budget_bytes)


@pytest.fixture(params=["memory", "disk"])
def buffer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Buffer]:
    made = MemoryBuffer("t123", budget_bytes=1_000) if request.param == "memory" else disk(tmp_path, 1_000)
    yield made
    made.close()


def put(buffer: Buffer, *records: bytes, kind: Kind = Kind.EVENT) -> None:
    buffer.commit(buffer.add(kind, records))


def drained(buffer: Buffer, max_events: int = 1) -> list[bytes]:
    records: list[bytes] = []
    while (parcel := buffer.peek(max_events, PLENTY)) is not None:
        records.extend(parcel.records)
        buffer.done(parcel)
    return records


def reopened(buffer: DiskBuffer, directory: Path) -> DiskBuffer:
    buffer.close()
    return disk(directory)


def test_events_travel_together_within_both_limits_and_bodies_alone(buffer: Buffer) -> None:
    put(buffer, *[bytes([number]) * 10 for number in range(5)])
    put(buffer, b"one body", kind=Kind.SINGLE_BODY)
    put(buffer, b"a batch", kind=Kind.BATCH_BODY)
    put(buffer, b"e" * 10)
    target, parcels = buffer.tail, []
    while (parcel := buffer.peek(3, 1_000)) is not None:
        assert buffer.peek(3, 1_000) == parcel  # looking moves nothing
        assert buffer.head < target
        parcels.append((parcel.kind, len(parcel.records)))
        buffer.done(parcel)
    event = Kind.EVENT
    assert parcels == [(event, 3), (event, 2), (Kind.SINGLE_BODY, 1), (Kind.BATCH_BODY, 1), (event, 1)]
    assert buffer.head >= target and buffer.pending_bytes == 0
    put(buffer, b"x" * 400, b"y" * 400)
    first = buffer.peek(3, 500)
    assert first is not None and first.records == [b"x" * 400]


def test_the_budget_counts_what_is_unsent_and_takes_all_or_nothing(buffer: Buffer) -> None:
    put(buffer, b"x" * 600)
    with pytest.raises(BufferFullError, match=r"tenant t123: .*1000"):
        buffer.add(Kind.EVENT, [b"y", b"x" * 600])
    assert drained(buffer) == [b"x" * 600]
    put(buffer, b"x" * 600)
    assert drained(buffer) == [b"x" * 600]


def test_refused_bodies_are_given_to_the_caller_once(buffer: Buffer) -> None:
    refused = [RefusedBody(400, "why", "über".encode()), RefusedBody(413, "", b"{}\n{}")]
    for each in refused:
        buffer.keep_refused(each)
    assert buffer.take_refused() == refused
    assert buffer.take_refused() == []


def test_records_leave_in_order_across_segments_and_restarts(tmp_path: Path) -> None:
    buffer = disk(tmp_path)
    bodies = [bytes([number]) * (3 * 1024 * 1024) for number in range(8)]
    for number, body in enumerate(bodies):
        put(buffer, body, kind=Kind.SINGLE_BODY)
        if number == 3:
            parcel = buffer.peek(1, PLENTY)
            assert parcel is not None
            buffer.done(parcel)
            buffer = reopened(buffer, tmp_path)
    assert len(list(tmp_path.glob("*.segment"))) > 2
    assert drained(buffer) == bodies[1:]
    assert buffer.pending_bytes == 0
    buffer.tidy()
    assert list(tmp_path.glob("*.segment")) == []
    put(buffer, b"again")
    buffer = reopened(buffer, tmp_path)
    assert drained(buffer) == [b"again"]
    buffer.close()


@pytest.mark.parametrize("cut_bytes", [1, 4, 13, 16])
def test_a_torn_tail_is_left_out_and_everything_before_it_kept(tmp_path: Path, cut_bytes: int) -> None:
    buffer = disk(tmp_path)
    put(buffer, b"whole")
    put(buffer, b"torn")
    buffer.close()
    segment = next(tmp_path.glob("*.segment"))
    segment.write_bytes(segment.read_bytes()[:-cut_bytes])
    buffer = disk(tmp_path)
    put(buffer, b"after")
    assert drained(buffer) == [b"whole", b"after"]
    assert buffer.lost_frames == 0  # nobody was told that it is safe
    buffer.close()


def test_a_hole_of_zeros_after_a_power_cut_is_a_torn_tail(tmp_path: Path) -> None:
    buffer = disk(tmp_path)
    put(buffer, b"whole")
    buffer.close()
    segment = next(tmp_path.glob("*.segment"))
    segment.write_bytes(segment.read_bytes() + bytes(4096))
    buffer = disk(tmp_path)
    assert drained(buffer) == [b"whole"]
    assert (buffer.lost_frames, buffer.pending_bytes) == (0, 0)
    buffer.close()


def test_a_damaged_record_is_counted_and_every_other_one_arrives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = disk(tmp_path)
    records = [b"record %d" % number for number in range(10)]
    put(buffer, *records)
    buffer.close()
    segment = next(tmp_path.glob("*.segment"))
    data = bytearray(segment.read_bytes())
    data[data.index(b"record 3")] ^= 1
    data[data.index(b"record 7") - frames.OVERHEAD_BYTES + 5] ^= 0xFF  # its length: far beyond the end
    segment.write_bytes(data)
    buffer = disk(tmp_path)
    assert drained(buffer, 100) == [each for each in records if each not in (b"record 3", b"record 7")]
    assert buffer.lost_frames == 2
    assert "tenant t123: 1 damaged records left out" in caplog.text
    buffer.close()


@given(
    records=st.lists(st.text(max_size=40).map(str.encode), min_size=1, max_size=12),
    place=st.floats(0, 1, exclude_max=True),
    change=st.integers(1, 255),
)
def test_any_single_damaged_byte_costs_at_most_its_own_record(
    records: list[bytes], place: float, change: int
) -> None:
    data = bytearray(b"".join(frames.encode(Kind.EVENT, record) for record in records))
    at = int(place * len(data))
    data[at] ^= change
    segment, start, found, lost = bytes(data), 0, list[bytes](), 0
    while start < len(segment):
        taken = frames.take(segment, start, len(segment), 100, PLENTY)
        found, start, lost = found + taken.records, taken.end, lost + taken.lost
    ends, owner = 0, 0
    for owner, record in enumerate(records):  # noqa: B007 - the loop looks for the damaged one
        ends += frames.OVERHEAD_BYTES + len(record)
        if at < ends:
            break
    assert found == records[:owner] + records[owner + 1 :]
    assert lost == 1


@pytest.mark.parametrize("head", [b"", b"rubbish that is no head", bytes(20)])
def test_a_lost_head_sends_again_and_never_skips(tmp_path: Path, head: bytes) -> None:
    buffer = disk(tmp_path)
    put(buffer, b"one", b"two")
    first = buffer.peek(1, PLENTY)
    assert first is not None
    buffer.done(first)
    buffer.close()
    (tmp_path / "head").write_bytes(head)
    buffer = disk(tmp_path)
    assert drained(buffer) == [b"one", b"two"]
    buffer.close()


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """The kernel refuses what would make a file larger: a full disk that needs no disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_keeps_nothing_of_it_and_loses_nothing_else(tmp_path: Path) -> None:
    buffer = disk(tmp_path)
    put(buffer, b"before")
    with files_of_at_most(100), pytest.raises(BufferFullError, match=r"tenant t123: .*File too large"):
        put(buffer, b"kept or not", b"x" * 200)
    put(buffer, b"after")
    buffer = reopened(buffer, tmp_path)
    assert drained(buffer) == [b"before", b"after"]
    assert (buffer.lost_frames, buffer.pending_bytes) == (0, 0)
    buffer.close()


def test_many_threads_share_syncs_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []

    def counted(descriptor: int) -> None:
        syncs.append(descriptor)
        os.fdatasync(descriptor)

    monkeypatch.setattr("unmogrowp.buffer._sync", counted)
    buffer = disk(tmp_path)

    def work(name: int) -> None:
        for number in range(25):
            put(buffer, b"%d %d" % (name, number))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    seen: list[bytes] = []
    moments = random.Random(1)  # noqa: S311 - no secret
    while any(thread.is_alive() for thread in threads) or buffer.pending_bytes:
        parcel = buffer.peek(moments.randint(1, 9), PLENTY)
        if parcel is not None:
            seen.extend(parcel.records)
            buffer.done(parcel)
        buffer.tidy()
    for thread in threads:
        thread.join()
    buffer.close()
    assert sorted(seen) == sorted(b"%d %d" % (name, number) for name in range(8) for number in range(25))
    for name in range(8):
        own = [record for record in seen if record.startswith(b"%d " % name)]
        assert own == [b"%d %d" % (name, number) for number in range(25)]
    assert len(syncs) < 200


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    buffer = disk(tmp_path)
    with pytest.raises(BufferLockedError, match="tenant t123"):
        disk(tmp_path)
    reopened(buffer, tmp_path).close()
