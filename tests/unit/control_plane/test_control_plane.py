"""The control plane over HTTP: a real server process, a real registry, real export files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from control_plane.app import create_app
from control_plane.openapi import OPENAPI_FILE, write_openapi
from resources.errors import SettingsError
from resources.registry import Registry
from resources.settings import Settings
from tests.support.control_plane_server import Server, problem

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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
    assert "alpha exists with plan standard" in problem(contradiction, 409)["detail"]


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
    assert entries[-5]["actor"] == "user:admin"
    first = server.admin.get("/v1/tenants/beta/audit", params={"limit": 1}).json()
    second = server.admin.get("/v1/tenants/beta/audit", params={"limit": 1, "after": first["next"]}).json()
    assert [first["items"][0], second["items"][0]] == entries[:2]
    problem(server.admin.post("/v1/tenants/beta/resume"), 409)


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
        ("GET", "/v1/tenants/ghost/ledger", None),
        ("GET", "/v1/tenants/ghost/users", None),
        ("POST", "/v1/tenants/ghost/users", {"name": "ann"}),
        ("GET", "/v1/tenants/ghost/audit", None),
    ]
    for method, path, body in requests:
        problem(server.admin.request(method, path, json=body), 404)
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
    problem(server.admin.delete(path.replace("gamma", "alpha2")), 404)
    assert server.admin.delete(path).status_code == 204
    assert digest not in server.registry.active_key_digests("ingest")


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
    document = problem(response, status)
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
    problem(server.anyone.get("/nowhere"), 404)
    problem(server.admin.put("/v1/tenants", json={}), 405)


def test_health_metrics_and_trace_context_are_there(server: Server) -> None:
    for path in ("/health/live", "/health/ready"):
        assert server.anyone.get(path).json() == {"status": "ok"}
    server.tenant("sieben")
    server.admin.get("/v1/tenants/sieben")
    problem(server.admin.get("/metrics"), 401)  # the admin token is for people
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


def test_production_does_not_start_without_an_issuer(tmp_path: Path) -> None:
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
    with pytest.raises(SettingsError, match="UNMOGROWP_OIDC_ISSUER"):
        create_app(settings, Registry(settings.registry_url))
    create_app(settings.with_changes(oidc_issuer="https://id.example"), Registry(settings.registry_url))
    for url in ("http://id.example", "id.example", "https://ann:pw@id.example", "file:///etc/passwd"):
        with pytest.raises(SettingsError, match="https URL"):
            create_app(settings.with_changes(oidc_issuer=url), Registry(settings.registry_url))
