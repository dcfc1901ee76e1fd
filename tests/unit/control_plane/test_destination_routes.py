"""Destinations and deliveries over HTTP: write-only secrets, strict tenants, idempotent, audited."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.drills.receivers import Receiver, receiving
from control_plane.app import create_app
from resources.registry import Registry, TenantState
from resources.registry.delivery_store import DeliveryKey, Failure
from resources.registry.destination_store import PLANE
from resources.settings import Settings
from tests.support.control_plane_server import Server, admin_headers, problem
from tests.support.served_app import served

DAY = dt.date(2026, 11, 3)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    """A control plane that may send to the receiver, with two active tenants."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    registry = Registry.from_settings(settings)
    registry.migrate()
    for tenant in ("eins", "zwei"):
        registry.request(tenant, "starter", "test")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            registry.transition(tenant, state, actor="test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNMOGROWP_DESTINATIONS_ALLOWED_HOSTS", f'["{receiver.host}"]')
        patch.setenv("UNMOGROWP_DESTINATIONS_TIMEOUT_S", "0.5")
        app = create_app(settings, registry)
    with (
        served(app) as url,
        httpx.Client(base_url=url, timeout=60) as anyone,
        httpx.Client(base_url=url, timeout=60, headers=admin_headers(settings, url)) as admin,
    ):
        yield Server(settings, registry, admin, anyone)
    registry.close()


def webhook(house: Server, receiver: Receiver, tenant: str = "eins") -> dict[str, str]:
    answer = house.admin.post(
        f"/v1/tenants/{tenant}/destinations", json={"kind": "webhook", "url": receiver.url}
    )
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


def test_a_webhook_s_secret_is_shown_once_and_under_an_idempotency_key_again_the_same(
    house: Server, receiver: Receiver
) -> None:
    path, headers = "/v1/tenants/eins/destinations", {"Idempotency-Key": str(uuid.uuid4())}
    body = {"kind": "webhook", "url": f"{receiver.url}/once"}
    first, again = (house.admin.post(path, json=body, headers=headers) for _ in range(2))
    assert first.status_code == 201
    assert first.headers["cache-control"] == "no-store"
    assert again.json() == first.json()
    secret, destination = first.json()["secret"], first.json()["destinationId"]
    assert secret.startswith("whsec_")
    listed = house.admin.get(path)
    assert [one["destinationId"] for one in listed.json()["items"]].count(destination) == 1
    assert secret not in listed.text + house.admin.get("/v1/tenants/eins/audit").text
    assert house.admin.delete(f"{path}/{destination}").status_code == 204
    problem(house.admin.delete(f"{path}/{destination}"), 404)


def test_a_bucket_s_key_is_write_only(house: Server) -> None:
    body = {
        "kind": "s3",
        "endpoint": "https://1.1.1.1",
        "bucket": "own-bucket",
        "prefix": "a/b",
        "accessKeyId": "AKIA-OF-THE-TENANT",
        "secretAccessKey": "secret-of-the-tenant",
    }
    answer = house.admin.post("/v1/tenants/eins/destinations", json=body)
    assert answer.status_code == 201, answer.text
    seen = answer.text + house.admin.get("/v1/tenants/eins/destinations").text
    seen += house.admin.get("/v1/tenants/eins/audit").text
    stored = b"".join(path.read_bytes() for path in house.settings.home.rglob("registry.db*"))
    for secret in ("AKIA-OF-THE-TENANT", "secret-of-the-tenant"):
        assert secret not in seen
        assert secret.encode() not in stored
    assert answer.json()["config"] == {
        "endpoint": "https://1.1.1.1",
        "bucket": "own-bucket",
        "prefix": "a/b",
        "region": "us-east-1",
    }
    problem(house.admin.post(f"/v1/tenants/eins/destinations/{answer.json()['destinationId']}/rotate"), 422)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "webhook", "url": "http://example.com/"},
        {"kind": "webhook", "url": "https://127.0.0.1/"},
        {"kind": "webhook", "url": "https://169.254.169.254/latest/meta-data/"},
        {"kind": "webhook", "url": "https://[::ffff:10.0.0.1]/"},
        {"kind": "webhook", "url": "https://localhost:9090/v1/tenants"},
        {"kind": "webhook", "url": "file:///etc/passwd"},
        {"kind": "webhook", "url": "https://1.1.1.1/", "secret": "mine"},
        {"kind": "ftp", "url": "https://1.1.1.1/"},
        {
            "kind": "s3",
            "endpoint": "https://10.0.0.1",
            "bucket": "abc",
            "accessKeyId": "a",
            "secretAccessKey": "s",
        },
        {
            "kind": "s3",
            "endpoint": "https://1.1.1.1",
            "bucket": "../x",
            "accessKeyId": "a",
            "secretAccessKey": "s",
        },
        {
            "kind": "s3",
            "endpoint": "https://1.1.1.1",
            "bucket": "abc",
            "prefix": "a/../b",
            "accessKeyId": "a",
            "secretAccessKey": "s",
        },
    ],
)
def test_what_is_no_destination_is_refused(house: Server, body: dict[str, str]) -> None:
    before = house.admin.get("/v1/tenants/eins/destinations").json()["items"]
    problem(house.admin.post("/v1/tenants/eins/destinations", json=body), 422)
    assert house.admin.get("/v1/tenants/eins/destinations").json()["items"] == before


def test_a_destination_opens_under_its_own_tenant_alone(house: Server, receiver: Receiver) -> None:
    mine = webhook(house, receiver)["destinationId"]
    arrived = len(receiver.arrived)
    for call in ("rotate", "test"):
        problem(house.admin.post(f"/v1/tenants/zwei/destinations/{mine}/{call}"), 404)
    problem(house.admin.delete(f"/v1/tenants/zwei/destinations/{mine}"), 404)
    assert len(receiver.arrived) == arrived


def test_a_test_says_what_came_of_it_and_is_audited(house: Server, receiver: Receiver) -> None:
    mine = webhook(house, receiver)["destinationId"]
    path = f"/v1/tenants/eins/destinations/{mine}/test"
    assert house.admin.post(path).json() == {"ok": True, "detail": "it was taken"}
    for mood, words in (("500", "answered 500"), ("302", "redirects are not followed"), ("hang", "in time")):
        receiver.mood = mood
        tested = house.admin.post(path).json()
        assert tested["ok"] is False
        assert words in tested["detail"]
    receiver.mood = "ok"
    actions = [one["action"] for one in house.admin.get("/v1/tenants/eins/audit?limit=1000").json()["items"]]
    assert actions.count("destination.tested") == 4


def test_the_operator_sees_what_is_the_matter_and_replays_it(house: Server) -> None:
    for number in range(3):
        key = DeliveryKey("zwei", PLANE, "installs", DAY + dt.timedelta(days=number))
        house.registry.delivery_failed(Failure(key, "aa", 0, f"key-{number}", "run", "no", is_final=True))
    for _ in range(6):
        house.registry.circuit_failed("zwei", PLANE, "status 500")
    (status,) = house.admin.get("/v1/export-status").json()["items"]
    assert (status["tenantId"], status["circuit"], status["dead"]) == ("zwei", "open", 3)
    assert status["reason"] == "status 500"
    assert house.admin.get("/v1/tenants/zwei/export-status").json()["items"] == [status]
    assert house.admin.get("/v1/tenants/eins/export-status").json()["items"] == []
    assert house.admin.get("/v1/export-status?after=zwei/plane").json()["items"] == []

    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = house.admin.get(f"/v1/tenants/zwei/deliveries?state=dead&limit=2&after={after}").json()
        seen += [one["deliveryId"] for one in page["items"]]
        after = page["next"]
    assert len(set(seen)) == 3
    path = f"/v1/tenants/zwei/deliveries/{seen[0]}"
    assert house.admin.get(path).json()["attempts"] == 1
    replayed = house.admin.post(f"{path}/replay")
    assert (replayed.status_code, replayed.json()["state"]) == (202, "waiting")
    assert house.registry.due_tenants() == ["zwei"]
    problem(house.admin.post(f"/v1/tenants/eins/deliveries/{seen[0]}/replay"), 404)
    problem(house.admin.get("/v1/tenants/zwei/deliveries?state=odd"), 422)

    token = house.settings.scrape_token()
    metrics = house.anyone.get("/metrics", headers={"Authorization": f"Bearer {token}"}).text
    assert 'unmogrowp_undelivered_exports{destination="plane",state="dead",tenant="zwei"} 2.0' in metrics
    assert 'unmogrowp_export_circuits{destination="plane",state="open",tenant="zwei"} 6.0' in metrics


def test_an_analyst_sees_deliveries_and_changes_nothing(
    house: Server, receiver: Receiver, tmp_path: Path
) -> None:
    house.registry.create_user("ana", "eins", ("tenant_analyst",), "test")
    _, refresh = house.registry.start_session("ana")
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    token = house.anyone.post("/oauth/token", data=form).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert house.anyone.get("/v1/tenants/eins/deliveries", headers=headers).status_code == 200
    problem(house.anyone.get("/v1/tenants/zwei/deliveries", headers=headers), 403)
    problem(house.anyone.get("/v1/export-status", headers=headers), 403)
    body = {"kind": "webhook", "url": receiver.url}
    problem(house.anyone.post("/v1/tenants/eins/destinations", json=body, headers=headers), 403)
