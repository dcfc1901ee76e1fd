"""What waits to be sent: the protocol of memory and disk, and memory.

Belongs here: records in order, the budget, the head that moves when the door has acknowledged. Not here:
sending (`engine`), the disk (`buffer`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeAlias

from unmogrowp.errors import BufferFullError

Position: TypeAlias = tuple[int, int]  # positions of one buffer compare: what was added later is larger


class Kind(IntEnum):
    """What a record is: an event travels with its neighbours, a body as it came."""

    EVENT = 0
    SINGLE_BODY = 1
    BATCH_BODY = 2


@dataclass(frozen=True)
class Parcel:
    """Records that travel in one request, all of one kind, and the head once they are acknowledged."""

    kind: Kind
    records: Sequence[bytes]
    end: Position


@dataclass
class Group:
    """Records that become durable together."""

    frames: list[bytes]
    size_bytes: int = 0
    is_done: bool = False
    error: BufferFullError | None = None


_IN_MEMORY = Group([], is_done=True)


@dataclass(frozen=True)
class RefusedBody:
    """A body the door will never take: its status and answer, and the events as they were sent."""

    status: int | None
    answer: str
    body: bytes


class Buffer(Protocol):
    """First in, first out. Any thread may add; one sender looks at the head and moves it."""

    lost_frames: int

    @property
    def pending_bytes(self) -> int:
        """Bytes that the door has not acknowledged yet."""
        ...

    @property
    def head(self) -> Position:
        """Before the first record not yet acknowledged."""
        ...

    @property
    def tail(self) -> Position:
        """Behind the last record that was committed."""
        ...

    def add(self, kind: Kind, records: Sequence[bytes]) -> Group:
        """Queue records, all or none; they count only after `commit`.

        Raises:
            BufferFullError: they do not fit into the budget.
        """
        ...

    def commit(self, group: Group) -> None:
        """Return once the group is as durable as this buffer can make it.

        Raises:
            BufferFullError: it could not be written; nothing of it is kept.
        """
        ...

    def peek(self, max_events: int, max_bytes: int) -> Parcel | None:
        """The oldest records that may travel together; None when nothing waits."""
        ...

    def done(self, parcel: Parcel) -> None:
        """Move the head behind an acknowledged, or refused, parcel."""
        ...

    def keep_refused(self, refusal: RefusedBody) -> None:
        """Keep what the door refused for the caller."""
        ...

    def take_refused(self) -> list[RefusedBody]:
        """What was refused and not taken before."""
        ...

    def tidy(self) -> None:
        """Give back space that nothing waits in."""
        ...

    def close(self) -> list[bytes]:
        """Let go of everything; what waited and is lost with the process is given back."""
        ...


class MemoryBuffer:
    """Waiting records in memory: gone with the process. Refused ones count until the caller takes them."""

    def __init__(self, tenant_id: str, *, budget_bytes: int) -> None:
        self.lost_frames = 0
        self._tenant_id = tenant_id
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._records: deque[tuple[Kind, bytes]] = deque()
        self._refused: list[RefusedBody] = []
        self._bytes = self._refused_bytes = 0
        self._head = self._tail = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes that the door has not acknowledged yet."""
        return self._bytes

    @property
    def head(self) -> Position:
        """Before the first record not yet acknowledged."""
        return 0, self._head

    @property
    def tail(self) -> Position:
        """Behind the last record."""
        return 0, self._tail

    def add(self, kind: Kind, records: Sequence[bytes]) -> Group:
        """Queue records, all or none; they are in memory at once."""
        size_bytes = sum(map(len, records))
        with self._lock:
            if self._bytes + self._refused_bytes + size_bytes > self._budget_bytes:
                refused = f", {self._refused_bytes} of them refused" if self._refused_bytes else ""
                raise BufferFullError(
                    f"tenant {self._tenant_id}: {self._bytes + self._refused_bytes} bytes of events wait in "
                    f"memory{refused}, {self._budget_bytes} may; track again later"
                )
            self._records.extend((kind, record) for record in records)
            self._bytes += size_bytes
            self._tail += len(records)
        return _IN_MEMORY

    def commit(self, group: Group) -> None:
        """Nothing to do: memory is as durable as it gets here."""

    def peek(self, max_events: int, max_bytes: int) -> Parcel | None:
        """The oldest records that may travel together; None when nothing waits."""
        with self._lock:
            if not self._records:
                return None
            kind = self._records[0][0]
            records = take_together(self._records, max_events, max_bytes)
            return Parcel(kind, records, (0, self._head + len(records)))

    def done(self, parcel: Parcel) -> None:
        """Forget an acknowledged, or refused, parcel."""
        with self._lock:
            for _ in parcel.records:
                self._bytes -= len(self._records.popleft()[1])
            self._head = parcel.end[1]

    def keep_refused(self, refusal: RefusedBody) -> None:
        """Keep what the door refused until `take_refused`."""
        with self._lock:
            self._refused.append(refusal)
            self._refused_bytes += len(refusal.body)

    def take_refused(self) -> list[RefusedBody]:
        """What was refused and not taken before."""
        with self._lock:
            taken, self._refused, self._refused_bytes = self._refused, [], 0
            return taken

    def tidy(self) -> None:
        """Nothing to do."""

    def close(self) -> list[bytes]:
        """Give back what waited."""
        with self._lock:
            return [record for _, record in self._records]


def take_together(waiting: Sequence[tuple[Kind, bytes]], max_events: int, max_bytes: int) -> list[bytes]:
    """The first records that travel together: one body, or events up to both limits."""
    taken: list[bytes] = []
    size_bytes = 0
    for kind, record in waiting:
        size_bytes += len(record) + 1
        if kind is not waiting[0][0] or (taken and (len(taken) >= max_events or size_bytes > max_bytes)):
            break
        taken.append(record)
        if kind is not Kind.EVENT:
            break
    return taken
