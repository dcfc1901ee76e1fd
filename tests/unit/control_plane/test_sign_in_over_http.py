"""The embedded issuer over HTTP: signing in, refreshing, signing out, users and roles, revocation."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest

from control_plane.app import create_app
from resources.registry import AuditFilter, Registry
from resources.settings import ADMIN_SECRET_FILE, Settings
from tests.support.control_plane_server import admin_headers, problem
from tests.support.served_app import served

POLL_S = 0.05


@dataclass
class Plane:
    """A served control plane of an embedded home."""

    settings: Settings
    registry: Registry
    client: httpx.Client
    admin: dict[str, str]

    def sign_in(self, user: str, password: str) -> httpx.Response:
        """The token endpoint's answer to a password."""
        form = {"grant_type": "password", "username": user, "password": password}
        return self.client.post("/oauth/token", data=form)

    def refresh(self, token: str) -> httpx.Response:
        """The token endpoint's answer to a refresh token."""
        return self.client.post("/oauth/token", data={"grant_type": "refresh_token", "refresh_token": token})

    def as_new_user(
        self, name: str, *, tenant: str | None = None, roles: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The tokens of a new user."""
        path = "/v1/users" if tenant is None else f"/v1/tenants/{tenant}/users"
        made = self.client.post(path, json={"name": name, "roles": roles}, headers=self.admin)
        assert made.status_code == 201, made.text
        tokens: dict[str, Any] = self.sign_in(name, made.json()["password"]).json()
        return tokens

    def me(self, tokens: dict[str, Any]) -> httpx.Response:
        """Who the access token speaks for."""
        return self.client.get("/v1/me", headers=bearer(tokens))

    def actions(self, prefix: str) -> list[str]:
        """Audited actions that begin so."""
        found = self.registry.audit(limit=1000, wanted=AuditFilter(action=prefix))
        return [entry.action for entry in found]


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), revocation_poll_s=POLL_S)
    registry = Registry.from_settings(settings)
    registry.migrate()
    for tenant in ("t1", "t2"):
        registry.request(tenant, "starter", "test")
    with served(create_app(settings, registry)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Plane(settings, registry, client, admin_headers(settings, url))
    assert registry.verify_audit().is_whole
    registry.close()


def test_the_first_administrator_signs_in_with_the_secret_of_the_first_run(plane: Plane) -> None:
    secret_file = plane.settings.secrets_dir / ADMIN_SECRET_FILE
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    answer = plane.sign_in("admin", secret_file.read_text())
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"] <= 900) == ("Bearer", True)
    assert plane.me(tokens).json()["platformRoles"] == ["platform_admin"]
    for password in ("", "admin", "password", secret_file.read_text()[:-1]):
        problem(plane.sign_in("admin", password), 401)


def test_discovery_and_keys_verify_a_token_by_any_library(plane: Plane) -> None:
    metadata = plane.client.get("/.well-known/openid-configuration").json()
    jwks = plane.client.get("/.well-known/jwks.json").json()
    assert all("d" not in key for key in jwks["keys"])
    token = plane.admin["Authorization"].removeprefix("Bearer ")
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="unmogrowp", issuer=metadata["issuer"])
    assert claims["exp"] - claims["iat"] <= 900
    assert stat.S_IMODE((plane.settings.secrets_dir / "issuer_keys.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("user", ["nobody", "ADMIN", "admin'--", "", "a" * 128])
def test_a_user_who_is_not_there_is_refused_as_a_wrong_password_is(plane: Plane, user: str) -> None:
    assert problem(plane.sign_in(user, "x"), 401)["detail"] == "user or password is wrong"


@pytest.mark.parametrize(
    "body", [b"", b"grant_type=implicit", b"{}", b"\xff", b"a=1&" * 50, b"username=admin"]
)
def test_a_form_that_is_none_is_400(plane: Plane, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    problem(plane.client.post("/oauth/token", content=body, headers=headers), 400)


def test_guessing_is_braked_for_that_user_alone(plane: Plane) -> None:
    plane.as_new_user("guessed")
    answers = [plane.sign_in("guessed", f"guess {number}") for number in range(8)]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert int(answers[-1].headers["retry-after"]) > 0
    assert plane.as_new_user("not-guessed")["access_token"]


def test_a_refresh_token_is_good_once_and_using_an_old_one_ends_the_sign_in(plane: Plane) -> None:
    first = plane.as_new_user("rotating")
    second = plane.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert plane.me(second).status_code == 200
    assert "used twice" in problem(plane.refresh(first["refresh_token"]), 401)["detail"]
    problem(plane.refresh(second["refresh_token"]), 401)
    time.sleep(2 * POLL_S)
    for tokens in (first, second):
        problem(plane.me(tokens), 401)
    assert "session.reuse_detected" in plane.actions("session")
    for token in ("", "x", "0" * 32 + ".x", second["refresh_token"] + "x"):
        problem(plane.refresh(token), 401)


def test_signing_out_ends_access_and_refresh(plane: Plane) -> None:
    tokens = plane.as_new_user("leaving")
    assert plane.client.delete("/v1/me/session", headers=bearer(tokens)).status_code == 204
    problem(plane.refresh(tokens["refresh_token"]), 401)
    time.sleep(2 * POLL_S)
    problem(plane.me(tokens), 401)


def test_a_revocation_holds_in_another_process_s_eyes_too(plane: Plane) -> None:
    tokens = plane.as_new_user("elsewhere")
    other_registry = Registry.from_settings(plane.settings)
    with (
        served(create_app(plane.settings, other_registry)) as url,
        httpx.Client(base_url=url, timeout=60) as other,
    ):
        assert other.get("/v1/me", headers=bearer(tokens)).status_code == 200
        plane.client.post("/v1/users/elsewhere/disable", headers=plane.admin)
        deadline_s = time.monotonic() + 10  # what is promised
        while other.get("/v1/me", headers=bearer(tokens)).status_code != 401:
            assert time.monotonic() < deadline_s
    other_registry.close()


def test_a_disabled_user_is_out_and_comes_back_when_enabled(plane: Plane) -> None:
    made = plane.client.post("/v1/users", json={"name": "resting"}, headers=plane.admin).json()
    tokens = plane.sign_in("resting", made["password"]).json()
    answer = plane.client.post("/v1/users/resting/disable", json={"reason": "leave"}, headers=plane.admin)
    assert answer.json()["disabledAt"] is not None
    problem(plane.sign_in("resting", made["password"]), 401)
    problem(plane.refresh(tokens["refresh_token"]), 401)
    time.sleep(2 * POLL_S)
    problem(plane.me(tokens), 401)
    plane.client.post("/v1/users/resting/enable", headers=plane.admin)
    assert plane.me(plane.sign_in("resting", made["password"]).json()).status_code == 200
    reset = plane.client.post("/v1/users/resting/password", headers=plane.admin)
    assert reset.headers["cache-control"] == "no-store"
    problem(plane.sign_in("resting", made["password"]), 401)
    assert plane.sign_in("resting", reset.json()["password"]).status_code == 200
    said = repr(plane.registry.audit(limit=1000))
    assert made["password"] not in said
    assert reset.json()["password"] not in said


def test_a_role_that_is_given_or_taken_reaches_the_next_token_and_ends_the_old_one(plane: Plane) -> None:
    tokens = plane.as_new_user("growing")
    problem(plane.client.get("/v1/tenants", headers=bearer(tokens)), 403)
    given = plane.client.post("/v1/users/growing/roles", json={"role": "support"}, headers=plane.admin)
    assert given.json()["roles"] == ["support"]
    time.sleep(2 * POLL_S)
    problem(plane.me(tokens), 401)
    tokens = plane.refresh(tokens["refresh_token"]).json()
    assert plane.client.get("/v1/tenants", headers=bearer(tokens)).status_code == 200
    plane.client.delete("/v1/users/growing/roles/support", headers=plane.admin)
    time.sleep(2 * POLL_S)
    problem(plane.client.get("/v1/tenants", headers=bearer(tokens)), 401)
    entry = plane.registry.audit(limit=1000, wanted=AuditFilter(action="user.role_taken"))[-1]
    assert (entry.actor, entry.before["roles"], entry.after["roles"]) == ("user:admin", ["support"], [])


def test_a_tenant_admin_manages_its_own_tenant_s_users_and_nobody_else(plane: Plane) -> None:
    boss = bearer(plane.as_new_user("boss@t1", tenant="t1", roles=("tenant_admin",)))
    plane.as_new_user("ann@t2", tenant="t2", roles=("tenant_analyst",))
    plane.as_new_user("ops")
    made = plane.client.post("/v1/tenants/t1/users", json={"name": "bob@t1"}, headers=boss)
    assert (made.status_code, made.json()["user"]["tenantId"]) == (201, "t1")
    given = plane.client.post("/v1/tenants/t1/users/bob@t1/roles", json={"role": "tenant_app"}, headers=boss)
    assert given.json()["roles"] == ["tenant_app"]
    names = {user["name"] for user in plane.client.get("/v1/tenants/t1/users", headers=boss).json()["items"]}
    assert names == {"boss@t1", "bob@t1"}
    for stranger in ("ann@t2", "ops", "admin", "nobody"):
        for action, body in (
            ("disable", None),
            ("enable", None),
            ("password", None),
            ("roles", {"role": "tenant_app"}),
        ):
            path = f"/v1/tenants/t1/users/{stranger}/{action}"
            detail = problem(plane.client.post(path, json=body, headers=boss), 404)["detail"]
            assert detail == "there is no such user of tenant t1; list the users to see who there is"
        problem(plane.client.delete(f"/v1/tenants/t1/users/{stranger}/roles/tenant_app", headers=boss), 404)
    for path in ("/v1/tenants/t2/users", "/v1/users", "/v1/tenants/t2", "/v1/audit", "/v1/tenants"):
        problem(plane.client.get(path, headers=boss), 403)
    for role in ("platform_admin", "support", "owner"):
        problem(
            plane.client.post("/v1/tenants/t1/users/bob@t1/roles", json={"role": role}, headers=boss), 422
        )
    taken = plane.client.post("/v1/tenants/t1/users", json={"name": "ann@t2"}, headers=boss)
    assert "t2" not in problem(taken, 409)["detail"]


def test_the_last_platform_admin_stays(plane: Plane) -> None:
    problem(plane.client.post("/v1/users/admin/disable", headers=plane.admin), 409)
    problem(plane.client.delete("/v1/users/admin/roles/platform_admin", headers=plane.admin), 409)
    assert plane.client.get("/v1/users/admin", headers=plane.admin).json()["roles"] == ["platform_admin"]


@pytest.mark.parametrize("name", ["", "Ann", "../etc", "a b", "ann\n", "a" * 129])
def test_a_name_that_is_none_is_refused(plane: Plane, name: str) -> None:
    problem(plane.client.post("/v1/users", json={"name": name}, headers=plane.admin), 422)


def test_users_come_in_pages(plane: Plane) -> None:
    for number in range(5):
        plane.registry.create_user(f"page{number}", None, (), "test")
    seen: list[str] = []
    after: str | None = "page"
    while after is not None:
        answer = plane.client.get(
            "/v1/users", params={"after": after, "limit": 2}, headers=plane.admin
        ).json()
        seen += [user["name"] for user in answer["items"]]
        after = answer["next"]
    assert [name for name in seen if name.startswith("page")] == [f"page{number}" for number in range(5)]
    assert len(seen) == len(set(seen))
