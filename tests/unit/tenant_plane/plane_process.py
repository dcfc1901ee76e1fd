"""A real tenant plane as a process, and the global plane's side of the push protocol, for tests.

Belongs here: starting, stopping and speaking to a plane. Assertions belong to the tests.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from argon2 import PasswordHasher

from tenant_plane.mart_contract import MART_SCHEMAS

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "correct horse battery staple"
SERVICE_TOKEN = "service-token-of-this-test"
SIGNING_KEY = "signing-key-of-this-test"
INGEST_TOKEN = "write-only-token-of-this-test"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
# the cheapest argon2 there is: these tests are about the plane, not about hashing
PASSWORD_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class PlaneProcess:
    home: Path
    tenant_id: str = "t123"
    ingest_url: str = NOWHERE
    port: int = field(default_factory=free_port)
    extra: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        settings = {
            "ID": self.tenant_id,
            "HOME": str(self.home),
            "PORT": str(self.port),
            "INGEST_URL": self.ingest_url,
            "INGEST_TOKEN": INGEST_TOKEN,
            "SERVICE_TOKEN": SERVICE_TOKEN,
            "SIGNING_KEY": SIGNING_KEY,
            "ADMIN_PASSWORD_HASH": PASSWORD_HASH,
            "SESSION_KEY": "session-key-of-this-test-32-bytes",
            **self.extra,
        }
        return {"PATH": os.environ["PATH"], **{f"UNMOGROWP_TENANT_{k}": v for k, v in settings.items()}}

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "tenant_plane", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, check=True, capture_output=True)
        return done.stdout.decode().strip()

    def start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "plane.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tenant_plane"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health/ready", trust_env=False).status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError((self.home / "plane.log").read_text())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=20)

    def signed_in(self) -> httpx.Client:
        with self.client() as client:
            body = {"user": "admin", "password": PASSWORD, "mode": "bearer"}
            token = client.post("/api/v1/auth", json=body).raise_for_status().json()["token"]
        return self.client(Authorization=f"Bearer {token}")

    def push(self, method: str, path: str, body: bytes, **overrides: str) -> httpx.Response:
        with self.client() as client:
            headers = push_headers(method, path, body, self.tenant_id) | overrides
            return client.request(method, path, content=body, headers=headers)

    def push_mart(self, mart: str, date: dt.date, rows: list[dict[str, object]]) -> httpx.Response:
        path = f"/api/v1/marts/{mart}/{date.isoformat()}"
        return self.push("PUT", path, mart_file(mart, rows, date=date, tenant_id=self.tenant_id))


@contextlib.contextmanager
def running(plane: PlaneProcess) -> Iterator[PlaneProcess]:
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


def push_headers(
    method: str, path: str, body: bytes, tenant_id: str, *, t: int | None = None, key: str = SIGNING_KEY
) -> dict[str, str]:
    t = int(time.time()) if t is None else t
    digest = hmac.new(key.encode(), f"{t}.{method}.{path}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Authorization": f"Bearer {SERVICE_TOKEN}",
        "X-Tenant-ID": tenant_id,
        "Idempotency-Key": uuid.uuid4().hex,
        "X-Signature": f"t={t},v1={digest}",
        "Content-Type": "application/vnd.apache.parquet",
    }


def mart_table(
    mart: str, rows: list[dict[str, object]], *, date: dt.date, tenant_id: str = "t123"
) -> pa.Table:
    """Rows of a mart; columns a row leaves out get a plain value of their type."""
    full = [
        {name: _plain(kind.type, kind.nullable) for name, kind in _fields(mart)}
        | {"tenant_id": tenant_id, "event_date": date}
        | row
        for row in rows
    ]
    return pa.Table.from_pylist(full, schema=MART_SCHEMAS[mart])


def mart_file(mart: str, rows: list[dict[str, object]], *, date: dt.date, tenant_id: str = "t123") -> bytes:
    return parquet(mart_table(mart, rows, date=date, tenant_id=tenant_id))


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def _fields(mart: str) -> list[tuple[str, pa.Field]]:
    return [(each.name, each) for each in MART_SCHEMAS[mart]]


def _plain(kind: pa.DataType, nullable: bool) -> object:
    if nullable:
        return None
    if pa.types.is_string(kind):
        return ""
    if pa.types.is_list(kind):
        return []
    return dt.datetime(2026, 1, 1, tzinfo=dt.UTC) if pa.types.is_timestamp(kind) else 0
