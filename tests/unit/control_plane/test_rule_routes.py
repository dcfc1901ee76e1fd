"""Rules over HTTP: written by the administrator, read by the tenant itself, refused with a pointer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from control_plane.app import create_app
from resources.registry import AuditFilter, Registry, TenantState
from resources.rules import DAY_MS, DEFAULT_RULES, RuleSet
from resources.rules.rule_set import MAX_RULES_BYTES
from resources.settings import Settings
from tests.support.control_plane_server import admin_headers
from tests.support.served_app import served

FROM = "2026-11-10"
SHORT = {"clickWindowMs": DAY_MS}


@dataclass
class Plane:
    """A client of the served application, its registry, and the headers of who may ask."""

    client: httpx.Client
    registry: Registry
    admin: dict[str, str]

    def tenant(self, tenant_id: str) -> dict[str, str]:
        """Make an active tenant; the headers with its export key."""
        self.registry.request(tenant_id, "starter", "test")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            self.registry.transition(tenant_id, state, actor="test")
        return {"Authorization": f"Bearer {self.registry.mint_key(tenant_id, 'export', 'test')}"}

    def add(self, tenant_id: str, rules: Any, **more: Any) -> httpx.Response:
        """Ask as the administrator."""
        body = {"rules": rules, "effectiveFrom": FROM, **more}
        return self.client.post(f"/v1/tenants/{tenant_id}/rules", json=body, headers=self.admin)


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


def test_rules_are_set_shown_and_audited(plane: Plane) -> None:
    own = plane.tenant("set_one")
    answer = plane.add("set_one", SHORT, reason="fewer days")
    assert answer.status_code == 200, answer.text
    added = answer.json()
    assert (added["version"], added["effectiveFrom"], added["createdBy"]) == (1, FROM, "user:admin")
    assert added["contentHash"] == RuleSet(click_window_ms=DAY_MS).content_hash
    assert added["rules"]["clickWindowMs"] == DAY_MS
    assert added["rules"]["viewWindowMs"] == DEFAULT_RULES.view_window_ms, "what is left out has its default"
    for headers in (own, plane.admin):
        assert plane.client.get("/v1/tenants/set_one/rules/1", headers=headers).json() == added
        listed = plane.client.get("/v1/tenants/set_one/rules", headers=headers).json()
        assert listed == {"items": [added], "next": None}
    [entry] = plane.registry.audit("set_one", wanted=AuditFilter(action="rules"))[-1:]
    assert (entry.action, entry.reason, entry.after["rules"]["click_window_ms"]) == (
        "rules.added",
        "fewer days",
        DAY_MS,
    )


def test_what_is_shown_can_be_sent_again_and_changes_nothing(plane: Plane) -> None:
    plane.tenant("round_trip")
    rules = {
        "channels": [{"source": "L'Océan", "clickWindowMs": DAY_MS}],
        "blockedNetworks": ["198.51.100.0/24"],
    }
    added = plane.add("round_trip", rules).json()
    assert plane.add("round_trip", added["rules"]).json() == added
    assert len(plane.registry.rule_versions("round_trip")) == 1


def test_without_any_version_the_list_is_empty_and_version_0_is_the_defaults(plane: Plane) -> None:
    own = plane.tenant("untouched")
    assert plane.client.get("/v1/tenants/untouched/rules", headers=own).json() == {"items": [], "next": None}
    default = plane.client.get("/v1/tenants/untouched/rules/0", headers=own).json()
    assert (default["effectiveFrom"], default["createdAt"], default["contentHash"]) == (
        None,
        None,
        DEFAULT_RULES.content_hash,
    )
    missing = plane.client.get("/v1/tenants/untouched/rules/1", headers=own)
    assert "no version 1" in problem(missing, 404)["detail"]


def test_versions_come_in_pages(plane: Plane) -> None:
    own = plane.tenant("paged")
    for number in range(1, 6):
        plane.registry.add_rules(
            "paged", RuleSet(click_cap_per_day=50 + number), dt.date(2026, 11, number), "t"
        )
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = plane.client.get(f"/v1/tenants/paged/rules?limit=2&after={after}", headers=own).json()
        seen += [item["version"] for item in page["items"]]
        after = page["next"]
    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("change", "pointer", "allowed"),
    [
        ({"rules": {"clickWindowMs": 1}}, "/rules/clickWindowMs", "1 h to 30 d (3600000 to 2592000000 ms)"),
        ({"rules": {"viewWindowMs": 49 * 3_600_000}}, "/rules/viewWindowMs", "off, or 1 h to 2 d"),
        ({"rules": {"clickCapPerDay": 1001}}, "/rules/clickCapPerDay", "5 to 1000"),
        (
            {"rules": {"channels": [{"source": "a", "viewWindowMs": 7}]}},
            "/rules/channels/0/viewWindowMs",
            "1 h",
        ),
        ({"rules": {"channels": [{"source": "a"}] * 2}}, "/rules/channels", "one entry"),
        ({"rules": {"blockedNetworks": ["10.0.0.0/8"]}}, "/rules/blockedNetworks/0", "/16 to /24"),
        ({"rules": {"blockedNetworks": ["2001:db8::/32"]}}, "/rules/blockedNetworks", "may hold 2048"),
        (
            {"rules": {"reinstallWithoutTouch": "SECRET"}},
            "/rules/reinstallWithoutTouch",
            "'keep' or 'organic'",
        ),
        ({"rules": {"clickWindow": 1}}, "/rules/clickWindow", "not permitted"),
        (
            {"rules": {"channels": [{"source": "ü" * 120, "medium": str(n)} for n in range(60)]}},
            "/rules",
            "40000",
        ),
        ({"rules": None}, "/rules", ""),
        ({"effectiveFrom": 0}, "/effectiveFrom", "such as 2026-11-01"),
        ({"effectiveFrom": "2026-02-30"}, "/effectiveFrom", ""),
        ({"basedOn": -1}, "/basedOn", ""),
        ({"reason": "a\x00b"}, "/reason", ""),
        ({"because": "x"}, "/because", "not permitted"),
    ],
)
def test_what_is_not_allowed_gets_its_pointer_and_the_allowed_range(
    plane: Plane, change: dict[str, Any], pointer: str, allowed: str
) -> None:
    if "strict" not in [tenant.tenant_id for tenant in plane.registry.list()]:
        plane.tenant("strict")
    answer = plane.add("strict", **{"rules": {}, **change})
    [error] = [one for one in problem(answer, 422)["errors"] if one["pointer"] == pointer]
    assert allowed in error["reason"]
    assert "SECRET" not in answer.text


def test_a_body_larger_than_any_rules_is_413_and_rules_of_the_limit_pass(plane: Plane) -> None:
    plane.tenant("large")
    ranges = [f"110.{100 + number // 256}.{number % 256}.0/24" for number in range(2048)]
    assert len(RuleSet(blocked_networks=tuple(ranges)).canonical_json()) > MAX_RULES_BYTES * 0.8
    assert plane.add("large", {"blockedNetworks": ranges}).status_code == 200
    problem(plane.add("large", {"conversionEvents": ["x" * 100] * 1000}), 413)


def test_a_decision_over_outdated_rules_is_409(plane: Plane) -> None:
    plane.tenant("raced")
    assert plane.add("raced", SHORT, basedOn=0).status_code == 200
    assert "version 1, not 0" in problem(plane.add("raced", {}, basedOn=0), 409)["detail"]
    assert plane.add("raced", SHORT, basedOn=0).status_code == 200, "what is in force already is no decision"


def test_only_the_administrator_writes_and_a_tenant_reads_its_own_alone(plane: Plane) -> None:
    own, other = plane.tenant("mine"), plane.tenant("theirs")
    plane.add("mine", SHORT)
    body = {"rules": {}, "effectiveFrom": FROM}
    for headers in ({}, own, other, {"Authorization": "Bearer umg_export_x"}):
        status = 403 if headers in (own, other) else 401
        problem(plane.client.post("/v1/tenants/mine/rules", json=body, headers=headers), status)
    for path in ("/v1/tenants/mine/rules", "/v1/tenants/mine/rules/0", "/v1/tenants/mine/rules/1"):
        assert plane.client.get(path, headers=own).status_code == 200
        problem(plane.client.get(path), 401)
        problem(plane.client.get(path, headers=other), 403)
        problem(plane.client.get(path.replace("mine", "nobody"), headers=own), 403)
        problem(plane.client.get(path.replace("mine", "nobody"), headers=plane.admin), 404)
    assert [one.version for one in plane.registry.rule_versions("mine")] == [1]
    problem(plane.add("nobody", {}), 404)


def test_strange_versions_are_refused(plane: Plane) -> None:
    own = plane.tenant("strange")
    for version in ("-1", "1.0", "latest", "99999999999", "..%2f1"):
        assert plane.client.get(f"/v1/tenants/strange/rules/{version}", headers=own).status_code in {404, 422}
    for query in ("after=-1", "limit=0", "limit=1001", "after=x"):
        problem(plane.client.get(f"/v1/tenants/strange/rules?{query}", headers=own), 422)


def test_a_tenant_that_is_going_gets_no_rules(plane: Plane) -> None:
    plane.tenant("leaving")
    plane.registry.request_deletion("leaving", "test")
    assert "gets no new rules" in problem(plane.add("leaving", SHORT), 409)["detail"]
