"""`Idempotency-Key` on POST: once is once, also at the same moment, and what is kept is sealed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import text

from control_plane.app import create_app
from resources.registry import Registry, TenantState
from resources.settings import Settings
from tests.support.control_plane_server import admin_headers, problem
from tests.support.served_app import served

MINT = "/v1/tenants/t1/keys"
KEY = "5f0c9d9e-6a8e-4c47-9d4a-0d7f6f0f6b11"


@dataclass
class Plane:
    """A served control plane and its administrator."""

    registry: Registry
    client: httpx.Client
    admin: dict[str, str]

    def post(self, path: str, body: object = None, key: str = KEY, **headers: str) -> httpx.Response:
        """A POST under an idempotency key."""
        sent = {**self.admin, "Idempotency-Key": key, **headers}
        return self.client.post(path, json=body, headers=sent)

    def age(self, sql: str) -> None:
        """Change when kept answers began."""
        with self.registry.writing() as session:
            session.execute(text(f"UPDATE registry_kept_answers SET {sql}"))


@pytest.fixture
def plane(settings: Settings) -> Iterator[Plane]:
    registry = Registry.from_settings(settings)
    registry.migrate()
    registry.request("t1", "starter", "test")
    for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
        registry.transition("t1", state, actor="test")
    with served(create_app(settings, registry)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Plane(registry, client, admin_headers(settings, url))
    registry.close()


def test_the_same_key_and_request_again_get_the_same_answer_and_do_nothing(plane: Plane) -> None:
    first = plane.post(MINT, {"kind": "export"})
    again = plane.post(MINT, {"kind": "export"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert len(plane.registry.keys("t1")) == 1
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["cache-control"] == "no-store"
    assert plane.post(MINT, {"kind": "export"}, key="another").json()["keyId"] != first.json()["keyId"]
    requested = plane.post("/v1/tenants", {"tenantId": "t9", "plan": "starter"}, key="t9")
    repeated = plane.post("/v1/tenants", {"tenantId": "t9", "plan": "starter"}, key="t9")
    assert (repeated.status_code, repeated.headers["location"]) == (202, requested.headers["location"])


def test_a_key_that_is_shown_once_is_nowhere_readable_in_the_database(plane: Plane) -> None:
    secret = plane.post(MINT, {"kind": "export"}).json()["key"]
    with plane.registry.reading() as session:
        [row] = session.execute(text("SELECT * FROM registry_kept_answers")).all()
    assert secret.encode() not in repr(row).encode()
    assert KEY not in repr(row)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (MINT, {"kind": "ingest"}),
        (MINT, {"kind": "export", "x": 1}),
        ("/v1/tenants/t1/suspend", {"kind": "export"}),
    ],
)
def test_the_same_key_with_another_request_is_422_and_does_nothing(
    plane: Plane, path: str, body: object
) -> None:
    plane.post(MINT, {"kind": "export"})
    assert "came with another request" in problem(plane.post(path, body), 422)["detail"]
    assert len(plane.registry.keys("t1")) == 1
    assert plane.registry.get("t1").state == "active"


def test_keys_are_each_caller_s_own(plane: Plane) -> None:
    plane.registry.create_user("boss@t1", "t1", ("tenant_admin",), "test")
    _, refresh_token = plane.registry.start_session("boss@t1")
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    token = plane.client.post("/oauth/token", data=form).json()["access_token"]
    first = plane.post(MINT, {"kind": "export"})
    theirs = plane.post(MINT, {"kind": "export"}, Authorization=f"Bearer {token}")
    assert theirs.status_code == 201
    assert theirs.json()["keyId"] != first.json()["keyId"]


def test_at_the_same_moment_one_is_done_and_the_others_are_told_to_wait_or_get_its_answer(
    plane: Plane,
) -> None:
    gate = threading.Barrier(8)

    def mint(_: int) -> httpx.Response:
        gate.wait()
        return plane.post(MINT, {"kind": "export"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(mint, range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["keyId"] for answer in answers if answer.status_code == 201}) == 1
    assert len(plane.registry.keys("t1")) == 1


def test_a_request_in_flight_is_409_until_it_was_abandoned(plane: Plane) -> None:
    plane.post(MINT, {"kind": "export"})
    plane.age("status = NULL, sealed_answer = NULL")
    problem(plane.post(MINT, {"kind": "export"}), 409)
    plane.age("began_at = '2020-01-01 00:00:00'")
    assert plane.post(MINT, {"kind": "export"}).status_code == 201
    assert len(plane.registry.keys("t1")) == 2


def test_a_request_that_failed_may_be_done_again_under_its_key(plane: Plane) -> None:
    problem(plane.post("/v1/tenants/t1/keys", {"kind": "golden"}), 422)
    plane.registry.transition("t1", TenantState.SUSPENDED, actor="test")
    plane.registry.transition("t1", TenantState.DELETING, actor="test")
    problem(plane.post("/v1/tenants/t1/resume", key="resume"), 409)
    plane.registry.transition("t1", TenantState.FAILED, actor="test", reason="disk")
    assert plane.post("/v1/tenants/t1/resume", key="resume").json()["state"] == "provisioning"


def test_an_answer_is_forgotten_after_a_day(plane: Plane) -> None:
    plane.post(MINT, {"kind": "export"})
    plane.age("began_at = '2020-01-01 00:00:00'")
    plane.post(MINT, {"kind": "export"}, key="another")
    with plane.registry.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM registry_kept_answers")) == 1


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "a\tb"])
def test_a_key_that_is_none_is_422(plane: Plane, key: str) -> None:
    problem(plane.post(MINT, {"kind": "export"}, key=key), 422)
    assert plane.registry.keys("t1") == ()


def test_a_refused_caller_keeps_no_answers(plane: Plane) -> None:
    problem(plane.post(MINT, {"kind": "export"}, Authorization="Bearer umg_export_wrong"), 401)
    with plane.registry.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM registry_kept_answers")) == 0
