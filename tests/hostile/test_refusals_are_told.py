"""What is refused at any door is told: in the audit trail, or in the log of a plane that has none. Counted, bounded."""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import text

from control_plane.app import create_app as create_control_plane
from inference_api.app import create_app as create_inference
from ingest_api.app import create_app as create_door
from ingest_api.refusals import WRITE_EVERY_S
from resources.notices import DENIALS_DISTINCT_PER_MINUTE, DENIED, VARIOUS
from resources.registry import AuditFilter, Registry, TenantState, key_id_of
from resources.settings import Settings
from tests.support.attacks import operations
from tests.support.door import founding_event
from tests.support.served_app import served
from tests.unit.tenant_plane.plane_process import PlaneProcess, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resources.registry import AuditEntry

OWN, OTHER = "alpha", "beta"
FLOOD = 200
NO_ROOM = "CREATE TRIGGER full BEFORE INSERT ON registry_audit BEGIN SELECT RAISE(ABORT, 'disk full'); END"


@dataclass
class Doors:
    """The three services over one registry, the tenant's keys, and how many requests were refused."""

    stack: ExitStack
    client: httpx.Client
    registry: Registry
    urls: dict[str, str]
    keys: dict[str, str]
    refused: int = 0

    def refuse(
        self, room: str, method: str, path: str, key: str, tenant: str, *, body: object = None
    ) -> httpx.Response:
        """A request that must be refused for who sends it."""
        headers = {"Authorization": f"Bearer {self.keys.get(key, key)}", "X-Tenant-ID": tenant}
        url = f"{self.urls[room]}{path}"
        answer = self.client.request(method, url, headers=headers, json=body)
        assert answer.status_code in {401, 403}, (method, path, answer.text)
        self.refused += 1
        return answer

    def told(self) -> list[AuditEntry]:
        """The entries of all refusals, once the services have ended."""
        self.stack.close()
        assert self.registry.verify_audit().is_whole
        return list(self.registry.audit(limit=10_000, wanted=AuditFilter(action=DENIED)))


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    settings = Settings(home=tmp_path)
    registry = Registry.from_settings(settings)
    registry.migrate()
    for tenant in (OWN, OTHER):
        registry.request(tenant, "starter", "test")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            registry.transition(tenant, state, actor="test")
    keys = {kind: registry.mint_key(OWN, kind, "test") for kind in ("ingest", "export", "service")}
    with ExitStack() as stack:
        urls = {
            "control_plane": stack.enter_context(served(create_control_plane(settings, registry))),
            "inference_api": stack.enter_context(served(create_inference(settings, registry))),
            "ingest_api": stack.enter_context(served(create_door(settings, registry))),
        }
        client = stack.enter_context(httpx.Client(trust_env=False, timeout=60))
        yield Doors(stack, client, registry, urls, keys)
    registry.close()


def counted(entries: list[AuditEntry]) -> int:
    return sum((entry.after or {}).get("repeats", 1) for entry in entries)


def test_every_refused_request_of_another_s_is_in_the_trail_by_key_action_and_tenant(doors: Doors) -> None:
    scores = {"tenantId": OTHER, "items": []}
    doors.refuse("inference_api", "POST", "/v1/score/ltv", "export", OTHER, body=scores)
    doors.refuse("inference_api", "POST", "/v1/score/ltv", "service", OWN, body=scores)
    doors.refuse("inference_api", "POST", "/v1/score/ltv", "umg_nobody", OTHER, body=scores)
    doors.refuse("ingest_api", "POST", "/v1/events/ingest", "ingest", OTHER, body=founding_event())
    doors.refuse("ingest_api", "POST", "/v1/events/ingest", "umg_nobody", OTHER, body=founding_event())
    doors.refuse("control_plane", "GET", "/v1/exports", "export", OTHER)
    told = {(entry.actor, (entry.after or {})["action"], entry.tenant_id) for entry in doors.told()}
    actor = {kind: f"key:{key_id_of(key)}" for kind, key in doors.keys.items()}
    assert told == {
        (actor["export"], "score:ltv", OTHER),
        (actor["service"], "score:ltv", OTHER),
        ("anonymous", "score:ltv", OTHER),
        (actor["ingest"], "event:ingest", OTHER),
        ("anonymous", "event:ingest", OTHER),
        (actor["export"], "export:list", OTHER),
    }
    assert not any(key in repr(told) for key in doors.keys.values())


def test_a_batch_that_holds_another_tenant_s_event_is_told(doors: Doors) -> None:
    headers = {"Authorization": f"Bearer {doors.keys['ingest']}", "X-Tenant-ID": OWN}
    events = [founding_event(tenantId=OWN), founding_event(tenantId=OTHER)]
    url = f"{doors.urls['ingest_api']}/v1/events/batch"
    answer = httpx.post(url, headers=headers, json=events, trust_env=False)
    assert (answer.json()["accepted"], answer.json()["quarantined"]) == (1, 1)
    [entry] = doors.told()
    assert (entry.actor, entry.reason) == (
        f"key:{key_id_of(doors.keys['ingest'])}",
        "events name another tenant than the token's",
    )


def test_every_operation_s_refusals_are_counted_to_the_last_one(doors: Doors) -> None:
    for room in doors.urls:
        for operation in operations(room):
            schemes = operation.schemes - {"metricsToken"}
            if schemes:
                path = operation.path.format(**dict.fromkeys(names_in(operation.path), OTHER))
                body = None if operation.method in {"GET", "DELETE"} else {}
                for _ in range(3):
                    doors.refuse(room, operation.method, path, "umg_nobody", OTHER, body=body)
    told = doors.told()
    assert doors.refused > 3 * 40
    assert counted(told) == doors.refused


def test_a_trail_that_takes_nothing_for_a_while_stops_no_refusal_and_no_later_telling(doors: Doors) -> None:
    asked = {
        "control_plane": ("GET", "/v1/exports", "export:list"),
        "inference_api": ("POST", "/v1/score/ltv", "score:ltv"),
        "ingest_api": ("POST", "/v1/events/ingest", "event:ingest"),
    }
    with doors.registry.writing() as session:
        session.execute(text(NO_ROOM))
    for room, (method, path, _) in asked.items():
        doors.refuse(room, method, path, "umg_nobody", OTHER, body=None if method == "GET" else {})
    time.sleep(1.5 * WRITE_EVERY_S)  # the door has tried
    with doors.registry.writing() as session:
        session.execute(text("DROP TRIGGER full"))
    for room, (method, path, _) in asked.items():
        doors.refuse(room, method, path, "umg_nobody", OWN, body=None if method == "GET" else {})
    told = {((entry.after or {})["action"], entry.tenant_id) for entry in doors.told()}
    assert told == {(action, OWN) for _, _, action in asked.values()}


@pytest.mark.parametrize("room", ["control_plane", "inference_api", "ingest_api"])
def test_a_flood_of_refusals_does_not_fill_the_trail(doors: Doors, room: str) -> None:
    method, path = {
        "control_plane": ("GET", "/v1/exports"),
        "inference_api": ("POST", "/v1/score/ltv"),
        "ingest_api": ("POST", "/v1/events/ingest"),
    }[room]
    body = None if method == "GET" else {"tenantId": OWN, "items": []}
    for number in range(FLOOD):
        doors.refuse(room, method, path, "umg_nobody", f"t{number}", body=body)
    told = doors.told()
    assert counted(told) == FLOOD
    distinct = [entry for entry in told if entry.actor != VARIOUS]
    # the flood may take two minutes of the clock; the door hands on once a second
    assert len(distinct) <= 3 * DENIALS_DISTINCT_PER_MINUTE
    assert len(told) <= 4 * DENIALS_DISTINCT_PER_MINUTE


def test_a_plane_s_log_counts_what_it_refused_and_repeats_nothing_of_it(tmp_path: Path) -> None:
    refused = 0
    with running(PlaneProcess(tmp_path / "plane")) as plane, plane.client() as client:
        for operation in operations("tenant_plane"):
            if operation.schemes:
                path = operation.path.format(**dict.fromkeys(names_in(operation.path), "secretname"))
                for headers in ({"X-Tenant-ID": OTHER}, {"Authorization": "Bearer secrettoken"}):
                    answer = client.request(operation.method, path, headers=headers)
                    if answer.status_code in {401, 403}:
                        refused += 1
    log = (tmp_path / "plane" / "plane.log").read_text()
    lines = [line for line in log.splitlines() if DENIED in line]
    repeats = [re.search(r"repeats=(\d+)", line) for line in lines]
    assert refused > 2 * 20
    assert sum(1 if found is None else int(found[1]) for found in repeats) == refused
    assert len(lines) < 2 * DENIALS_DISTINCT_PER_MINUTE
    assert Counter(word in log for word in (OTHER, "secretname", "secrettoken")) == {False: 3}


def names_in(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)
