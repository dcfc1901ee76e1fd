"""The disk queue alone: order, restart, torn tails, budget, ownership."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.errors import DirectoryLockedError, EventLogFullError
from tenant_plane import relay_queue
from tenant_plane.relay_queue import RelayQueue

PLENTY = 100_000_000


def drained(queue: RelayQueue) -> list[bytes]:
    bodies = []
    while (frame := queue.head()) is not None:
        bodies.append(frame.body)
        queue.done(frame)
    return bodies


def reopened(queue: RelayQueue, directory: Path) -> RelayQueue:
    queue.close()
    return RelayQueue(directory, budget_bytes=PLENTY)


def test_bodies_leave_in_order_across_segments_and_restarts(tmp_path: Path) -> None:
    queue = RelayQueue(tmp_path, budget_bytes=PLENTY)
    bodies = [bytes([number]) * (3 * 1024 * 1024) for number in range(8)]
    for number, body in enumerate(bodies):
        queue.append(body, is_batch=number % 2 == 0)
        if number == 3:
            frame = queue.head()
            assert frame is not None and frame.is_batch
            queue.done(frame)
            queue = reopened(queue, tmp_path)
    assert len(list(tmp_path.glob("*.segment"))) > 2
    assert drained(queue) == bodies[1:]
    assert queue.pending_bytes == 0
    assert list(tmp_path.glob("*.segment")) == []
    queue.append(b"again", is_batch=False)
    queue = reopened(queue, tmp_path)
    assert drained(queue) == [b"again"]
    queue.close()


@pytest.mark.parametrize("cut_bytes", [1, 4, 13])
def test_a_torn_tail_is_cut_and_everything_before_it_kept(tmp_path: Path, cut_bytes: int) -> None:
    queue = RelayQueue(tmp_path, budget_bytes=PLENTY)
    queue.append(b"whole", is_batch=False)
    queue.append(b"torn", is_batch=False)
    queue.close()
    segment = next(tmp_path.glob("*.segment"))
    segment.write_bytes(segment.read_bytes()[:-cut_bytes])
    queue = RelayQueue(tmp_path, budget_bytes=PLENTY)
    queue.append(b"after", is_batch=False)
    assert drained(queue) == [b"whole", b"after"]
    queue.close()


def test_a_write_that_fails_leaves_no_half_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = RelayQueue(tmp_path, budget_bytes=PLENTY)
    queue.append(b"before", is_batch=False)

    def no_space(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(relay_queue.os, "fdatasync", no_space)
        with pytest.raises(EventLogFullError):
            queue.append(b"lost", is_batch=False)
    queue.append(b"after", is_batch=False)
    assert drained(queue) == [b"before", b"after"]
    queue.close()


def test_the_budget_counts_what_is_unsent(tmp_path: Path) -> None:
    queue = RelayQueue(tmp_path, budget_bytes=100)
    queue.append(b"x" * 60, is_batch=False)
    with pytest.raises(EventLogFullError):
        queue.append(b"x" * 60, is_batch=False)
    drained(queue)
    queue.append(b"x" * 60, is_batch=False)
    queue.close()


def test_two_planes_never_share_a_queue(tmp_path: Path) -> None:
    queue = RelayQueue(tmp_path, budget_bytes=100)
    with pytest.raises(DirectoryLockedError):
        RelayQueue(tmp_path, budget_bytes=100)
    queue.close()
