"""Two tenants: neither's token, API, export, database or dashboard shows a byte of the other.

All servers are real and shared by the module. The operations that are attacked come from the committed
OpenAPI files, which are compared with the running servers' own first: a new endpoint is attacked the day it
is committed, and fails here until somebody says which credentials open it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import sqlite3

import httpx
import pytest

from assets.export_contract import MARTS
from ingest_api.quarantine import unseal_body
from resources.errors import ArtifactCorruptError
from resources.pii import Keyring
from resources.tenant_gateway import PARQUET_TYPE, signature_header
from tests.support.attacks import (
    OPENAPI_DIR,
    OPENED_BY,
    body_of,
    credentials,
    event,
    marks_in,
    mart_of,
    operations,
    requests,
    shown,
)
from tests.support.door import Landing
from tests.support.marked_exports import DATE
from tests.support.tenant_probes import (
    REFUSED,
    TRAVERSALS,
    Tried,
    bearer,
    client_of,
    own_answer,
    plane_process,
    right_statuses,
    stored,
)
from tests.support.two_tenants import NAMESAKE, NUMBERS, Tenant, World

ROOMS = sorted(path.stem for path in OPENAPI_DIR.glob("*.json"))
SCORE_PUSH = ("POST", "/api/v1/ml/scores")
NAMING_THEIR_TENANT = ("auth", "auth/refresh", "dashboard/data", "marts", "users")
PAIRS = [("alpha", "beta"), ("beta", "alpha")]


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]} attacks {pair[1]}")
def pair(world: World, request: pytest.FixtureRequest) -> tuple[Tenant, Tenant]:
    attacker, victim = request.param
    return world.tenants[attacker], world.tenants[victim]


@pytest.mark.parametrize("room", ROOMS)
def test_the_attacked_operations_are_all_that_the_running_servers_have(world: World, room: str) -> None:
    with client_of(world, room, world.tenants["alpha"]) as client:
        assert client.get("/openapi.json").json() == json.loads((OPENAPI_DIR / f"{room}.json").read_text())
    assert {(room, scheme) for each in operations(room) for scheme in each.schemes} <= OPENED_BY.keys()


@pytest.mark.parametrize("room", ROOMS)
def test_a_tenant_s_own_credentials_show_its_own_marks_and_nothing_of_the_other(
    world: World, room: str, pair: tuple[Tenant, Tenant]
) -> None:
    """Also what proves that the search for marks finds them."""
    tenant, other = pair
    plane_s = {"session", "service token"} if room == "tenant_plane" else set[str]()
    # these say whose they are and show no values
    names_tenant = {"/metrics"} | {f"/api/v1/{name}" for name in NAMING_THEIR_TENANT}
    data_marks = {"text", "number", "online score", "checksum 0"}
    counts_rows = {"PUT", "POST"}  # of a plane: what is pushed is not repeated
    with client_of(world, room, tenant) as client:
        for operation in operations(room):
            opened_by = sorted(operation.opened_by | plane_s)
            if not operation.schemes or not opened_by or operation.method == "DELETE":
                continue
            answers = [own_answer(client, operation, tenant, name) for name in opened_by]
            good = [answer for answer in answers if answer.is_success]
            assert good == answers or (good and plane_s), (operation, [answer.text for answer in answers])
            for answer in good:
                assert not marks_in(shown(answer), other), operation
                found = data_marks.intersection(marks_in(shown(answer), tenant))
                if plane_s and operation.path in names_tenant:
                    assert tenant.tenant_id in answer.text, operation
                else:
                    assert found or (plane_s and operation.method in counts_rows), operation


@pytest.mark.parametrize("room", ROOMS)
def test_no_credential_in_no_disguise_opens_an_operation_for_the_other_tenant(
    world: World, room: str, pair: tuple[Tenant, Tenant]
) -> None:
    attacker, victim = pair
    before = stored(world, victim)
    held = credentials(attacker, victim, room)
    with client_of(world, room, victim) as client:
        for operation, (name, credential) in itertools.product(operations(room), held.items()):
            for sent in requests(operation, attacker, victim):
                headers = [*credential, *sent.headers]
                answer = client.request(operation.method, sent.url, content=sent.body, headers=headers)
                tried = Tried(operation, name, sent, answer)
                assert not marks_in(shown(answer), victim), tried
                assert "access-control-allow-origin" not in answer.headers, tried
                if room != "tenant_plane":  # a plane says whose it is to anybody
                    assert victim.tenant_id.encode() not in shown(answer), tried
                assert answer.status_code in right_statuses(tried, attacker), tried
                if operation.schemes and sent.body and answer.is_success:  # a batch, answered event by event
                    assert [each["code"] for each in answer.json()["events"]] == ["tenant_mismatch"], tried
    assert stored(world, victim) == before


def test_export_names_never_leave_the_tenant_s_folder(world: World, pair: tuple[Tenant, Tenant]) -> None:
    attacker, victim = pair
    with client_of(world, "control_plane", attacker) as client:
        client.headers.update(bearer(attacker, "export key"))
        own = client.get(f"/v1/exports/installs/{DATE}")
        assert "text" in marks_in(own.content, attacker)
        strangers = (victim.tenant_id, NAMESAKE, f"{attacker.tenant_id}%2F..%2F{victim.tenant_id}")
        names = [pattern.format(stranger) for pattern in TRAVERSALS for stranger in strangers]
        for name in names:
            for path in (f"/v1/exports/{name}/{DATE}", f"/v1/exports/installs/{name}", f"/v1/exports/{name}"):
                answer = client.get(path)
                assert answer.status_code in REFUSED, path
                assert not marks_in(shown(answer), victim), path
        for query in (f"after=../{victim.tenant_id}/", f"after={NAMESAKE}/2026-01-01", "after=&limit=1000"):
            answer = client.get(f"/v1/exports?{query}")
            assert answer.status_code in {200, 422}, query
            assert not marks_in(shown(answer), victim), query
        assert len(client.get("/v1/exports").json()["items"]) == len(MARTS) + 1
        for part in ("1", "-1", "99999999", f"..%2F{victim.tenant_id}"):
            assert client.get(f"/v1/exports/installs/{DATE}?part={part}").status_code in {404, 422}, part


def test_a_captured_push_opens_no_other_plane_and_carries_no_other_s_rows(
    world: World, pair: tuple[Tenant, Tenant]
) -> None:
    attacker, victim = pair
    path = f"/api/v1/marts/installs/{DATE}"
    own, theirs = mart_of(attacker.tenant_id, attacker), mart_of(victim.tenant_id, attacker)
    before = stored(world, victim)

    def push(plane: Tenant, body: bytes, *, token: Tenant, key: Tenant) -> httpx.Response:
        """A push that is right for the plane but for the token or the signing key."""
        headers = {
            "Authorization": f"Bearer {token.secrets['service token']}",
            "X-Tenant-ID": plane.tenant_id,
            "Idempotency-Key": hashlib.sha256(body).hexdigest(),
            "Content-Type": PARQUET_TYPE,
            **signature_header(key.secrets["signing key"], "PUT", path, body),
        }
        with client_of(world, "tenant_plane", plane) as client:
            return client.put(path, content=body, headers=headers)

    taken = push(attacker, own, token=attacker, key=attacker)
    assert taken.status_code == 200
    captured = taken.request.headers
    with client_of(world, "tenant_plane", victim) as client:
        assert client.put(path, content=own, headers=captured).status_code == 403
        captured["X-Tenant-ID"] = victim.tenant_id
        assert client.put(path, content=own, headers=captured).status_code == 401
    for body in (own, theirs):
        assert push(victim, body, token=attacker, key=attacker).status_code == 401
        assert push(victim, body, token=attacker, key=victim).status_code == 401
        assert push(victim, body, token=victim, key=attacker).status_code == 401
    assert push(attacker, theirs, token=attacker, key=attacker).status_code == 403  # rows of the other
    scores = next(each for each in operations("tenant_plane") if (each.method, each.path) == SCORE_PUSH)
    content, signed = body_of(scores, scores.path, attacker, victim.tenant_id)
    with client_of(world, "tenant_plane", attacker) as client:
        headers = dict(signed) | bearer(attacker, "service token")
        assert client.post(scores.path, content=content, headers=headers).status_code == 403
    assert stored(world, victim) == before


def test_an_event_never_lands_under_another_tenant_than_its_token_s(world: World) -> None:
    """Every spelling of the other's id, sent with either's token and through either's plane; then all is landed."""
    for attacker, victim in ((world.tenants[a], world.tenants[b]) for a, b in PAIRS):
        theirs, own = event(victim.tenant_id, attacker), event(attacker.tenant_id, attacker)
        text = json.dumps(own)
        both_last_theirs = text[:-1] + f', "tenantId": "{victim.tenant_id}"}}'
        both_last_own = text.replace("{", f'{{"tenantId": "{victim.tenant_id}", ', 1)
        escaped = json.dumps(theirs).replace('"tenantId"', '"tenant\\u0049d"')
        with client_of(world, "ingest_api", attacker) as client:
            client.headers.update(bearer(attacker, "ingest key") | {"Content-Type": "application/json"})
            for body in (json.dumps(theirs), both_last_theirs, escaped):
                assert client.post("/v1/events/ingest", content=body).status_code == 403, body
            for spelling in (attacker.tenant_id.upper(), f" {victim.tenant_id}", [attacker.tenant_id], None):
                answer = client.post("/v1/events/ingest", json=own | {"tenantId": spelling})
                assert answer.status_code in {403, 422}, spelling
            assert client.post("/v1/events/ingest", content=both_last_own).status_code == 202
            batch = f"[{json.dumps(theirs)}, {json.dumps(event(attacker.tenant_id, attacker))}]"
            verdicts = client.post("/v1/events/batch", content=batch).json()["events"]
            assert [each["status"] for each in verdicts] == ["quarantined", "accepted"]
        with client_of(world, "tenant_plane", attacker) as client:
            client.headers.update(bearer(attacker, "app key"))
            assert client.post("/api/v1/events/ingest", json=[own, theirs]).status_code == 403
            assert client.post("/api/v1/events/ingest", json=own).status_code == 202
    keyring = Keyring(world.settings.keys())
    with Landing(world.settings) as landing:
        landing.land_all()
        events, quarantined = landing.rows(), landing.rows("raw.quarantine")
    assert {row["tenant_id"] for row in events} == {row["tenant_id"] for row in quarantined} == set(NUMBERS)
    for row in events:
        assert json.loads(row["body"])["tenantId"] == row["tenant_id"]
        assert f"{row['tenant_id'].upper()}_SECRET" in row["body"]
    for row in quarantined:
        other = next(tenant_id for tenant_id in NUMBERS if tenant_id != row["tenant_id"])
        unseal_body(keyring, row["tenant_id"], row["quarantine_id"], row["body_sealed"])
        with pytest.raises(ArtifactCorruptError):
            unseal_body(keyring, other, row["quarantine_id"], row["body_sealed"])


def test_the_other_s_dashboard_takes_neither_password_nor_page(
    world: World, pair: tuple[Tenant, Tenant]
) -> None:
    attacker, victim = pair
    body = {"user": "admin", "password": attacker.secrets["password"]}
    cookie = {"Cookie": f"umg_session_{victim.tenant_id}={victim.secrets['session']}"}
    with client_of(world, "tenant_plane", victim) as client:
        assert client.post("/api/v1/auth", json=body).status_code == 401
        assert client.get("/api/v1/dashboard/stats", headers=cookie).status_code == 200
        for origin in (attacker.url, f"http://client{attacker.tenant_id}.localhost", "null"):
            changing = cookie | {"Origin": origin}  # a page of the attacker's in the victim's browser
            assert client.post("/api/v1/auth/refresh", headers=changing).status_code == 403, origin
            assert client.delete("/api/v1/auth", headers=changing).status_code == 403, origin
        for host in range(5):  # another address each time is still the one guesser
            guess = client.post("/api/v1/auth", json=body, headers={"X-Forwarded-For": f"10.0.0.{host}"})
        assert guess.status_code == 429
        named = {"X-Tenant-ID": victim.tenant_id}
        for pattern in TRAVERSALS:
            for file in ("plane.env", "global.json", "data/tenant.db"):
                name = pattern.format(f"{victim.tenant_id}%2F{file}")
                for path in (f"/{name}", f"/assets/{name}", f"/api/v1/marts/{name}"):
                    answer = client.get(path, headers=bearer(attacker, "session") | named)
                    assert answer.status_code < 500, path
                    assert not marks_in(shown(answer), victim), path


def test_a_tenant_s_files_hold_nothing_of_the_other_and_no_global_secret(
    world: World, pair: tuple[Tenant, Tenant]
) -> None:
    tenant, other = pair
    folders = (tenant.files.directory, world.settings.exports_dir / tenant.tenant_id)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"plane.env", "tenant.db", "plane.log", "data.parquet", "part-0.parquet"} <= names
    found: set[str] = set()
    for path in files:
        content = path.read_bytes()
        found |= set(marks_in(content, tenant))
        assert not marks_in(content, other), path
        assert other.tenant_id.encode() not in content, path
        assert [name for name, secret in world.global_secrets.items() if secret in content] == [], path
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert {"text", "number", "service token", "signing key", "password hash"} <= found
    for folder in (tenant.files.directory, tenant.files.home):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert marks_in(tenant.files.log.read_bytes(), tenant) == [], "a log shows no token and no data"
    with contextlib.closing(sqlite3.connect(tenant.files.home / "tenant.db")) as database:
        dump = "\n".join(database.iterdump())
    assert tenant.text in dump
    assert other.tenant_id not in dump


def test_a_plane_s_process_knows_its_own_tenant_alone(world: World, pair: tuple[Tenant, Tenant]) -> None:
    tenant, other = pair
    process = plane_process(tenant)
    environment = json.dumps(process.environ()).encode()
    assert {"write token", "service token", "signing key"} <= set(marks_in(environment, tenant))
    assert not marks_in(environment, other)
    assert other.tenant_id.encode() not in environment
    assert [name for name, secret in world.global_secrets.items() if secret in environment] == []
    general = {name for name in process.environ() if not name.startswith("UNMOGROWP_TENANT_")}
    assert general <= {"PATH", "HOME", "LANG", "LC_CTYPE", "PYTHONUNBUFFERED"}
    assert other.tenant_id not in " ".join(process.cmdline())
    home = str(world.settings.home)
    opened = [file.path for file in process.open_files() if file.path.startswith(home)]
    assert opened
    assert [path for path in opened if not path.startswith(f"{tenant.files.directory}/")] == []
