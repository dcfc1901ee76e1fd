"""Load that goes on whatever happens to the door, from a thread of its own, and remembers every delivery.

A connection that breaks leaves a request without an answer: half of those are sent again with the same ids, as
the SDK does, the other half never, so that both a lost acknowledgement and a lost event show. What is
remembered is `memory`'s.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from typing import Self

from benchmarks.drills.memory import Delivery, Memory, make_delivery
from benchmarks.drills.processes import TENANTS, Stage
from benchmarks.traffic import read_answer

RECONNECT_S = 0.01
REFUSED_WAIT_S = 0.1  # after a 503; a real client waits for Retry-After, a drill wants to see the recovery
ANSWER_MAX_BYTES = 1024 * 1024
CONNECTIONS = 6
EVENTS_PER_DELIVERY = 30
PAUSE_S = 0.02  # 150 requests a second over all connections: a third of a core of ours


class Sender:
    """Sends over several connections until stopped. A context manager."""

    def __init__(
        self,
        stage: Stage,
        *,
        pause_s: float = PAUSE_S,
        size: int = EVENTS_PER_DELIVERY,
        packs: bool = True,
    ) -> None:
        """Make a sender; `pause_s` is each connection's rest between two requests, `packs` as `make_delivery`'s."""
        self.memory = Memory()
        self._stage = stage
        self._pause_s, self._size, self._packs = pause_s, size, packs
        self._parts: Iterator[int] = itertools.count()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()), name="drill-sender")
        self._is_stopped = False
        self._is_paused = False
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pause(self) -> None:
        """Send nothing until `resume`; requests in flight end."""
        self._is_paused = True

    def resume(self) -> None:
        """Go on."""
        self._is_paused = False

    def stop(self) -> None:
        """Send no more; requests in flight end. Raises what the thread died of, if it did."""
        self._is_stopped = True
        if self._thread.is_alive():
            self._thread.join()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    async def _send(self) -> None:
        try:
            await asyncio.gather(*(self._over_one() for _ in range(CONNECTIONS)))
        except BaseException as error:
            self._failure = error
            self._is_stopped = True

    async def _over_one(self) -> None:
        again: Delivery | None = None
        while not self._is_stopped:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self._stage.settings.ingest_port, limit=ANSWER_MAX_BYTES
                )
            except OSError:
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                again = await self._until_broken(reader, writer, again)
            finally:
                writer.close()

    async def _until_broken(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, again: Delivery | None
    ) -> Delivery | None:
        """Send over one connection until it breaks; the delivery to send again over the next, if any."""
        while not self._is_stopped:
            if self._is_paused:
                await asyncio.sleep(RECONNECT_S)
                continue
            is_retry = again is not None
            part = 0 if is_retry else next(self._parts)
            tenant = TENANTS[part % len(TENANTS)]
            delivery = again or make_delivery(tenant, part, self._size, packs=self._packs)
            self.memory.sending(delivery, is_retry=is_retry)
            try:
                writer.write(self._request(delivery))
                status, head, body = await read_answer(reader)
            except (asyncio.IncompleteReadError, OSError):
                self.memory.unanswered += 1
                return delivery if self.memory.unanswered % 2 and not delivery.bad else None
            self.memory.heard(delivery, status, head, body)
            again = None
            await asyncio.sleep(self._pause_s if status < 500 else REFUSED_WAIT_S)
        return None

    def _request(self, delivery: Delivery) -> bytes:
        head = (
            f"POST {delivery.path} HTTP/1.1\r\nHost: door\r\n"
            f"Authorization: Bearer {self._stage.tokens[delivery.tenant_id]}\r\n"
            f"X-Tenant-ID: {delivery.tenant_id}\r\n{delivery.headers}"
            f"Content-Length: {len(delivery.body)}\r\n\r\n"
        )
        return head.encode() + delivery.body
