"""Starting the embedded ClickHouse server as a child process, and the command a supervisor starts it with.

What belongs here: the server seen from outside: its command line, environment, readiness and end. What does
not: what runs inside (`clickhouse_server`).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from resources.clickhouse import EMBEDDED_PASSWORD_FILE
from resources.errors import ServiceUnavailableError
from resources.settings import APPLICATION_ROOT, Settings, child_environment, load_settings

# Starting takes 1.5 s alone and up to 8 s when both cores are taken; test runs start several at once.
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


def server_command(
    directory: Path,
    port: int,
    *,
    host: str = "127.0.0.1",
    password_file: Path | None = None,
    files: Path | None = None,
) -> list[str]:
    """The command line that serves `directory`; lake files are read below `files` alone."""
    command = [sys.executable, "-m", "resources.embedded.clickhouse_server"]
    command += ["--path", str(directory), "--host", host, "--port", str(port)]
    command += ["--files", str(files)] if files else []
    return command if password_file is None else [*command, "--password-file", str(password_file)]


def stack_command(settings: Settings) -> list[str]:
    """The command line of the embedded stack's server; makes its first-run password."""
    settings.first_run_secret(EMBEDDED_PASSWORD_FILE)
    return server_command(
        settings.home / "clickhouse",
        settings.clickhouse_port,
        host=settings.bind_host,
        password_file=settings.secrets_dir / EMBEDDED_PASSWORD_FILE,
        files=local_warehouse(settings),
    )


def local_warehouse(settings: Settings) -> Path | None:
    """The lake's directory where it is a local one; made, so that the server can start in it."""
    if settings.lake_warehouse.startswith("s3://"):
        return None
    directory = Path(settings.lake_warehouse)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def server_environment(settings: Settings) -> dict[str, str]:
    """The server's environment: the S3 credentials that `icebergS3` signs with travel here, never in SQL."""
    if not settings.s3_access_key_id or settings.s3_secret_access_key is None:
        return child_environment()
    return child_environment(
        AWS_ACCESS_KEY_ID=settings.s3_access_key_id,
        AWS_SECRET_ACCESS_KEY=settings.s3_secret_access_key.get_secret_value(),
        AWS_REGION=settings.s3_region,
    )


class ClickHouseProcess:
    """A running embedded server; as a context manager it ends with the block.

    Args:
        directory: the data directory.
        port: 0 takes a free one.
        password_file: the password of user `default`; without it the server asks for none.
        environment: the child's environment; without it this process's own.
        files: the directory below which `icebergLocal` may read.
    """

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        *,
        password_file: Path | None = None,
        environment: dict[str, str] | None = None,
        files: Path | None = None,
    ) -> None:
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - a fixed command
            server_command(directory, self.port, password_file=password_file, files=files),
            cwd=APPLICATION_ROOT,
            env=environment,
            stderr=self._log,
        )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def stop(self) -> None:
        """End it in order: running requests finish, the engine closes."""
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _wait_until_it_answers(self) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                self._log.seek(0)
                reason = self._log.read().strip() or f"exit code {self._process.returncode}"
                raise ServiceUnavailableError(f"the embedded ClickHouse server did not start: {reason}")
            try:
                with urllib.request.urlopen(f"{self.url}/ping", timeout=5):  # noqa: S310 - our own http URL
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise ServiceUnavailableError(
            f"the embedded ClickHouse server is silent after {START_TIMEOUT_S:.0f} s: free the machine, retry"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Become the embedded stack's server: what the Procfile starts."""
    settings = load_settings()
    command = stack_command(settings)
    os.execve(command[0], command, server_environment(settings))  # noqa: S606 - our own interpreter and module


if __name__ == "__main__":
    main()
