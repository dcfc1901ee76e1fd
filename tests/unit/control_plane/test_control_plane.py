"""The control plane over HTTP: a real server process, a real registry, real export files."""

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

from control_plane.app import ADMIN_TOKEN_FILE, create_app
from control_plane.openapi import OPENAPI_FILE, write_openapi
from resources.errors import SettingsError
from resources.registry import Registry, TenantState
from resources.settings import APPLICATION_ROOT, Settings, child_environment

PARQUET = b"PAR1 the bytes of one export PAR1"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True)
class Server:
    """A running control plane, its registry, and clients with and without the admin token."""

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
    token = settings.first_run_secret(ADMIN_TOKEN_FILE)
    with (
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as admin,
        httpx.Client(base_url=url) as anyone,
    ):
        yield Server(settings, registry, admin, anyone)
    registry.close()
    process.terminate()
    assert process.wait(timeout=20) in {
        0,
        -signal.SIGTERM,
    }  # uvicorn shuts down, then raises the signal again


def _problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


def test_a_tenant_is_requested_shown_listed_and_requested_again_without_effect(server: Server) -> None:
    body = {"tenantId": "alpha", "plan": "standard", "currency": "EUR"}
    response = server.admin.post("/v1/tenants", json=body)
    assert response.status_code == 202
    assert response.headers["location"] == "/v1/tenants/alpha"
    tenant = response.json()
    assert (tenant["tenantId"], tenant["state"], tenant["revision"]) == ("alpha", "requested", 1)
    assert server.admin.post("/v1/tenants", json=body).json() == tenant
    assert server.admin.get("/v1/tenants/alpha").json() == tenant
    assert tenant in server.admin.get("/v1/tenants", params={"state": "requested"}).json()["items"]
    assert tenant not in server.admin.get("/v1/tenants", params={"state": "active"}).json()["items"]
    contradiction = server.admin.post("/v1/tenants", json={"tenantId": "alpha", "plan": "starter"})
    assert "alpha exists with plan standard" in _problem(contradiction, 409)["detail"]


def test_tenants_come_in_pages(server: Server) -> None:
    for tenant_id in ("page_a", "page_b", "page_c"):
        server.registry.request(tenant_id, "starter", "test")
    seen: list[str] = []
    after: str | None = "page"
    while after is not None:
        page = server.admin.get("/v1/tenants", params={"after": after, "limit": 2}).json()
        seen += [tenant["tenantId"] for tenant in page["items"]]
        after = page["next"]
    assert [tenant_id for tenant_id in seen if tenant_id.startswith("page_")] == [
        "page_a",
        "page_b",
        "page_c",
    ]
    assert len(seen) == len(set(seen))


def test_a_tenant_is_suspended_resumed_upgraded_and_deleted_and_each_is_audited(server: Server) -> None:
    server.tenant("beta")
    suspended = server.admin.post("/v1/tenants/beta/suspend", json={"reason": "unpaid"}).json()
    assert (suspended["state"], suspended["reason"]) == ("suspended", "unpaid")
    assert server.admin.post("/v1/tenants/beta/resume").json()["state"] == "active"
    assert (
        server.admin.post("/v1/tenants/beta/upgrade", json={"plan": "enterprise"}).json()["plan"]
        == "enterprise"
    )
    deleted = server.admin.delete("/v1/tenants/beta")
    assert (deleted.status_code, deleted.json()["state"]) == (202, "deleting")
    entries = server.admin.get("/v1/tenants/beta/audit", params={"limit": 100}).json()["items"]
    actions = [entry["action"] for entry in entries]
    assert actions[-5:] == [
        "tenant.suspended",
        "tenant.active",
        "tenant.plan_changed",
        "tenant.suspended",
        "tenant.deleting",
    ]
    assert entries[-5]["reason"] == "unpaid"
    assert entries[-5]["actor"] == "admin-token"
    first = server.admin.get("/v1/tenants/beta/audit", params={"limit": 1}).json()
    second = server.admin.get("/v1/tenants/beta/audit", params={"limit": 1, "after": first["next"]}).json()
    assert [first["items"][0], second["items"][0]] == entries[:2]
    _problem(server.admin.post("/v1/tenants/beta/resume"), 409)


def test_unknown_tenants_are_404_and_nothing_is_written(server: Server) -> None:
    before = len(server.registry.audit(limit=1000))
    requests = [
        ("GET", "/v1/tenants/ghost", None),
        ("DELETE", "/v1/tenants/ghost", None),
        ("POST", "/v1/tenants/ghost/suspend", None),
        ("POST", "/v1/tenants/ghost/resume", {"reason": "x"}),
        ("POST", "/v1/tenants/ghost/upgrade", {"plan": "starter"}),
        ("POST", "/v1/tenants/ghost/keys", {"kind": "ingest"}),
        ("GET", "/v1/tenants/ghost/keys", None),
        ("DELETE", "/v1/tenants/ghost/keys/0123456789abcdef", None),
        ("GET", "/v1/tenants/ghost/audit", None),
    ]
    for method, path, body in requests:
        _problem(server.admin.request(method, path, json=body), 404)
    assert len(server.registry.audit(limit=1000)) == before


def test_a_key_is_minted_once_listed_without_its_secret_and_revoked(server: Server) -> None:
    server.tenant("gamma")
    response = server.admin.post("/v1/tenants/gamma/keys", json={"kind": "ingest"})
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    minted = response.json()
    digest = hashlib.sha256(minted["key"].encode()).digest()
    assert server.registry.active_key_digests("ingest")[digest] == "gamma"
    listed = server.admin.get("/v1/tenants/gamma/keys")
    assert minted["keyId"] in [key["keyId"] for key in listed.json()["items"]]
    assert minted["key"] not in listed.text
    path = f"/v1/tenants/gamma/keys/{minted['keyId']}"
    _problem(server.admin.delete(path.replace("gamma", "alpha2")), 404)
    assert server.admin.delete(path).status_code == 204
    assert digest not in server.registry.active_key_digests("ingest")


def test_every_route_for_administrators_refuses_everybody_else(server: Server) -> None:
    export_key = server.tenant("delta")
    document = server.anyone.get("/openapi.json").json()
    closed = [
        (method.upper(), path.replace("{tenant_id}", "delta").replace("{key_id}", "0123456789abcdef"))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1/tenants") and operation["security"] == [{"adminToken": []}]
    ]
    assert len(closed) >= 11
    for method, path in closed:
        for authorization in (None, "Bearer wrong", f"Bearer {export_key}", "Basic YWRtaW46YWRtaW4="):
            headers = {} if authorization is None else {"Authorization": authorization}
            response = server.anyone.request(method, path, headers=headers)
            assert response.headers["www-authenticate"] == "Bearer"
            _problem(response, 401)


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b'{"tenantId": "T1", "plan": "standard"}', 422, "/tenantId"),
        (b'{"tenantId": "t1", "plan": "gold"}', 422, "/plan"),
        (b'{"tenantId": "t1", "plan": "standard", "currency": "eur"}', 422, "/currency"),
        (b'{"tenantId": "t1", "plan": "standard", "a/b~": 1}', 422, "/a~1b~0"),
        (b'{"plan": "standard"}', 422, "/tenantId"),
        (b"[]", 422, ""),
        (b"{", 400, None),
        (b"\xff\xfe", 400, None),
        (b'{"tenantId": "t1", "plan": "' + b"x" * 70_000 + b'"}', 413, None),
    ],
)
def test_bad_bodies_get_a_problem_that_points_at_the_field(
    server: Server, body: bytes, status: int, pointer: str | None
) -> None:
    response = server.admin.post("/v1/tenants", content=body, headers={"Content-Type": "application/json"})
    document = _problem(response, status)
    if pointer is not None:
        assert pointer in [error["pointer"] for error in document["errors"]]


def test_problems_never_repeat_what_was_sent(server: Server) -> None:
    response = server.admin.post("/v1/tenants", json={"tenantId": "SECRET-VALUE", "plan": "SECRET-VALUE"})
    assert "SECRET-VALUE" not in response.text


@pytest.mark.parametrize(
    "path", ["/v1/tenants/..%2f..%2fetc", "/v1/tenants/a%00b", "/v1/tenants/%27%20OR%201=1--"]
)
def test_strange_ids_are_refused(server: Server, path: str) -> None:
    assert server.admin.get(path).status_code in {404, 422}


def test_unknown_paths_and_methods_are_problems_too(server: Server) -> None:
    _problem(server.anyone.get("/nowhere"), 404)
    _problem(server.admin.put("/v1/tenants", json={}), 405)


def test_a_tenant_pulls_its_own_exports_and_only_those(server: Server) -> None:
    key, other_key = server.tenant("eins"), server.tenant("zwei")
    server.export("eins", "installs", "2026-01-02", PARQUET)
    server.export("zwei", "installs", "2026-01-03", b"of zwei")
    response = server.pull("/v1/exports/installs/2026-01-02", key, "eins")
    assert (response.status_code, response.content) == (200, PARQUET)
    assert response.headers["etag"] == f'"{hashlib.sha256(PARQUET).hexdigest()}"'
    assert response.headers["x-export-parts"] == "1"
    listed = server.pull("/v1/exports", key, "eins").json()
    assert [(item["mart"], item["date"]) for item in listed["items"]] == [("installs", "2026-01-02")]
    assert listed["items"][0]["files"][0]["sizeBytes"] == len(PARQUET)

    _problem(server.pull("/v1/exports/installs/2026-01-02", other_key, "eins"), 403)
    _problem(server.pull("/v1/exports", other_key, "eins"), 403)
    _problem(server.pull("/v1/exports", key, ""), 403)
    _problem(server.pull("/v1/exports/installs/2026-01-03", key, "eins"), 404)
    _problem(server.pull("/v1/exports/installs/2026-01-02?part=1", key, "eins"), 404)
    _problem(server.pull("/v1/exports", "umg_export_wrong", "eins"), 401)
    _problem(server.pull("/v1/exports", server.registry.mint_key("eins", "ingest", "t"), "eins"), 401)
    _problem(server.anyone.get("/v1/exports", headers={"X-Tenant-ID": "eins"}), 401)


def test_exports_come_in_pages(server: Server) -> None:
    key = server.tenant("viele")
    for day in range(1, 6):
        server.export("viele", "kpi_daily", f"2026-01-0{day}", PARQUET)
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = server.pull(f"/v1/exports?limit=2&after={after}", key, "viele").json()
        seen += [item["date"] for item in page["items"]]
        after = page["next"]
    assert seen == [f"2026-01-0{day}" for day in range(1, 6)]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/exports/..%2f..%2fsecrets/2026-01-02",
        "/v1/exports/../../secrets/admin.token",
        "/v1/exports/installs/..%2f..",
        "/v1/exports/installs/2026-13-45",
        "/v1/exports/%2fetc/2026-01-02",
        "/v1/exports/installs%00/2026-01-02",
        "/v1/exports/INSTALLS/2026-01-02",
    ],
)
def test_no_path_leaves_the_tenants_own_shelf(server: Server, path: str) -> None:
    if "drei" not in [tenant.tenant_id for tenant in server.registry.list()]:
        server.tenant("drei")
    key = server.registry.mint_key("drei", "export", "test")
    response = server.pull(path, key, "drei")
    assert response.status_code in {401, 404, 422}, response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_files_that_no_manifest_lists_are_not_handed_out(server: Server) -> None:
    key = server.tenant("fuenf")
    folder = server.export("fuenf", "installs", "2026-01-02", PARQUET)
    (folder / "part-1.parquet").write_bytes(b"a draft")
    _problem(server.pull("/v1/exports/installs/2026-01-02?part=1", key, "fuenf"), 404)
    (folder / "part-0.parquet").write_bytes(b"new bytes, old manifest")
    restating = server.pull("/v1/exports/installs/2026-01-02", key, "fuenf")
    _problem(restating, 503)
    assert restating.headers["retry-after"]
    (folder / "manifest.json").unlink()
    _problem(server.pull("/v1/exports/installs/2026-01-02", key, "fuenf"), 404)
    escaping = server.export("fuenf", "installs", "2026-01-05", b"x", name="../../../../secrets/admin.token")
    assert escaping.exists()
    refused = server.pull("/v1/exports/installs/2026-01-05", key, "fuenf")
    _problem(refused, 500)
    assert server.settings.first_run_secret(ADMIN_TOKEN_FILE) not in refused.text


def test_a_suspended_tenant_and_a_revoked_key_pull_nothing(server: Server) -> None:
    key = server.tenant("sechs")
    server.export("sechs", "installs", "2026-01-02", PARQUET)
    assert server.pull("/v1/exports", key, "sechs").status_code == 200
    server.admin.post("/v1/tenants/sechs/suspend")
    _problem(server.pull("/v1/exports", key, "sechs"), 401)
    server.admin.post("/v1/tenants/sechs/resume")
    assert server.pull("/v1/exports", key, "sechs").status_code == 200


def test_health_metrics_and_trace_context_are_there(server: Server) -> None:
    for path in ("/health/live", "/health/ready"):
        assert server.anyone.get(path).json() == {"status": "ok"}
    server.tenant("sieben")
    server.admin.get("/v1/tenants/sieben")
    _problem(server.admin.get("/metrics"), 401)  # the admin token is for people
    scraper = {"Authorization": f"Bearer {server.settings.scrape_token()}"}
    text = server.anyone.get("/metrics", headers=scraper).text
    assert 'unmogrowp_http_responses_total{method="GET",route="/v1/tenants/{tenant_id}",status="200"}' in text
    assert 'unmogrowp_tenants{state="deleted"} 0.0' in text
    assert "sieben" not in text
    assert server.anyone.get("/health/live", headers={"traceparent": TRACE}).headers["traceparent"] == TRACE
    assert "traceparent" not in server.anyone.get("/health/live", headers={"traceparent": "junk"}).headers


def test_the_committed_openapi_is_the_apps_own(server: Server, tmp_path: Path) -> None:
    write_openapi(create_app(server.settings, server.registry), tmp_path / "now.json")
    assert OPENAPI_FILE.read_text() == (tmp_path / "now.json").read_text()
    assert server.anyone.get("/openapi.json").json() == json.loads(OPENAPI_FILE.read_text())


def test_production_does_not_start_on_one_shared_token(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        environment="production",
        database_url=f"sqlite:///{tmp_path / 'r.db'}",
        catalog_uri="sqlite://",
        warehouse="s3://lake",
        clickhouse_url="http://127.0.0.1:1",
        keyring='{"k1": "x"}',
        metrics_token="x",
    )
    with pytest.raises(SettingsError, match="OIDC"):
        create_app(settings, Registry(settings.registry_url))
