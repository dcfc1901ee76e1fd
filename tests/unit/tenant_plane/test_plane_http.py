"""What every service promises: health, config, metrics, OpenAPI, headers, and the tenant on every path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tenant_plane.openapi import OPENAPI_FILE, openapi_json
from tests.unit.tenant_plane.plane_process import INGEST_TOKEN, ROOT, SERVICE_TOKEN, SIGNING_KEY, PlaneProcess


def test_health_names_the_tenant_and_refuses_anothers(plane: PlaneProcess) -> None:
    with plane.client() as client:
        for path in ("/health", "/health/live", "/health/ready"):
            own = client.get(path, headers={"X-Tenant-ID": "t123"})
            assert own.json() == {"status": "ok", "tenantId": "t123"}
            other = client.get(path, headers={"X-Tenant-ID": "t124"})
            assert (other.status_code, other.headers["content-type"]) == (403, "application/problem+json")


def test_every_path_of_the_openapi_refuses_another_tenants_id(plane: PlaneProcess) -> None:
    with plane.signed_in() as client:
        document = client.get("/openapi.json").json()
        for path, methods in document["paths"].items():
            url = (
                path.replace("{mart}", "installs").replace("{date}", "2026-03-01").replace("{user}", "admin")
            )
            for method in methods:
                answer = client.request(method, url, headers={"X-Tenant-ID": "t124"})
                assert answer.status_code == 403, (method, path)


def test_every_data_path_needs_a_session(plane: PlaneProcess) -> None:
    with plane.client() as client:
        document = client.get("/openapi.json").json()
        paths = [path for path, methods in document["paths"].items() if "get" in methods]
        data = [path for path in paths if path.startswith("/api/")]
        assert len(data) > 12
        for path in data:
            assert client.get(path.replace("{mart}", "installs")).status_code == 401, path


def test_config_holds_no_secret(plane: PlaneProcess) -> None:
    with plane.client() as client:
        answer = client.get("/config.json")
    assert set(answer.json()) == {"TENANT_ID", "VERSION", "CURRENCY"}
    assert not any(secret in answer.text for secret in (INGEST_TOKEN, SERVICE_TOKEN, SIGNING_KEY))


def test_answers_carry_strict_headers(plane: PlaneProcess) -> None:
    with plane.client() as client:
        for path in ("/", "/config.json", "/api/v1/nothing", "/health"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"


def test_unknown_api_paths_are_problems_and_files_outside_the_page_are_not_served(
    plane: PlaneProcess,
) -> None:
    with plane.client() as client:
        for path in ("/api/v1/nothing", "/api/", "/../app.py", "/..%2f..%2fapp.py", "/assets/none.js"):
            answer = client.get(path)
            assert answer.status_code == 404, path
            assert answer.json()["status"] == 404
        assert client.post("/").status_code in {404, 405}


def test_metrics_carry_the_tenant(plane: PlaneProcess) -> None:
    with plane.client(Authorization=f"Bearer {SERVICE_TOKEN}") as client:
        client.get("/health")
        lines = [line for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
    assert lines and all('tenant_id="t123"' in line for line in lines)
    with plane.client() as nobody:
        assert nobody.get("/metrics").status_code == 401  # they tell how much business the tenant does


def test_the_released_openapi_is_the_applications(tmp_path: Path) -> None:
    home = tmp_path / "never made"
    assert OPENAPI_FILE.read_text() == openapi_json(home), "run python -m tenant_plane.openapi"
    assert not home.exists()


def test_migrate_is_idempotent_and_safe_beside_another(tmp_path: Path) -> None:
    plane = PlaneProcess(tmp_path)
    command = [sys.executable, "-m", "tenant_plane", "migrate"]
    both = [
        subprocess.Popen(command, cwd=ROOT, env=plane.environment, stderr=subprocess.PIPE) for _ in range(2)
    ]
    for process in both:
        _out, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    plane.run("migrate")


def test_a_missing_setting_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    environment = PlaneProcess(tmp_path).environment
    del environment["UNMOGROWP_TENANT_SESSION_KEY"]
    done = subprocess.run(
        [sys.executable, "-m", "tenant_plane", "migrate"],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "the tenant plane does not start: set UNMOGROWP_TENANT_SESSION_KEY rightly"
    ]
