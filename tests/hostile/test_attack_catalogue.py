"""A tenant with a valid token tries every operation of every service in every way we know; nothing crosses.

The catalogue is made from the committed OpenAPI files: an operation nobody attacks fails here.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from control_plane.local_issuer import KEYS_FILE
from tests.support.attack_catalogue import (
    ENDS_OWN_SESSION,
    Attack,
    Attacker,
    on_values,
    on_victim,
    oversized,
    wrong_methods,
)
from tests.support.attacks import OPENAPI_DIR, forged_sessions, marks_in, operations, shown
from tests.support.control_plane_server import access_token_of
from tests.support.hostile_values import RENDERED, forged_access_tokens
from tests.support.tenant_probes import client_of, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.attacks import Operation
    from tests.support.two_tenants import World

ROOMS = sorted(path.stem for path in OPENAPI_DIR.glob("*.json"))
ATTACKS_MIN = 200  # of every room, what issue 5 asks of all together
PROBLEM = "application/problem+json"
KEYS = {"ingest_api": "ingest key", "inference_api": "export key", "tenant_plane": "session"}


@dataclass
class Listener:
    """An address that every server could reach and none should. `callers` counts who did."""

    url: str = ""
    callers: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = Listener(f"http://127.0.0.1:{server.getsockname()[1]}")

        def listen() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                heard.callers.append(f"{address}")
                connection.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.fixture(scope="module")
def access_token(world: World) -> str:
    """Of a person who administers alpha, as the local issuer gives it."""
    world.registry.create_user("mallory", "alpha", ("tenant_admin",), "test")
    return access_token_of(world.registry, world.urls["control_plane"], "mallory")


def attacker_of(world: World, room: str, access_token: str, listener: Listener) -> Attacker:
    alpha, beta = world.tenants["alpha"], world.tenants["beta"]
    token = alpha.secrets[KEYS[room]] if room in KEYS else access_token
    return Attacker(alpha, beta, token, listener.url)


def forged_of(world: World, room: str, access_token: str, listener: Listener) -> dict[str, str]:
    alpha, beta = world.tenants["alpha"], world.tenants["beta"]
    keys = json.loads((world.settings.secrets_dir / KEYS_FILE).read_text())
    tokens = forged_access_tokens(access_token, keys, beta.tenant_id, listener.url)
    return tokens | (forged_sessions(alpha, beta) if room == "tenant_plane" else {})


def body_schemas(room: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Method and path → the schema of the JSON body's object."""
    document = json.loads((OPENAPI_DIR / f"{room}.json").read_text())
    found = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = next((each["schema"] for each in content.values()), {})
            schema = schema.get("items", schema)
            if "$ref" in schema:
                schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            found[method.upper(), path] = schema
    return found


def planned(room: str, who: Attacker, forged: dict[str, str]) -> Iterator[tuple[Attack, bool]]:
    """All attacks on a room, and whether each is against the victim's plane where there is one."""
    schemas, found = body_schemas(room), operations(room)
    for operation in found:
        yield from ((attack, True) for attack in on_victim(operation, who, forged))
        if (operation.method, operation.path) not in ENDS_OWN_SESSION:
            schema = schemas[operation.method, operation.path]
            yield from ((attack, False) for attack in on_values(operation, who, schema))
            large = oversized(operation, who)
            if large is not None and schema:
                yield large, False
    yield from ((attack, False) for attack in wrong_methods(found, who))


def faults(attack: Attack, answer: httpx.Response, who: Attacker) -> list[str]:
    """What is wrong with an answer; nothing, as it should be."""
    said = shown(answer)
    found = [f"shows {name}" for name in marks_in(said, who.victim)]
    if answer.status_code not in attack.statuses:
        found.append("is not a right status")
    if answer.is_error and attack.method != "HEAD" and answer.headers.get("content-type") != PROBLEM:
        found.append(f"is {answer.headers.get('content-type')}")
    if answer.status_code == httpx.codes.ACCEPTED and "the other's" in attack.kind:
        codes = {each["code"] for each in answer.json()["events"]}
        found += [] if codes == {"tenant_mismatch"} else [f"takes {codes}"]
    if attack.operation.room != "tenant_plane" and who.victim.tenant_id.encode() in said:
        found.append("names the victim")
    if b"root:" in said or RENDERED in said or "x-injected" in answer.headers:
        found.append("did what the value said")
    if "access-control-allow-origin" in answer.headers:
        found.append("opens itself to other origins")
    return [f"{attack} -> {answer.status_code} {answer.text[:200]!r} {fault}" for fault in found]


@pytest.mark.parametrize("room", ROOMS)
def test_every_attack_on_every_operation_is_refused_and_shows_nothing(
    world: World, room: str, access_token: str, listener: Listener
) -> None:
    who = attacker_of(world, room, access_token, listener)
    forged = forged_of(world, room, access_token, listener)
    before = stored(world, who.victim)
    wrong: list[str] = []
    tried: Counter[Operation] = Counter()
    with client_of(world, room, who.victim) as theirs, client_of(world, room, who.own) as own:
        for attack, is_theirs in planned(room, who, forged):
            client = theirs if is_theirs else own
            answer = client.request(attack.method, attack.url, headers=attack.headers, content=attack.body)
            wrong += faults(attack, answer, who)
            tried[attack.operation] += 1
    assert not wrong, f"{len(wrong)} of {tried.total()}:\n" + "\n".join(wrong[:40])
    assert set(tried) == set(operations(room)), "an operation nobody attacks"
    assert tried.total() >= ATTACKS_MIN
    assert min(tried.values()) >= len(("path", "values", "method"))
    assert listener.callers == [], "a server asked an address that a request named"
    assert stored(world, who.victim) == before
