"""Both clients behind one face, so that one suite runs over threads and over asyncio; and a door for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from resources.settings import Settings
from tests.support.door import RunningDoor
from tests.support.sdk_events import FAST
from unmogrowp.client import AsyncClient, Client

MakeClient = Callable[..., Any]


class LoopClient:
    """An `AsyncClient` on a loop of its own thread; its methods are called from the test's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            self._client = self._run(self._made(*arguments, **options))
        except BaseException:
            self._end()
            raise

    async def _made(self, *arguments: Any, **options: Any) -> AsyncClient:
        client = AsyncClient(*arguments, **options)
        client.start()
        return client

    def _run(self, work: Any) -> Any:
        if self._loop.is_closed():
            return asyncio.run(work)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not asyncio.iscoroutinefunction(value):
            return value
        return lambda *arguments, **options: self._run(value(*arguments, **options))

    def close(self, timeout_s: float | None = None) -> None:
        if not self._loop.is_closed():
            try:
                self._run(self._client.close(timeout_s))
            finally:
                self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop.is_closed():
            return
        try:
            self._run(self._client.__aexit__(kind, error, trace))
        finally:
            self._end()


@pytest.fixture(params=[Client, LoopClient], ids=["threads", "asyncio"])
def make_client(request: pytest.FixtureRequest) -> MakeClient:
    made: MakeClient = request.param
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "door")


@pytest.fixture
def door(settings: Settings) -> Iterator[RunningDoor]:
    with RunningDoor(settings) as running:
        yield running


@pytest.fixture(params=["memory", "disk"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Options of a client that waits in memory, or on disk."""
    return FAST if request.param == "memory" else {**FAST, "buffer_dir": tmp_path / "buffer"}


@pytest.fixture
def on_disk(tmp_path: Path) -> dict[str, Any]:
    return {**FAST, "buffer_dir": tmp_path / "buffer"}
