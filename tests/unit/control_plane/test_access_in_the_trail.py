"""Refusals and reads in the audit trail: the first at once, equal ones counted, a flood bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from resources.notices import DENIED, VARIOUS, WINDOW_S, Notice, Notices
from resources.registry import AuditFilter, Registry
from resources.registry.access_trail import READ, audit_writer
from resources.settings import Settings
from tests.support.control_plane_server import PARQUET, Server, problem

NOTICE = Notice("key:0123456789abcdef", "export:pull", "t1")


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    registry = Registry.from_settings(settings)
    registry.migrate()
    yield registry
    registry.close()


def test_equal_reads_are_one_entry_at_once_and_one_count_a_minute_later(registry: Registry) -> None:
    clock = [0.0]
    reads = Notices(audit_writer(registry, READ), clock=lambda: clock[0])
    for _ in range(100):
        reads.add(NOTICE)
    [first] = registry.audit()
    assert (first.actor, first.action, first.tenant_id) == (NOTICE.actor, READ, "t1")
    assert first.after == {"action": "export:pull"}
    clock[0] = WINDOW_S - 1
    reads.flush()
    assert len(registry.audit()) == 1
    clock[0] = WINDOW_S
    reads.flush()
    assert registry.audit()[-1].after == {"action": "export:pull", "repeats": 99}
    reads.add(NOTICE)
    assert len(registry.audit()) == 3, "a new minute begins with an entry of its own"
    reads.flush(everything=True)
    assert len(registry.audit()) == 3, "nothing was repeated"


def test_a_flood_of_different_refusals_is_bounded_by_the_minute_and_by_the_hour(registry: Registry) -> None:
    clock, a_minute, an_hour = [0.0], 5, 100
    denials = Notices(
        audit_writer(registry, DENIED), distinct_max=a_minute, hourly_max=an_hour, clock=lambda: clock[0]
    )
    for minute in range(45):
        clock[0] = 61.0 * minute
        denials.flush()
        for number in range(a_minute + 20):
            denials.add(Notice("anonymous", "export:pull", f"t{minute}_{number}", "no key"))
    denials.flush(everything=True)
    entries = registry.audit(limit=10_000)
    distinct = [entry for entry in entries if entry.actor != VARIOUS]
    assert an_hour - 45 <= len(distinct) <= an_hour
    counted = sum(entry.after.get("repeats", 1) for entry in entries)
    assert counted == 45 * (a_minute + 20), "and every one is counted"
    assert len(entries) <= an_hour + 2 * 45


def test_refused_requests_say_who_what_and_why(server: Server) -> None:
    key = server.tenant("watched")
    server.tenant("stranger")
    problem(server.pull("/v1/exports", key, "stranger"), 403)
    problem(server.anyone.get("/v1/tenants/watched/ledger", headers={"Authorization": "Bearer forged"}), 401)
    problem(server.anyone.delete("/v1/tenants/watched"), 401)
    denied = server.registry.audit(limit=1000, wanted=AuditFilter(action=DENIED))
    told = {(entry.actor, entry.after["action"], entry.tenant_id) for entry in denied}
    key_id = server.registry.keys("watched")[0].key_id
    assert told >= {
        (f"key:{key_id}", "export:list", "stranger"),
        ("anonymous", "ledger:read", "watched"),
        ("anonymous", "tenant:delete", "watched"),
    }
    assert all(entry.reason for entry in denied)
    assert not any(secret in repr(denied) for secret in (key, "forged"))


def test_a_tenant_s_data_is_not_shown_without_an_entry(server: Server) -> None:
    key = server.tenant("read")
    server.export("read", "installs", "2026-01-02", PARQUET)
    for _ in range(3):
        assert server.pull("/v1/exports/installs/2026-01-02", key, "read").status_code == 200
    server.admin.get("/v1/tenants/read/rules")
    entries = server.registry.audit("read", limit=100, wanted=AuditFilter(action=READ))
    assert [entry.after["action"] for entry in entries] == ["export:pull", "rules:read"]
    assert entries[1].actor == "user:admin"
    server.tenant("unread")
    with server.registry.writing() as session:
        session.execute(
            text(
                "CREATE TRIGGER full BEFORE INSERT ON registry_audit BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )
        )
    answer = server.admin.get("/v1/tenants/unread/rules")
    with server.registry.writing() as session:
        session.execute(text("DROP TRIGGER full"))
    assert "nothing is shown" in problem(answer, 503)["detail"]


def test_the_audit_trail_over_http_is_filtered_paged_and_verified(server: Server) -> None:
    server.tenant("trail")
    server.admin.post("/v1/tenants/trail/suspend", json={"reason": "unpaid"})
    found = server.admin.get("/v1/audit", params={"tenant": "trail", "action": "tenant"}).json()["items"]
    assert [entry["action"] for entry in found] == [
        "tenant.requested",
        "tenant.provisioning",
        "tenant.active",
        "tenant.suspended",
    ]
    params = {"tenant": "trail", "since": found[-1]["at"]}
    assert server.admin.get("/v1/audit", params=params).json()["items"] == [found[-1]]
    params = {"tenant": "trail", "until": found[1]["at"]}
    assert server.admin.get("/v1/audit", params=params).json()["items"] == [found[0]]
    by_admin = server.admin.get("/v1/audit", params={"actor": "user:admin", "tenant": "trail"}).json()[
        "items"
    ]
    assert {entry["actor"] for entry in by_admin} == {"user:admin"}
    page = server.admin.get("/v1/audit", params={"tenant": "trail", "limit": 2}).json()
    following = server.admin.get(
        "/v1/audit", params={"tenant": "trail", "limit": 2, "after": page["next"]}
    ).json()
    assert page["items"][-1]["auditId"] < following["items"][0]["auditId"]
    verdict = server.admin.get("/v1/audit/verify").json()
    assert (verdict["isWhole"], verdict["faults"]) == (True, [])
    assert verdict["head"]["hash"] == server.registry.audit(limit=10_000)[-1].hash
    problem(server.admin.get("/v1/audit", params={"action": "%"}), 422)
