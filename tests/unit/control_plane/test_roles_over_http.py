"""The table of docs/roles.md, cell by cell, asked of the running control plane; and the policy behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from control_plane.access_policy import EXPORT_KEY, POLICIES_DIR, access_policy
from control_plane.app import GUARDED, create_app
from control_plane.callers import Caller
from control_plane.guard import ACTION, GuardedRoute, check_guarded, needs
from control_plane.roles_page import ROLES_PAGE, roles_page
from resources.embedded.stack import free_port
from resources.errors import SettingsError
from resources.registry import Registry, TenantState
from resources.registry.roles import PlatformRole, TenantRole
from resources.settings import Settings
from tests.support.control_plane_server import access_token_of
from tests.support.served_app import served
from tests.support.trace_world import served as clickhouse_served

TENANT, OTHER = "own", "other"
OPEN_PATHS = {"/health/live", "/health/ready", "/metrics", "/oauth/token"}


@dataclass(frozen=True)
class Operation:
    """One operation of the running control plane and the action it names."""

    method: str
    path: str
    action: str


@dataclass(frozen=True)
class Plane:
    """The served control plane, and how each holder of a role authenticates in tenant `own`."""

    client: httpx.Client
    holders: dict[str, dict[str, str]]
    operations: tuple[Operation, ...]

    def ask(self, operation: Operation, headers: dict[str, str], tenant: str = TENANT) -> httpx.Response:
        """The operation, with values that name nothing that is there but the tenant."""
        names = {"tenant_id": tenant, "name": "nobody", "key_id": "0" * 16, "version": "7", "role": "support"}
        names |= {"destination_id": "0" * 16, "delivery_id": "0" * 16, "month": "2026-01"}
        names |= {"conversion_id": "c", "mart": "installs", "date": "2026-01-02"}
        if operation.action.startswith("member:"):
            names["role"] = "tenant_app"
        path = operation.path.format(**names)
        body: Any = {} if operation.method in {"POST", "PATCH"} else None
        sent = {"X-Tenant-ID": tenant, **headers}
        return self.client.request(operation.method, path, headers=sent, json=body)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    settings = Settings(
        home=tmp_path_factory.mktemp("home"), clickhouse_port=free_port("127.0.0.1", 0, set())
    )
    registry = Registry.from_settings(settings)
    registry.migrate()
    for tenant in (TENANT, OTHER):
        registry.request(tenant, "starter", "test")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            registry.transition(tenant, state, actor="test")
    with (
        clickhouse_served(settings),
        served(create_app(settings, registry)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        holders = {EXPORT_KEY: f"Bearer {registry.mint_key(TENANT, 'export', 'test')}"}
        for role in (*PlatformRole, *TenantRole):
            tenant = TENANT if role in set(TenantRole) else None
            registry.create_user(f"a-{role}", tenant, (str(role),), "test")
            holders[str(role)] = f"Bearer {access_token_of(registry, url, f'a-{role}')}"
        document = client.get("/openapi.json").json()
        operations = tuple(
            Operation(method.upper(), path, operation[ACTION])
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if ACTION in operation
        )
        yield Plane(client, {name: {"Authorization": value} for name, value in holders.items()}, operations)
    registry.close()


def documented() -> dict[str, set[str]]:
    """Action → roles, read from the page."""
    found: dict[str, set[str]] = {}
    roles: list[str] = []
    for line in ROLES_PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "action":
            roles = cells[1:]
        elif re.fullmatch(r"`[a-z_:]+`", cells[0]):
            found[cells[0].strip("`")] = {
                role for role, cell in zip(roles, cells[1:], strict=True) if cell == "✓"
            }
    return found


def last_things_last(operation: Operation) -> tuple[bool, bool]:
    """What ends the tenant or the sign-in comes after everything else."""
    return operation.action == "tenant:delete", operation.action == "session:end"


def test_every_cell_of_the_documented_table_is_what_the_running_control_plane_does(plane: Plane) -> None:
    table = documented()
    assert set(table) == set(access_policy().actions) == {each.action for each in plane.operations}
    for operation in sorted(plane.operations, key=last_things_last):
        for role, headers in plane.holders.items():
            answer = plane.ask(operation, headers)
            is_let_in = answer.status_code not in {401, 403}
            assert is_let_in is (role in table[operation.action]), (operation, role, answer.text)
            assert answer.status_code < 500, (operation, role, answer.text)


def test_in_another_tenant_no_tenant_role_and_no_key_opens_anything(plane: Plane) -> None:
    for operation in plane.operations:
        if access_policy().actions[operation.action].is_of_tenant:
            for role in (*TenantRole, EXPORT_KEY):
                for tenant in (OTHER, "ghost", "..%2fother"):
                    answer = plane.ask(operation, plane.holders[str(role)], tenant)
                    assert answer.status_code in {401, 403, 404, 405}, (operation, role, answer.text)
                    assert answer.status_code in {401, 403} or ".." in tenant


def test_nobody_and_strangers_are_401_everywhere(plane: Plane) -> None:
    for operation in plane.operations:
        for authorization in ("", "Bearer wrong", "Bearer umg_export_wrong", "Basic YWRtaW46YWRtaW4="):
            answer = plane.ask(operation, {"Authorization": authorization} if authorization else {})
            assert answer.status_code == 401, (operation, authorization)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_every_path_of_the_running_control_plane_is_guarded_or_known_to_be_open(plane: Plane) -> None:
    document = plane.client.get("/openapi.json").json()
    unguarded = {
        path
        for path, item in document["paths"].items()
        for operation in item.values()
        if ACTION not in operation
    }
    assert {path for path in unguarded if not path.startswith("/.well-known/")} == OPEN_PATHS


def test_the_page_is_the_policy_s_own() -> None:
    assert ROLES_PAGE.read_text() == roles_page(access_policy())


def test_a_route_without_an_action_does_not_come_into_being() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(TypeError, match="names no action"):
        router.get("/v1/forgotten")(lambda: None)
    with pytest.raises(LookupError, match="no action"):
        needs("tenant:adore")
    plain = APIRouter()
    plain.get("/v1/forgotten")(lambda: None)
    with pytest.raises(TypeError, match="/v1/forgotten names no action"):
        check_guarded([*GUARDED, plain])


def test_what_no_policy_permits_and_what_nobody_knows_is_denied() -> None:
    policy = access_policy()
    admin = Caller("user:x", platform_roles=frozenset({PlatformRole.PLATFORM_ADMIN}))
    assert policy.allows(admin, "tenant:delete", TENANT)
    assert not policy.allows(admin, "tenant:adore", TENANT)
    assert not policy.allows(admin, "tenant:delete", None), "an action of a tenant, on the platform"
    assert not policy.allows(Caller("user:x"), "tenant:list", None)
    inside = Caller("user:x", tenant_roles={f'{TENANT}"/tenant_admin': frozenset(TenantRole)})
    assert not policy.allows(inside, "key:mint", TENANT)
    for kind in ("ingest", "service"):
        assert not policy.allows(Caller("key:x", key_kind=kind, key_tenant=TENANT), "export:pull", TENANT)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("control_plane.cedar", "permit (principal, action", "cannot be read"),
        ("control_plane.cedar", 'permit (principal, action == Action::"nope", resource);', "does not fit"),
        ("control_plane.cedarschema.json", "{", "cannot be read"),
    ],
)
def test_a_broken_policy_keeps_the_control_plane_from_starting(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    for original in POLICIES_DIR.iterdir():
        (tmp_path / original.name).write_text(original.read_text())
    (tmp_path / file).write_text(text)
    with pytest.raises(SettingsError, match=message):
        access_policy(tmp_path)
