"""Keeps a worker's quotas current: limits from the registry, use from the other workers, alerts to the registry.

Several workers agree every SHARE_INTERVAL_S: until then each knows only its own, so together they may take that much
of a burst too much once, and pay it back like any debt. A worker alone writes every second, for the next start.
Where the counts or the registry cannot be asked, a worker goes on with what it knows: a quota never stops the door.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from ingest_api.quota_counts import QuotaCounts, Shared, Taken, open_quota_counts
from ingest_api.quotas import Use
from resources.errors import ServiceUnavailableError
from resources.plans import Quota, shares_reached

if TYPE_CHECKING:
    from ingest_api.quotas import Quotas
    from resources.registry import DoorLimits
    from resources.settings import Settings

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
# 4 workers with Redis: 3 × 0.05 s of the limit too much at most, 0.25 % of a minute. An exchange of 100 tenants is
# 1.5 ms in the file and 4 ms in Redis, in a thread of its own.
SHARE_INTERVAL_S = 0.05
ALONE_INTERVAL_S = 1.0
TELL_INTERVAL_S = 1.0  # 3 ms for 1,000 tenants
ROUNDS_HEARD = 100  # 5 s: a tenant that went quiet at this worker costs no more exchanges then
MINUTE_S = 60.0


class QuotaSource(Protocol):
    """The part of the registry that knows limits and tells of their use."""

    def door_limits(self) -> dict[str, DoorLimits]:
        """Limits of every tenant whose keys are good."""
        ...

    def note_quota_use(
        self, tenant_id: str, quota: Quota, period: str, used: int, limit: int
    ) -> tuple[object, ...]:
        """Tell of the shares of the limit that are reached, once."""
        ...


class QuotaKeeper:
    """One worker's. `start` before the first request, `close` after the last."""

    def __init__(
        self,
        quotas: Quotas,
        source: QuotaSource,
        settings: Settings,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._quotas = quotas
        self._source = source
        self._now = now
        self._reload_s = settings.key_cache_s
        self._is_shared = bool(settings.redis_url) or settings.ingest_workers > 1
        self._interval_s = SHARE_INTERVAL_S if self._is_shared else ALONE_INTERVAL_S
        self._open_counts: Callable[[], QuotaCounts] = lambda: open_quota_counts(settings)
        self._counts: QuotaCounts | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="door-quotas")
        self._date = ""
        self._loaded_at_s = float("-inf")
        self._minute_began_s = time.monotonic()
        self._looked_at_s = float("-inf")
        self._round: asyncio.Task[None] | None = None
        self._told: set[tuple[str, str, str, int]] = set()
        self._troubles: set[str] = set()

    async def start(self) -> None:
        """Know limits and the day's use before anything is taken, as far as somebody can be asked."""
        self._counts = self._open_counts()
        self._turn_of_day()
        await self._load()
        await self._exchange(everything=True)

    async def keep(self) -> None:
        """Do so until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            self._round = asyncio.create_task(self._round_to_its_end())
            await asyncio.shield(self._round)  # cut off in the middle, it would hand in the same twice

    async def _round_to_its_end(self) -> None:
        try:
            await self.once()
        except Exception:  # whatever it is, the next round comes
            logger.exception("the door's quotas were not kept current")

    async def once(self) -> None:
        """One round."""
        if time.monotonic() - self._loaded_at_s >= self._reload_s:
            await self._load()
        await self._exchange()
        if time.monotonic() - self._looked_at_s >= TELL_INTERVAL_S:
            self._looked_at_s = time.monotonic()
            await self._tell()
        self._turn_of_day()

    async def close(self) -> None:
        """Hand in what the others do not know of yet."""
        if self._round is not None:
            await self._round
        await self._exchange()
        if self._counts is not None:
            self._counts.close()
        self._thread.shutdown(wait=True)

    async def _load(self) -> None:
        self._loaded_at_s = time.monotonic()
        try:
            limits = await self._in_thread(self._source.door_limits)
        except Exception as error:
            self._trouble("limits", f"the registry's limits cannot be read: {error}; the last ones count")
            return
        self._troubles.discard("limits")
        self._quotas.set_limits(limits)

    async def _exchange(self, *, everything: bool = False) -> None:
        taken = []
        for tenant_id, use in self._quotas.uses():
            if use.unshared or use.unshared_rate:
                use.rounds_heard = ROUNDS_HEARD
            elif use.rounds_heard:
                use.rounds_heard -= 1
            elif not everything:
                continue
            owed_s = use.unshared_rate * use.seconds_per_event
            taken.append(Taken(tenant_id, use.unshared, owed_s, use.per_second))
            use.unshared_rate = 0  # sent now or never: what is owed for it is paid back meanwhile
        if not taken or self._counts is None:
            return
        counts, date = self._counts, self._date

        def add() -> dict[str, Shared]:
            return counts.add(date, taken)

        try:
            shared = await self._in_thread(add)
        except ServiceUnavailableError as error:
            self._trouble("counts", f"{error}; this worker counts alone")
            return
        self._troubles.discard("counts")
        for each in taken:
            self._quotas.share(each.tenant_id, shared[each.tenant_id], each.events, alone=not self._is_shared)

    async def _tell(self) -> None:
        minute_s = time.monotonic() - self._minute_began_s
        is_minute_over = minute_s >= MINUTE_S
        if is_minute_over:
            self._minute_began_s = time.monotonic()
        for tenant_id, use in list(self._quotas.uses()):
            await self._tell_of_day(tenant_id, use)
            if use.is_refused is Quota.EVENTS_PER_SECOND:
                await self._tell_once(tenant_id, Quota.EVENTS_PER_SECOND, use.per_second, use.per_second)
            if is_minute_over:
                taken, use.minute_began_with = use.today - use.minute_began_with, use.today
                await self._tell_once(tenant_id, Quota.EVENTS_PER_SECOND, taken / minute_s, use.per_second)
            use.is_refused = None

    async def _tell_of_day(self, tenant_id: str, use: Use) -> None:
        used = max(use.today, use.day_limit) if use.is_refused is Quota.EVENTS_PER_DAY else use.today
        await self._tell_once(tenant_id, Quota.EVENTS_PER_DAY, used, use.day_limit)

    async def _tell_once(self, tenant_id: str, quota: Quota, used: float, limit: float) -> None:
        if used < limit * 0.8:  # most rounds of most tenants end here; `shares_reached` decides
            return
        period, whole = self._date, int(used)
        new = [
            (tenant_id, quota, period, share)
            for share in shares_reached(whole, int(limit))
            if (tenant_id, quota, period, share) not in self._told
        ]
        if not new:
            return

        def note() -> tuple[object, ...]:
            return self._source.note_quota_use(tenant_id, quota, period, whole, int(limit))

        try:
            await self._in_thread(note)
        except Exception as error:
            self._trouble(
                "alerts", f"an alert of tenant {tenant_id} cannot be written: {error}; it is tried again"
            )
            return
        self._told.update(new)

    def _turn_of_day(self) -> None:
        """Begin a new day when it has come; what was taken in the last round of the old one has been handed in."""
        now = self._now()
        midnight = dt.datetime.combine(now.date() + dt.timedelta(days=1), dt.time(), dt.UTC)
        self._quotas.end_day_in((midnight - now).total_seconds())
        if now.date().isoformat() == self._date:
            return
        if self._date:
            self._quotas.begin_day()
            self._told.clear()
        self._date = now.date().isoformat()

    def _trouble(self, what: str, sentence: str) -> None:
        """Say it once, until it is over."""
        if what not in self._troubles:
            logger.warning("%s", sentence)
        self._troubles.add(what)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
