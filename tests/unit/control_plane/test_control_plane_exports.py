"""Tenants pull their exports from the control plane: each its own, whole, and nothing beside them."""

from __future__ import annotations

import hashlib

import pytest

from resources.settings import ADMIN_SECRET_FILE
from tests.support.control_plane_server import PARQUET, Server, problem


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

    problem(server.pull("/v1/exports/installs/2026-01-02", other_key, "eins"), 403)
    problem(server.pull("/v1/exports", other_key, "eins"), 403)
    problem(server.pull("/v1/exports", key, ""), 403)
    problem(server.pull("/v1/exports/installs/2026-01-03", key, "eins"), 404)
    problem(server.pull("/v1/exports/installs/2026-01-02?part=1", key, "eins"), 404)
    problem(server.pull("/v1/exports", "umg_export_wrong", "eins"), 401)
    problem(server.pull("/v1/exports", server.registry.mint_key("eins", "ingest", "t"), "eins"), 401)
    problem(server.anyone.get("/v1/exports", headers={"X-Tenant-ID": "eins"}), 401)


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
    problem(server.pull("/v1/exports/installs/2026-01-02?part=1", key, "fuenf"), 404)
    (folder / "part-0.parquet").write_bytes(b"new bytes, old manifest")
    restating = server.pull("/v1/exports/installs/2026-01-02", key, "fuenf")
    problem(restating, 503)
    assert restating.headers["retry-after"]
    (folder / "manifest.json").unlink()
    problem(server.pull("/v1/exports/installs/2026-01-02", key, "fuenf"), 404)
    escaping = server.export("fuenf", "installs", "2026-01-05", b"x", name="../../../../secrets/admin.token")
    assert escaping.exists()
    refused = server.pull("/v1/exports/installs/2026-01-05", key, "fuenf")
    problem(refused, 500)
    assert server.settings.first_run_secret(ADMIN_SECRET_FILE) not in refused.text


def test_a_suspended_tenant_and_a_revoked_key_pull_nothing(server: Server) -> None:
    key = server.tenant("sechs")
    server.export("sechs", "installs", "2026-01-02", PARQUET)
    assert server.pull("/v1/exports", key, "sechs").status_code == 200
    server.admin.post("/v1/tenants/sechs/suspend")
    problem(server.pull("/v1/exports", key, "sechs"), 401)
    server.admin.post("/v1/tenants/sechs/resume")
    assert server.pull("/v1/exports", key, "sechs").status_code == 200
