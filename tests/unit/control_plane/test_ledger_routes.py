"""The ledger and the quarantine over HTTP: balanced sums, reasons without bodies, one's own alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from control_plane.app import create_app
from resources.registry import Registry, TenantState
from resources.settings import Settings
from tests.support.control_plane_server import admin_headers
from tests.support.door import OTHER_TENANT, TENANT, Landing, RunningDoor, click, founding_event
from tests.support.served_app import served

PERSONAL = "jane.doe@example.com"


@dataclass
class Plane:
    """A client of the served application, and a key of each tenant."""

    client: httpx.Client
    admin: dict[str, str]
    own: dict[str, str]
    other: dict[str, str]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    registry = Registry(settings.registry_url)
    registry.migrate()
    keys = []
    for tenant in (TENANT, OTHER_TENANT):
        registry.request(tenant, "starter", "test")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            registry.transition(tenant, state, actor="test")
        keys.append({"Authorization": f"Bearer {registry.mint_key(tenant, 'export', 'test')}"})
    with RunningDoor(settings) as door:
        event = click()
        for body in (event, event, founding_event(campaign="", userId=PERSONAL), {"a": PERSONAL}):
            door.send(body)
    with Landing(settings) as landing:
        landing.land_all()
    with served(create_app(settings, registry)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield Plane(client, admin_headers(settings, url), *keys)
    registry.close()


def test_the_ledger_of_today_balances_and_says_what_is_not_yet_clean(plane: Plane) -> None:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    for headers in (plane.admin, plane.own):
        answer = plane.client.get(f"/v1/tenants/{TENANT}/ledger", headers=headers)
        assert answer.status_code == 200, answer.text
        document = answer.json()
        [day] = document["days"]
        assert (document["tenantId"], day["date"], day["balances"]) == (TENANT, today, True)
        total = day["total"]
        assert (total["received"], total["notYetClean"], total["quarantined"]) == (4, 2, 2)
        assert total["byReason"] == {"missing_field": 1, "too_short": 1}
        assert sum(hour["received"] for hour in day["hours"]) == 4


def test_several_days_and_days_without_anything(plane: Plane) -> None:
    answer = plane.client.get(
        f"/v1/tenants/{TENANT}/ledger?date=2026-01-31&days=31", headers=plane.own
    ).json()
    assert [day["date"] for day in answer["days"]] == [f"2026-01-{number:02d}" for number in range(1, 32)]
    assert all(day["hours"] == [] and day["balances"] for day in answer["days"])
    for edge in ("0001-01-01", "9999-12-31"):
        answer = plane.client.get(f"/v1/tenants/{TENANT}/ledger?date={edge}&days=31", headers=plane.own)
        assert answer.status_code == 200


def test_the_quarantine_lists_reasons_and_never_what_was_sent(plane: Plane) -> None:
    answer = plane.client.get(f"/v1/tenants/{TENANT}/quarantine", headers=plane.own)
    document = answer.json()
    assert document["total"] == 2
    assert {reason["reasonCode"]: reason["rows"] for reason in document["reasons"]} == {
        "missing_field": 1,
        "too_short": 1,
    }
    assert {row["pointer"] for row in document["rows"]} == {"/campaign", "/eventId"}
    assert PERSONAL not in answer.text
    filtered = f"/v1/tenants/{TENANT}/quarantine?reason=too_short&limit=0"
    assert plane.client.get(filtered, headers=plane.admin).json()["total"] == 1
    for query in ("from=2026-01-01&to=2026-01-31", "to=0001-01-01", "from=9999-12-31&to=9999-12-31"):
        none = plane.client.get(f"/v1/tenants/{TENANT}/quarantine?{query}", headers=plane.own)
        assert none.json() == {"total": 0, "reasons": [], "rows": [], "next": None}


def test_the_quarantine_is_read_page_by_page_to_its_end(plane: Plane) -> None:
    path = f"/v1/tenants/{TENANT}/quarantine"
    whole = plane.client.get(path, headers=plane.own).json()
    assert whole["next"] is None
    first = plane.client.get(f"{path}?limit=1", headers=plane.own).json()
    second = plane.client.get(f"{path}?limit=1&after={first['next']}", headers=plane.own).json()
    assert [*first["rows"], *second["rows"]] == whole["rows"]
    assert second["next"] is None
    assert first["total"] == second["total"] == 2
    refused = plane.client.get(f"{path}?after=1/../x", headers=plane.own)
    assert refused.json()["errors"][0]["pointer"] == "query:after"


@pytest.mark.parametrize("what", ["ledger", "quarantine"])
def test_only_the_administrator_and_the_tenant_itself_may_read(plane: Plane, what: str) -> None:
    path = f"/v1/tenants/{TENANT}/{what}"
    refused = {
        "nobody": (plane.client.get(path), 401),
        "an unknown key": (plane.client.get(path, headers={"Authorization": "Bearer umg_export_x"}), 401),
        "another tenant": (plane.client.get(path, headers=plane.other), 403),
        "another, of no tenant": (plane.client.get(f"/v1/tenants/nobody/{what}", headers=plane.other), 403),
        "the administrator, of no tenant": (
            plane.client.get(f"/v1/tenants/nobody/{what}", headers=plane.admin),
            404,
        ),
        "a wrong path": (plane.client.get(f"/v1/tenants/T%27x/{what}", headers=plane.admin), 422),
    }
    for name, (answer, status) in refused.items():
        assert answer.status_code == status, name
        assert answer.headers["content-type"] == "application/problem+json", name


@pytest.mark.parametrize(
    "query",
    ["ledger?days=0", "ledger?days=32", "ledger?date=soon", "quarantine?reason=x%27", "quarantine?limit=-1"],
)
def test_wrong_questions_get_their_pointer(plane: Plane, query: str) -> None:
    answer = plane.client.get(f"/v1/tenants/{TENANT}/{query}", headers=plane.own)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("query:")


def test_a_range_that_ends_before_it_begins_is_a_problem_too(plane: Plane) -> None:
    path = f"/v1/tenants/{TENANT}/quarantine?from=2026-02-01&to=2026-01-01"
    assert plane.client.get(path, headers=plane.own).status_code == 422
