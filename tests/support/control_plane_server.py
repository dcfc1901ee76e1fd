"""The control plane as a process on a free port, with its registry and clients."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from resources.registry import Registry, TenantState
from resources.settings import APPLICATION_ROOT, Settings, child_environment
from resources.sign_in import SignIn

PARQUET = b"PAR1 the bytes of one export PAR1"


@dataclass(frozen=True)
class Server:
    """A running control plane, its registry, and clients with and without an administrator's access token."""

    settings: Settings
    registry: Registry
    admin: httpx.Client
    anyone: httpx.Client

    def tenant(self, tenant_id: str) -> str:
        """Make an active tenant; its export key."""
        self.registry.request(tenant_id, "standard", "test")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            self.registry.transition(tenant_id, state, actor="test")
        return self.registry.mint_key(tenant_id, "export", "test")

    def export(
        self, tenant_id: str, mart: str, date: str, content: bytes, name: str = "part-0.parquet"
    ) -> Path:
        """Put one export on the shelf, manifest last."""
        folder = self.settings.exports_dir / tenant_id / mart / f"date={date}"
        folder.mkdir(parents=True)
        (folder / "part-0.parquet").write_bytes(content)
        file = {
            "name": name,
            "rows": 1,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        (folder / "manifest.json").write_text(json.dumps({"restatement": 0, "files": [file]}))
        return folder

    def pull(self, path: str, key: str, tenant_id: str) -> httpx.Response:
        """A tenant's request."""
        headers = {"Authorization": f"Bearer {key}", "X-Tenant-ID": tenant_id}
        return self.anyone.get(path, headers=headers)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = cast("int", probe.getsockname()[1])
    settings = Settings(home=tmp_path_factory.mktemp("home"), control_plane_port=port)
    environment = child_environment(UNMOGROWP_HOME=str(settings.home), UNMOGROWP_CONTROL_PLANE_PORT=str(port))
    process = subprocess.Popen([sys.executable, "-m", "control_plane"], cwd=APPLICATION_ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    deadline_s = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/health/ready").raise_for_status()
            break
        except httpx.HTTPError:
            assert process.poll() is None, "the control plane ended"
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
    registry = Registry(settings.registry_url)
    with (
        httpx.Client(base_url=url, headers=admin_headers(settings, url)) as admin,
        httpx.Client(base_url=url) as anyone,
    ):
        yield Server(settings, registry, admin, anyone)
    registry.close()
    process.terminate()
    assert process.wait(timeout=20) in {
        0,
        -signal.SIGTERM,
    }  # uvicorn shuts down, then raises the signal again


def admin_headers(settings: Settings, url: str) -> dict[str, str]:
    """How this home's first administrator authenticates at a served control plane."""
    return {"Authorization": f"Bearer {SignIn(settings, url).access_token()}"}


def access_token_of(registry: Registry, url: str, user: str) -> str:
    """A token of a user of the registry, from the local issuer at a served control plane."""
    _, refresh_token = registry.start_session(user)
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    answer = httpx.post(f"{url}/oauth/token", data=form, trust_env=False, timeout=60)
    return str(answer.raise_for_status().json()["access_token"])


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document
