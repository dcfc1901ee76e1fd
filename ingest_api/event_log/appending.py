"""`append` for coroutines, over the `append_then` that every log has. Stores are elsewhere."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from ingest_api.event_log.protocol import LogPosition

if TYPE_CHECKING:
    from ingest_api.event_log.protocol import Appended, LogRecord, Outcome

logger = logging.getLogger(__name__)


class AwaitedAppends(ABC):
    """A log whose appends can also be awaited."""

    @abstractmethod
    def append_then(self, record: LogRecord, done: Appended) -> None:
        """See `EventLog.append_then`."""

    async def append(self, record: LogRecord) -> LogPosition:
        """See `EventLog.append`."""
        future: asyncio.Future[LogPosition] = asyncio.get_running_loop().create_future()
        self.append_then(record, partial(_settle, future))
        return await future


def tell(done: Appended, outcome: Outcome) -> None:
    """Hand an outcome over; one connection's trouble with it must not keep the others from theirs."""
    try:
        done(outcome)
    except Exception:
        logger.exception("an append's outcome could not be handed over")


def _settle(future: asyncio.Future[LogPosition], outcome: Outcome) -> None:
    if future.done():
        return  # its request was cancelled
    if isinstance(outcome, LogPosition):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
