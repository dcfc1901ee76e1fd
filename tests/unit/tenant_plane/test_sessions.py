"""Signing in to a real plane: passwords, tokens, cookies, and the brake on guessing."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import jwt
import pytest

from resources.failure_brake import FailureBrake, TooManyFailuresError
from tests.unit.tenant_plane.plane_process import PASSWORD, PlaneProcess, running

SESSION_KEY = "session-key-of-this-test-32-bytes"


def sign_in(client: httpx.Client, password: str = PASSWORD, **more: str) -> httpx.Response:
    return client.post("/api/v1/auth", json={"user": "admin", "password": password, **more})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    plain: dict[str, object] = {
        "iss": "unmogrowp-tenant-plane",
        "aud": "t123",
        "sub": "admin",
        "role": "tenant_admin",
        "sid": "0" * 32,
        "iat": now,
        "exp": now + 60,
        "auth_time": now,
    }
    return plain | changes


def test_a_cookie_session_lasts_until_sign_out(plane: PlaneProcess) -> None:
    with plane.client() as client:
        answer = sign_in(client)
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "umg_session_t123=" in cookie
        assert "token" not in answer.json()
        stolen = dict(client.cookies)
        assert client.get("/api/v1/auth").json()["user"] == "admin"
        assert client.delete("/api/v1/auth").status_code == 204
        assert client.get("/api/v1/auth").status_code == 401
    with plane.client() as thief:
        thief.cookies.update(stolen)
        assert thief.get("/api/v1/auth").status_code == 401


def test_a_bearer_session_can_be_refreshed(plane: PlaneProcess) -> None:
    with plane.client() as client:
        token = sign_in(client, mode="bearer").json()["token"]
        assert "set-cookie" not in client.get("/api/v1/auth", headers=bearer(token)).headers
        renewed = client.post("/api/v1/auth/refresh", headers=bearer(token)).json()["token"]
        assert client.get("/api/v1/auth", headers=bearer(renewed)).status_code == 200


def test_wrong_user_and_wrong_password_look_the_same(plane: PlaneProcess) -> None:
    with plane.client() as client:
        wrong = sign_in(client, "nope")
        nobody = client.post("/api/v1/auth", json={"user": "nobody", "password": "nope"})
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json() == nobody.json()


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode(claims(), "", algorithm="none"),
        jwt.encode(claims(), "another-key-of-at-least-32-bytes", algorithm="HS256"),
        jwt.encode(claims(), SESSION_KEY * 2, algorithm="HS512"),
        jwt.encode(claims(aud="t124"), SESSION_KEY, algorithm="HS256"),
        jwt.encode(claims(exp=1), SESSION_KEY, algorithm="HS256"),
        jwt.encode(claims(), SESSION_KEY, algorithm="HS256"),  # well signed, for a session that never was
        "not.a.token",
    ],
)
def test_a_forged_token_opens_nothing(plane: PlaneProcess, token: str) -> None:
    with plane.client(**bearer(token)) as client:
        for path in ("/api/v1/auth", "/api/v1/marts", "/api/v1/ml/scores", "/api/v1/dashboard/stats"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"


def test_another_origins_page_cannot_use_the_cookie(plane: PlaneProcess) -> None:
    with plane.client() as client:
        assert sign_in(client).status_code == 200
        foreign = {"Origin": "http://client2.localhost:8081"}
        assert client.delete("/api/v1/auth", headers=foreign).status_code == 403
        assert client.post("/api/v1/events/ingest", json={}, headers=foreign).status_code == 403
        assert client.delete("/api/v1/auth", headers={"Origin": plane.url}).status_code == 204


def test_six_wrong_guesses_are_braked_and_a_session_ends_by_itself(tmp_path: Path) -> None:
    with running(PlaneProcess(tmp_path, extra={"SESSION_TTL_S": "1"})) as plane, plane.client() as client:
        token = sign_in(client, mode="bearer").json()["token"]
        statuses = [sign_in(client, "guess").status_code for _ in range(6)]
        assert statuses == [401] * 5 + [429]
        braked = sign_in(client)
        assert braked.status_code == 429 and int(braked.headers["retry-after"]) > 200
        time.sleep(1.1)
        assert client.get("/api/v1/auth", headers=bearer(token)).status_code == 401
    assert PASSWORD not in (tmp_path / "plane.log").read_text()


def test_the_brake_lets_go_after_its_window_and_counts_each_client_alone() -> None:
    clock = [0.0]
    brake = FailureBrake(attempts=2, window_s=10, clock=lambda: clock[0])
    brake.count(("admin", "a"))
    brake.count(("admin", "a"))
    with pytest.raises(TooManyFailuresError):
        brake.count(("admin", "a"))
    brake.count(("admin", "b"))
    clock[0] = 10.0
    brake.count(("admin", "a"))


def test_a_plane_without_a_real_password_hash_does_not_start(tmp_path: Path) -> None:
    plane = PlaneProcess(tmp_path, extra={"ADMIN_PASSWORD_HASH": "admin"})
    with pytest.raises(AssertionError, match="ADMIN_PASSWORD_HASH must be an argon2 hash"):
        plane.start()
