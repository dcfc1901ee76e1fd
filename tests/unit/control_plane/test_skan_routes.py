"""Conversion documents over HTTP: written by the administrator, read by the tenant itself, refused with a pointer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from control_plane.app import create_app
from resources.registry import AuditFilter, Registry, TenantState
from resources.settings import Settings
from resources.skan.conversions import ConversionSchema
from tests.support.control_plane_server import admin_headers
from tests.support.served_app import served

FROM = "2026-11-10"
APP = 525463029
DOCUMENT: dict[str, Any] = {
    "appId": APP,
    "currency": "USD",
    "networks": {"example123.skadnetwork": "L'Océan"},
    "windows": [{"sequenceIndex": 0, "fine": [{"from": 0, "to": 63, "events": ["install"]}]}],
}


@dataclass
class Plane:
    """A client of the served application, its registry, and the headers of who may ask."""

    client: httpx.Client
    registry: Registry
    admin: dict[str, str]

    def tenant(self, tenant_id: str, currency: str = "USD") -> dict[str, str]:
        """Make an active tenant; the headers with its export key."""
        self.registry.request(tenant_id, "starter", "test", currency)
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            self.registry.transition(tenant_id, state, actor="test")
        return {"Authorization": f"Bearer {self.registry.mint_key(tenant_id, 'export', 'test')}"}

    def add(self, tenant_id: str, document: Any, **more: Any) -> httpx.Response:
        """Ask as the administrator."""
        body = {"document": document, "effectiveFrom": FROM, **more}
        return self.client.post(f"/v1/tenants/{tenant_id}/skan-schemas", json=body, headers=self.admin)

    def read(self, tenant_id: str, headers: dict[str, str], **query: Any) -> httpx.Response:
        """Every version that these headers may see."""
        return self.client.get(f"/v1/tenants/{tenant_id}/skan-schemas", headers=headers, params=query)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    registry = Registry(settings.registry_url)
    registry.migrate()
    with served(create_app(settings, registry)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield Plane(client, registry, admin_headers(settings, url))
    registry.close()


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    return document


def test_a_document_is_set_shown_audited_and_read_by_its_tenant(plane: Plane) -> None:
    own = plane.tenant("skan_one")
    answer = plane.add("skan_one", DOCUMENT, reason="release 4.2")
    assert answer.status_code == 200, answer.text
    added = answer.json()
    assert (added["storeAppId"], added["version"], added["effectiveFrom"]) == (APP, 1, FROM)
    assert added["contentHash"] == ConversionSchema.of(DOCUMENT).content_hash
    assert added["document"] == DOCUMENT
    assert plane.add("skan_one", DOCUMENT).json() == added  # once more is once
    for headers in (own, plane.admin):
        assert plane.read("skan_one", headers).json() == {"items": [added], "next": None}
    [entry] = plane.registry.audit("skan_one", wanted=AuditFilter(action="skan_schema"))
    assert (entry.action, entry.actor, entry.reason) == ("skan_schema.added", "user:admin", "release 4.2")


def test_documents_can_be_asked_for_by_app(plane: Plane) -> None:
    plane.tenant("skan_apps")
    plane.add("skan_apps", DOCUMENT)
    plane.add("skan_apps", DOCUMENT | {"appId": 7})
    assert [one["storeAppId"] for one in plane.read("skan_apps", plane.admin, app=7).json()["items"]] == [7]
    assert plane.read("skan_apps", plane.admin, app=8).json() == {"items": [], "next": None}
    assert problem(plane.read("skan_apps", plane.admin, app=0), 422)["errors"][0]["pointer"] == "query:app"


WRONG: dict[str, tuple[Any, str]] = {
    "another type": (DOCUMENT | {"appId": "525463029"}, "/document/appId"),
    "an unknown currency": (DOCUMENT | {"currency": "EUR"}, "/document/currency"),
    "a window twice": (
        DOCUMENT | {"windows": [{"sequenceIndex": 1}] * 2},
        "/document/windows/1/sequenceIndex",
    ),
    "a range upside down": (
        DOCUMENT | {"windows": [{"sequenceIndex": 0, "fine": [{"from": 9, "to": 3}]}]},
        "/document/windows/0/fine/0",
    ),
    "a field of ours": (DOCUMENT | {"secretname": 5}, "/document"),
    "no object": ([], "/document"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_document_is_refused_with_its_place_and_written_nowhere(plane: Plane, name: str) -> None:
    tenant_id = f"skan_wrong_{list(WRONG).index(name)}"
    plane.tenant(tenant_id)
    document, pointer = WRONG[name]
    answer = problem(plane.add(tenant_id, document), 422)
    assert [error["pointer"] for error in answer["errors"]] == [pointer]
    assert plane.read(tenant_id, plane.admin).json() == {"items": [], "next": None}


def test_what_json_cannot_say_a_date_as_a_number_and_a_huge_body_are_refused(plane: Plane) -> None:
    plane.tenant("skan_odd")
    path, headers = "/v1/tenants/skan_odd/skan-schemas", plane.admin | {"Content-Type": "application/json"}
    half = json.dumps({"document": DOCUMENT | {"eventAppId": "\ud800"}, "effectiveFrom": FROM})
    assert plane.client.post(path, content=half, headers=headers).status_code in {400, 422}
    number = json.dumps({"document": DOCUMENT, "effectiveFrom": 0})
    assert problem(plane.client.post(path, content=number, headers=headers), 422)["errors"][0]["pointer"] == (
        "/effectiveFrom"
    )
    assert plane.add("skan_odd", DOCUMENT | {"eventAppId": "x" * 70_000}).status_code == 413
    assert plane.read("skan_odd", plane.admin).json() == {"items": [], "next": None}


def test_a_tenant_reads_only_its_own_and_writes_none(plane: Plane) -> None:
    own, other = plane.tenant("skan_own"), plane.tenant("skan_other")
    plane.add("skan_own", DOCUMENT)
    assert problem(plane.read("skan_own", other), 403)
    assert problem(plane.read("skan_own", {}), 401)
    body = {"document": DOCUMENT, "effectiveFrom": FROM}
    for headers in (own, other, {}):
        assert problem(
            plane.client.post("/v1/tenants/skan_own/skan-schemas", json=body, headers=headers),
            403 if headers else 401,
        )
    assert problem(plane.read("ghost", plane.admin), 404)
    assert problem(plane.add("ghost", DOCUMENT), 404)


def test_a_deleted_tenant_takes_no_document(plane: Plane) -> None:
    plane.registry.request("skan_gone", "starter", "test")
    plane.registry.transition("skan_gone", TenantState.DELETING, actor="test")
    assert "skan_gone is deleting" in problem(plane.add("skan_gone", DOCUMENT), 409)["detail"]
