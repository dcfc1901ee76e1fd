"""Where the workers of a door count together what tenants have used: a file of this home, or Redis.

A worker sends what it took since it last did, and gets the sum of all with what is owed together. Both places apply
the same rule in one transaction, so nothing is counted twice or lost between workers. Redis keeps it for doors on
several machines (`t:<tenant>:door:…`, a tenant's own namespace); the file for those of one home, and over restarts.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from ingest_api.quotas import BURST_S
from resources.errors import ServiceUnavailableError
from resources.file_lock import exclusive_file_lock

if TYPE_CHECKING:
    from redis import Redis

    from resources.settings import Settings

BUSY_TIMEOUT_S = 5.0  # a turn is 0.1 ms; an overloaded disk may stall one
REDIS_TIMEOUT_S = 1.0  # workers go on by themselves meanwhile
KEPT_S = 2 * 24 * 3600  # a day's count outlives its day in every door's clock
_SCHEMA = """
CREATE TABLE IF NOT EXISTS door_use (
    tenant_id TEXT PRIMARY KEY, date TEXT NOT NULL, today INTEGER NOT NULL, free_at_s REAL NOT NULL,
    per_second REAL NOT NULL
) WITHOUT ROWID
"""
# Redis' own clock: machines need not agree on theirs. Numbers go back as text, or Lua cuts them to integers.
_SCRIPT = """
local time = redis.call('TIME')
local now_s = tonumber(time[1]) + tonumber(time[2]) / 1000000
local today = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[4])
local free_at_s = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), now_s - tonumber(ARGV[3]))
free_at_s = free_at_s + tonumber(ARGV[2])
redis.call('SET', KEYS[2], string.format('%.6f', free_at_s), 'EX', ARGV[4])
return {today, string.format('%.6f', free_at_s - now_s)}
"""


class Taken(NamedTuple):
    """What a worker took of a tenant: events of the day, and what they owe in seconds of the limit's rate."""

    tenant_id: str
    events: int
    owed_s: float
    per_second: float  # the limit: when it changes, what was owed under another is forgotten


class Shared(NamedTuple):
    """What all workers have taken together; less than nothing is owed while the burst is not used up."""

    today: int
    owed_s: float


class QuotaCounts(Protocol):
    """Counts that several workers share; one thread each."""

    def add(self, date: str, taken: Sequence[Taken]) -> dict[str, Shared]:
        """Count what was taken on this day; what all have taken.

        Raises:
            ServiceUnavailableError: it cannot be counted now; nothing was.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class FileCounts:
    """Counts in a SQLite file. Not synced: a power cut may forget the last of them, a crash of a process none."""

    def __init__(self, path: Path, wall_clock: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._wall_clock = wall_clock
        self._opened: sqlite3.Connection | None = None

    def add(self, date: str, taken: Sequence[Taken]) -> dict[str, Shared]:
        """See `QuotaCounts`."""
        try:
            return self._add(date, taken)
        except sqlite3.Error as error:
            raise ServiceUnavailableError(
                f"the door's counts cannot be kept in {self._path.name}: {error}"
            ) from error

    def close(self) -> None:
        """See `QuotaCounts`."""
        if self._opened is not None:
            self._opened.close()

    def _add(self, date: str, taken: Sequence[Taken]) -> dict[str, Shared]:
        connection = self._connection()
        shared: dict[str, Shared] = {}
        with connection:  # commits, or rolls back
            connection.execute("BEGIN IMMEDIATE")
            now_s = self._wall_clock()
            for each in taken:
                row = connection.execute(
                    "SELECT date, today, free_at_s, per_second FROM door_use WHERE tenant_id = ?",
                    (each.tenant_id,),
                ).fetchone()
                there = row[1] if row and row[0] == date else 0
                free_at_s = row[2] if row and row[3] == each.per_second else 0.0
                today, free_at_s = there + each.events, max(free_at_s, now_s - BURST_S) + each.owed_s
                new = (each.tenant_id, date, today, free_at_s, each.per_second)
                connection.execute("INSERT OR REPLACE INTO door_use VALUES (?, ?, ?, ?, ?)", new)
                shared[each.tenant_id] = Shared(today, free_at_s - now_s)
        return shared

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            with exclusive_file_lock(self._path.with_suffix(".lock")):  # switching to WAL does not wait
                connection = sqlite3.connect(
                    self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
                )
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=OFF")
                connection.execute(_SCHEMA)
            self._opened = connection
        return self._opened


class RedisCounts:
    """Counts in Redis, for doors on several machines."""

    def __init__(self, url: str) -> None:
        from redis import Redis  # noqa: PLC0415 - only where Redis is set

        self._redis: Redis = Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        )

    def add(self, date: str, taken: Sequence[Taken]) -> dict[str, Shared]:
        """See `QuotaCounts`."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - as above

        try:
            pipeline = self._redis.pipeline(transaction=True)
            for tenant_id, events, owed_s, per_second in taken:
                keys = (f"t:{tenant_id}:door:events:{date}", f"t:{tenant_id}:door:free_at:{per_second:g}")
                pipeline.eval(
                    _SCRIPT, len(keys), *keys, str(events), f"{owed_s:.9f}", str(BURST_S), str(KEPT_S)
                )
            answers = cast("list[tuple[int, bytes]]", pipeline.execute())
        except RedisError as error:
            raise ServiceUnavailableError(f"the door's counts cannot be kept in Redis: {error}") from error
        return {
            each.tenant_id: Shared(int(today), float(owed_s))
            for each, (today, owed_s) in zip(taken, answers, strict=True)
        }

    def close(self) -> None:
        """See `QuotaCounts`."""
        self._redis.close()


def open_quota_counts(settings: Settings) -> QuotaCounts:
    """Redis where it is set, else the file of this home."""
    if settings.redis_url:
        return RedisCounts(settings.redis_url)
    return FileCounts(settings.status_dir / "door" / "quotas.db")
