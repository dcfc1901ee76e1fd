"""Every attack on every operation of the committed OpenAPI files, as requests with the statuses they may get.

`attacks` plans; `hostile_values` holds what is put in; `attacks_of` (the older module) knows good bodies and paths.
A new operation is attacked the day it is in its OpenAPI file. No assertions.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.support.attacks import METHODS, Headers, Operation, body_of, colleague, good_values
from tests.support.hostile_values import CLIMBS, HUGE_NUMBERS, injections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.two_tenants import Tenant

REFUSED = frozenset({400, 401, 403, 404, 405, 406, 413, 415, 422, 429, 431})
ANSWERED = REFUSED | {200, 201, 202, 204, 409}  # one's own data, or a sentence why not
ENDS_OWN_SESSION = {("DELETE", "/v1/me/session"), ("DELETE", "/api/v1/auth")}
CONTENT_TYPES = (
    "text/plain",
    "text/html",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-7",
    "application/x-java-serialized-object",
    "application/x-yaml",
)
XXE = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Attack:
    """One request as it goes out, and the statuses that are right for it."""

    kind: str
    operation: Operation
    method: str
    url: str
    headers: Headers
    body: bytes | None
    statuses: frozenset[int]

    def __str__(self) -> str:
        return f"{self.kind}: {self.method} {self.operation.room} {self.url[:200]}"


@dataclass(frozen=True)
class Attacker:
    """Who attacks whom, with which good credential, and where a listener waits that nobody should ask."""

    own: Tenant
    victim: Tenant
    token: str
    listener_url: str

    def good(self, tenant_id: str) -> Headers:
        """The good credential, naming a tenant."""
        return [("Authorization", f"Bearer {self.token}"), ("X-Tenant-ID", tenant_id)]


def on_victim(operation: Operation, who: Attacker, forged: dict[str, str]) -> Iterator[Attack]:
    """What would touch the other tenant: its id in place of one's own, and forged tokens. All must be refused."""
    victim = who.victim
    url = operation.path.format(**good_values(operation, victim))
    body, content = body_of(operation, url, who.own, victim.tenant_id)
    plain = [(name, value) for name, value in content if name != "Authorization"]

    def attack(kind: str, headers: Headers, url: str = url, method: str = operation.method) -> Attack:
        # a batch is taken to be answered event by event, each of them refused
        statuses = REFUSED | {202} if url.endswith("/batch") else REFUSED
        return Attack(kind, operation, method, url, [*headers, *plain], body, statuses)

    if not operation.schemes:
        return
    names = ("tenant_id", "tenantId", "tenant", "id", "X-Tenant-ID")
    query = "&".join(f"{name}={victim.tenant_id}" for name in names)
    other = who.good(victim.tenant_id)
    if names_a_tenant(operation):
        yield attack("the other's id", other)
        if url != own_path(operation, who.own) or body is not None:  # else nothing names the other
            yield attack("the other's id and one's own header", who.good(who.own.tenant_id))
        yield attack("the other's id in the query too", other, f"{url}?{query}")
        yield attack("method override", [*other, ("X-HTTP-Method-Override", "GET")])
    for name, token in forged.items():
        yield attack(
            f"token, {name}", [("Authorization", f"Bearer {token}"), ("X-Tenant-ID", victim.tenant_id)]
        )
    for scheme in ("Basic", "Digest", "Negotiate", "bearer bearer", ""):
        yield attack(f"scheme {scheme!r}", [("Authorization", f"{scheme} {who.token}".strip()), other[1]])
    for place in ("access_token", "token", "api_key", "key"):
        yield attack("token in the query", [other[1]], f"{url}?{place}={who.token}")
    yield attack("token in a cookie", [("Cookie", f"token={who.token}; session={who.token}"), other[1]])


def names_a_tenant(operation: Operation) -> bool:
    """Whether the operation is about a tenant that its path, header or body names."""
    if operation.room != "control_plane":
        return True
    parameters = {name for _, name in operation.parameters}
    return bool(parameters & {"tenant_id", "X-Tenant-ID"}) or operation.path in {"/v1/tenants"}


def on_values(operation: Operation, who: Attacker, body_schema: dict[str, Any]) -> Iterator[Attack]:
    """Hostile values in every parameter and every field, under one's own tenant: answered without a fault of ours."""
    own = who.own
    good_url = own_path(operation, own)
    body, content = body_of(operation, good_url, own, own.tenant_id)
    headers = [*who.good(own.tenant_id), *content] if operation.schemes else list(content)

    def attack(kind: str, url: str, statuses: frozenset[int], more: Headers | None = None) -> Attack:
        return Attack(kind, operation, operation.method, url, [*headers, *(more or [])], body, statuses)

    texts = injections(who.listener_url)
    for where, name in operation.parameters:
        if where == "path":
            for climb in CLIMBS:
                hostile = climb.format(who.victim.tenant_id)
                yield attack(f"path {name}", filled(operation, own, {name: hostile}), REFUSED)
            for text in texts:
                hostile = quote(text, safe="", errors="surrogatepass")
                yield attack(f"injection in {name}", filled(operation, own, {name: hostile}), REFUSED)
        elif where == "query":
            for text in (*texts, *HUGE_NUMBERS):
                hostile = quote(text, safe="", errors="surrogatepass")
                yield attack(f"query {name}", f"{good_url}?{name}={hostile}", ANSWERED)
            yield attack(
                f"query {name} twice", f"{good_url}?{name}=1&{name}={who.victim.tenant_id}", ANSWERED
            )
    for name in ("Origin", "Referer", "Host", "X-Forwarded-Host", "X-Original-URL", "Forwarded", "Accept"):
        yield attack(
            f"header {name}", good_url, ANSWERED, [(name, f"{who.listener_url}/{who.victim.tenant_id}")]
        )
    yield attack("a header of 100 kB", good_url, frozenset({400, 431}), [("X-Large", "a" * 100_000)])
    if body is not None and body_schema:
        yield from _bodies(operation, who, good_url, headers, body=body, schema=body_schema)


def _bodies(
    operation: Operation, who: Attacker, url: str, headers: Headers, *, body: bytes, schema: dict[str, Any]
) -> Iterator[Attack]:
    def attack(kind: str, content: bytes, statuses: frozenset[int], sent: Headers = headers) -> Attack:
        return Attack(kind, operation, operation.method, url, sent, content, statuses)

    untyped = [(name, value) for name, value in headers if name != "Content-Type"]
    for content_type in CONTENT_TYPES:
        for content in (XXE, body):
            sent = [*untyped, ("Content-Type", content_type)]
            yield attack(
                f"content type {content_type}", content, ANSWERED if content is body else REFUSED, sent
            )
    yield attack("nested 100,000 deep", b"[" * 100_000, REFUSED)
    yield attack("not UTF-8", b'{"\xff": 1}', REFUSED)
    yield attack("another shape", b"[[]]", REFUSED | {202})  # a batch is answered event by event
    yield attack(
        "a zip bomb's header", b"\x1f\x8b" + b"\0" * 100, REFUSED, [*headers, ("Content-Encoding", "gzip")]
    )
    for text in injections(who.listener_url):
        for name, changed in with_text(body, schema, text):
            yield attack(f"injection in the body's {name}", changed, ANSWERED)


def oversized(operation: Operation, who: Attacker) -> Attack | None:
    """A body over every limit there is; not for operations that take none."""
    url = own_path(operation, who.own)
    body, content = body_of(operation, url, who.own, who.own.tenant_id)
    if body is None:
        return None
    headers = [*who.good(who.own.tenant_id), *content]
    large = b'{"x": "' + b"a" * (12 * MEBIBYTE) + b'"}'
    return Attack("12 MiB", operation, operation.method, url, headers, large, REFUSED)


def wrong_methods(room_operations: list[Operation], who: Attacker) -> Iterator[Attack]:
    """Every method that a path does not have."""
    known: dict[str, set[str]] = {}
    for operation in room_operations:
        known.setdefault(operation.path, set()).add(operation.method)
    for operation in {each.path: each for each in room_operations}.values():
        for method in (
            {*(name.upper() for name in METHODS), "TRACE", "PROPFIND"} - known[operation.path] - {"HEAD"}
        ):
            url = own_path(operation, who.own)
            yield Attack(
                "method",
                operation,
                method,
                url,
                who.good(who.own.tenant_id),
                b"{}",
                frozenset({400, 401, 404, 405}),
            )


def own_path(operation: Operation, tenant: Tenant) -> str:
    """The operation's path for this tenant, with good values; of its users not the one who attacks."""
    return operation.path.format(**good_values(operation, tenant, colleague(tenant)))


def filled(operation: Operation, tenant: Tenant, values: dict[str, str]) -> str:
    """The path with some values hostile and the tenant one's own elsewhere."""
    marked = re.sub(
        "|".join(rf"\{{{name}\}}" for name in values), lambda at: f"\0{at[0][1:-1]}\0", operation.path
    )
    names = [name for where, name in operation.parameters if where == "path" and name not in values]
    plain = dict.fromkeys(names, tenant.tenant_id)
    url = marked.format(**plain)
    for name, value in values.items():
        url = url.replace(f"\0{name}\0", value)
    return url


def with_text(body: bytes, schema: dict[str, Any], text: str) -> Iterator[tuple[str, bytes]]:
    """A JSON body with the text in one of its fields, for each field it has or may have."""
    try:
        document = json.loads(body)
    except ValueError:
        return
    of_one = document[0] if isinstance(document, list) and document else document
    if not isinstance(of_one, dict):
        return
    for name in sorted({*of_one, *schema.get("properties", {})}):
        changed = of_one | {name: text}
        yield name, json.dumps([changed] if isinstance(document, list) else changed).encode()
    yield "field name", json.dumps(of_one | {text: 1}).encode()
