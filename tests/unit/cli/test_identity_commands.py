"""`unmogrowp login|logout|whoami|token|user|key|roles|audit` against a served control plane."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cli import audit, keys, sign_in, users
from cli.main import app
from control_plane.app import create_app
from resources.control_plane_client import ControlPlaneClient
from resources.errors import AuthenticationError, AuthorizationError, PermanentError, TenantNotFoundError
from resources.registry import Registry
from resources.settings import ADMIN_SECRET_FILE, Settings
from resources.sign_in import SESSION_FILE
from tests.support.served_app import served

Run = Callable[..., str]


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    registry = Registry.from_settings(settings)
    registry.migrate()
    registry.request("t1", "starter", "test")
    yield registry
    registry.close()


@pytest.fixture
def here(settings: Settings, registry: Registry) -> Iterator[Settings]:
    """Settings of a home whose control plane is served."""
    with served(create_app(settings, registry)) as url:
        yield settings.with_changes(control_plane_port=urlsplit(url).port)


@pytest.fixture
def run(here: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command over the served control plane; its stdout."""
    for module in (audit, keys, sign_in, users):
        monkeypatch.setattr(module, "load_settings", lambda: here)

    def run_command(*arguments: str, exit_code: int = 0, stdin: str = "") -> str:
        result = CliRunner(env={"COLUMNS": "220"}).invoke(app, arguments, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result.stdout if exit_code == 0 else result.stderr

    return run_command


def document(run: Run, *arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_commands_act_as_the_first_administrator_until_somebody_signs_in(
    run: Run, here: Settings, registry: Registry
) -> None:
    assert document(run, "whoami")["actor"] == "user:admin"
    made = document(run, "user", "create", "ann@example.com", "--role", "support")
    signed_in = json.loads(
        run("login", "--user", "ann@example.com", "--password-stdin", "--json", stdin=made["password"] + "\n")
    )
    assert signed_in == {"actor": "user:ann@example.com", "platformRoles": ["support"], "tenantRoles": {}}
    session_file = here.secrets_dir / SESSION_FILE
    assert stat.S_IMODE(session_file.stat().st_mode) == 0o600
    assert made["password"] not in session_file.read_text()
    assert "ann@example.com: support" in run("whoami")
    with pytest.raises(AuthorizationError, match="user:create"):
        run("user", "create", "bob")
    assert document(run, "logout") == {"signedOut": "ann@example.com"}
    assert not session_file.exists()
    assert document(run, "whoami")["actor"] == "user:admin"
    assert "nobody was signed in" in run("logout")
    denied = registry.audit(limit=1000)[-3:]
    assert "access.denied" in {entry.action for entry in denied}


def test_a_wrong_password_and_an_ended_sign_in_say_what_to_do(run: Run, registry: Registry) -> None:
    with pytest.raises(AuthenticationError, match="user or password is wrong"):
        run("login", "--user", "ann", "--password-stdin", stdin="guess\n")
    password = document(run, "user", "create", "ann")["password"]
    run("login", "--user", "ann", "--password-stdin", stdin=password + "\n")
    registry.disable_user("ann", "test")
    with pytest.raises(
        AuthenticationError, match="the sign-in of ann has ended: `unmogrowp login --user ann`"
    ):
        run("whoami")
    with pytest.raises(AuthenticationError):
        run("logout")
    assert document(run, "whoami")["actor"] == "user:admin"


def test_when_the_first_password_was_replaced_commands_ask_for_a_sign_in(run: Run, here: Settings) -> None:
    new = document(run, "user", "password", "admin")["password"]
    assert new != (here.secrets_dir / ADMIN_SECRET_FILE).read_text()
    with pytest.raises(AuthenticationError, match="unmogrowp login --user NAME"):
        run("whoami")
    run("login", "--user", "admin", "--password-stdin", stdin=new + "\n")
    assert document(run, "whoami")["platformRoles"] == ["platform_admin"]


def test_with_an_issuer_elsewhere_commands_present_the_token_they_are_given(here: Settings) -> None:
    elsewhere = here.with_changes(oidc_issuer="https://id.example")
    with pytest.raises(AuthenticationError, match="UNMOGROWP_ACCESS_TOKEN"):
        ControlPlaneClient(elsewhere).call("GET", "/v1/me")
    given = ControlPlaneClient(here).sign_in.access_token()
    client = ControlPlaneClient(elsewhere.with_changes(access_token=given))
    assert client.call("GET", "/v1/me")["actor"] == "user:admin"


def test_users_of_a_tenant_are_made_listed_given_roles_and_disabled(run: Run) -> None:
    assert "has no users yet" in run("user", "list", "--tenant", "t1")
    document(run, "user", "create", "bob", "--tenant", "t1", "--role", "tenant_analyst")
    assert document(run, "user", "give", "bob", "tenant_admin", "--tenant", "t1")["roles"] == [
        "tenant_admin",
        "tenant_analyst",
    ]
    assert document(run, "user", "take", "bob", "tenant_analyst", "--tenant", "t1")["roles"] == [
        "tenant_admin"
    ]
    disabled = document(run, "user", "disable", "bob", "--tenant", "t1", "--reason", "left")
    assert disabled["disabledAt"] is not None
    assert "disabled" in run("user", "list", "--tenant", "t1")
    assert "may sign in" in run("user", "enable", "bob", "--tenant", "t1")
    assert [user["name"] for user in document(run, "user", "list")["users"]] == ["admin", "bob"]
    with pytest.raises(TenantNotFoundError, match="no such user of tenant t1"):
        run("user", "disable", "admin", "--tenant", "t1")
    with pytest.raises(PermanentError, match="/role"):
        run("user", "give", "bob", "platform_admin", "--tenant", "t1")
    with pytest.raises(PermanentError, match="taken"):
        run("user", "create", "bob")


def test_keys_are_minted_listed_and_revoked_and_a_token_opens_the_api(run: Run, here: Settings) -> None:
    assert "has no keys yet" in run("key", "list", "--tenant", "t1")
    made = document(run, "key", "mint", "--tenant", "t1", "--kind", "export")
    listed = run("key", "list", "--tenant", "t1")
    assert made["keyId"] in listed
    assert made["key"] not in listed
    assert document(run, "key", "revoke", made["keyId"], "--tenant", "t1") == {"revoked": made["keyId"]}
    [key] = document(run, "key", "list", "--tenant", "t1")["keys"]
    assert key["revokedAt"] is not None
    with pytest.raises(TenantNotFoundError, match="no such key"):
        run("key", "revoke", "0" * 16, "--tenant", "t1")
    headers = {"Authorization": f"Bearer {run('token').strip()}"}
    url = f"http://127.0.0.1:{here.control_plane_port}/v1/me"
    assert httpx.get(url, headers=headers).json()["actor"] == "user:admin"


def test_the_roles_are_shown_from_the_policy(run: Run) -> None:
    table = document(run, "roles")
    assert table["permissions"]["tenant:delete"] == ["platform_admin"]
    assert set(document(run, "roles", "--role", "tenant_app")["permissions"]) >= {"export:pull"}
    assert "key:mint" not in run("roles", "--role", "tenant_app")
    assert "there is no role god" in run("roles", "--role", "god", exit_code=1)


def test_the_trail_is_listed_and_verified_and_an_edit_fails_the_command(
    run: Run, here: Settings, registry: Registry
) -> None:
    page = document(run, "audit", "list", "--tenant", "t1", "--limit", "1")
    assert page["items"][0]["action"] == "tenant.requested"
    assert "tenant.requested" in run("audit", "list", "--action", "tenant")
    assert "no such entries" in run("audit", "list", "--actor", "user:eve")
    verdict = document(run, "audit", "verify")
    assert (verdict["isWhole"], verdict["faults"]) == (True, [])
    head = verdict["head"]
    noted = f"{head['auditId']}:{head['hash']}"
    assert noted in run("audit", "verify", "--expect", noted)
    wrong = f"{head['auditId']}:{'0' * 64}"
    assert "not as it was written, in 1 place(s)" in run("audit", "verify", "--expect", wrong, exit_code=1)
    assert "ID:HASH" in run("audit", "verify", "--expect", "newest", exit_code=1)
    with registry.writing() as session:
        session.execute(text("DROP TRIGGER registry_audit_no_UPDATE"))
        session.execute(text("UPDATE registry_audit SET actor = 'eve' WHERE audit_id = 1"))
    assert "keep the database as it is" in run("audit", "verify", exit_code=1)


def test_verifying_where_there_is_nothing_says_so_and_makes_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "load_settings", lambda: settings)
    result = CliRunner(env={"COLUMNS": "220"}).invoke(app, ["audit", "verify"])
    assert (result.exit_code, "there is no registry in" in result.stderr) == (1, True)
    assert not settings.home.exists()


def test_a_database_put_back_to_an_older_state_is_found_by_the_next_look(
    run: Run, here: Settings, registry: Registry
) -> None:
    with (
        closing(sqlite3.connect(here.home / "registry.db")) as database,
        closing(sqlite3.connect(":memory:")) as backup,
    ):
        database.backup(backup)
        registry.record("eve", "tenant.deleted", "t1")
        run("audit", "verify")
        backup.backup(database)
    assert registry.verify_audit().is_whole, "of itself the old state is whole"
    assert "in 1 place(s)" in run("audit", "verify", exit_code=1)
