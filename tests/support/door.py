"""A real door in this process, for tests: uvicorn on a free port, keys from a dict, a lander beside it."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import socket
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from ingest_api.__main__ import server_options
from ingest_api.app import create_app
from ingest_api.event_log.appending import AwaitedAppends
from ingest_api.event_log.segment_reader import SegmentReader
from ingest_api.event_log.stores import open_log_reader
from ingest_api.lander import Lander
from ingest_api.landing_lag import LagReader
from resources.errors import EventLogFullError
from resources.lake import Lake
from resources.vault import Vault, open_vault

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest_api.event_log.protocol import Appended, EventLog, LogRecord
    from resources.plans import Quota
    from resources.registry import DoorLimits
    from resources.settings import Settings

TENANT = "t123"
TOKEN = "umg_ingest_test-token-of-t123"
OTHER_TENANT = "t456"
OTHER_TOKEN = "umg_ingest_test-token-of-t456"


class Keys:
    """Key digests as the registry gives them; a token taken out of `tokens` is revoked."""

    def __init__(self) -> None:
        self.tokens = {TOKEN: TENANT, OTHER_TOKEN: OTHER_TENANT}
        self.is_down = False
        self.limits: dict[str, DoorLimits] = {}  # a tenant without them may send what it likes
        self.told: list[tuple[str, Quota, str, int, int]] = []

    def active_key_digests(self, kind: str) -> dict[bytes, str]:
        if self.is_down:
            raise ConnectionError("the registry is away")
        assert kind == "ingest"
        return {hashlib.sha256(token.encode()).digest(): tenant for token, tenant in self.tokens.items()}

    def door_limits(self) -> dict[str, DoorLimits]:
        if self.is_down:
            raise ConnectionError("the registry is away")
        return dict(self.limits)

    def note_quota_use(
        self, tenant_id: str, quota: Quota, period: str, used: int, limit: int
    ) -> tuple[object, ...]:
        self.told.append((tenant_id, quota, period, used, limit))
        return ()


class RunningDoor:
    """The door served on 127.0.0.1; a context manager. `client` sends as the first tenant."""

    def __init__(
        self, settings: Settings, event_log: EventLog | None = None, port: int = 0, keys: Keys | None = None
    ) -> None:
        self.settings = settings
        self.keys = keys or Keys()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        app = create_app(settings, self.keys, event_log)
        config = uvicorn.Config(app, log_config=None, **server_options(settings))
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self.client = httpx.Client(base_url=self.url, headers=headers_of(TENANT, TOKEN), timeout=30)

    def __enter__(self) -> RunningDoor:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the door did not start"
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def send(self, event: Any) -> httpx.Response:
        return self.client.post("/v1/events/ingest", json=event)

    def send_batch(self, body: bytes, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            "/v1/events/batch", content=body, headers={"Content-Type": "application/json", **given}
        )


class Landing:
    """A lander over these settings' log and lake, and what it landed. A context manager."""

    def __init__(self, settings: Settings, after_step: Callable[[str], None] = lambda _: None) -> None:
        self.lake = Lake(settings)
        self.lake.ensure_tables()
        self.vault: Vault = open_vault(settings)
        self.reader = LagReader(open_log_reader(settings))
        self.lander = Lander(settings, self.lake, self.reader, self.vault, after_step=after_step)

    def __enter__(self) -> Landing:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.vault.close()
        self.lake.catalog.engine.dispose()

    def land_all(self) -> None:
        while True:
            report = self.lander.land_once()
            if not report.rows and not report.quarantined:
                return

    def rows(self, name: str = "raw.events") -> list[dict[str, Any]]:
        return self.lake.table(name).scan().to_arrow().to_pylist()


def headers_of(tenant: str, token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-Tenant-ID": tenant}


def now_text(shift: dt.timedelta = dt.timedelta()) -> str:
    return (dt.datetime.now(dt.UTC) + shift).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def founding_event(**fields: Any) -> dict[str, Any]:
    """The founding example, of now: an install without an eventType."""
    return {
        "eventId": str(uuid.uuid4()),
        "tenantId": TENANT,
        "timestamp": now_text(),
        "deviceId": "device-1",
        "campaign": "spring",
        "source": "ad_network",
        "metadata": {"build": "7"},
        **fields,
    }


def click(**fields: Any) -> dict[str, Any]:
    return founding_event(eventType="click", source="net_alpha", **fields)


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert (response.status_code, document["status"], document["code"]) == (status, status, code)
    assert document["detail"]
    return document


def logged(settings: Settings) -> list[LogRecord]:
    """What the first worker's log holds."""
    return [
        item for _, item in SegmentReader(settings.event_log_dir).read("worker-0", None, max_events=10**9)
    ]


class FullLog(AwaitedAppends):
    """An event log whose disk is full."""

    def append_then(self, _: LogRecord, done: Appended) -> None:
        full = EventLogFullError("the event log is full: send again later")
        asyncio.get_running_loop().call_soon(done, full)

    def is_writable(self) -> bool:
        return False

    async def usage(self) -> None:
        return

    async def close(self) -> None:
        return None
