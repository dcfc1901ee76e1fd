"""What one tenant can try against another: every operation, every credential, every disguise.

Operations are those of the committed OpenAPI files. Here too: finding a tenant's marks in any bytes. No
assertions.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
import pyarrow as pa
import pyarrow.parquet as pq

from assets.export_contract import MARTS
from assets.export_files import parquet_bytes
from resources.feature_encoding import CATEGORICAL_FEATURES, NUMERIC_FEATURES
from resources.settings import APPLICATION_ROOT
from resources.tenant_gateway import PARQUET_TYPE, signature_header
from tests.support.marked_exports import DATE, marked_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.two_tenants import Tenant

OPENAPI_DIR = APPLICATION_ROOT / "schemas" / "openapi"
METHODS = ("get", "put", "post", "delete", "patch", "options", "head")
Headers = list[tuple[str, str]]
# (room, security scheme) → the tenant's credentials it is for; the others open nothing there
OPENED_BY = {
    ("ingest_api", "writeToken"): {"ingest key", "write token"},
    ("ingest_api", "metricsToken"): set(),
    ("control_plane", "exportKey"): {"export key"},
    ("control_plane", "accessToken"): set(),
    ("control_plane", "metricsToken"): set(),
    ("inference_api", "HTTPBearer"): {"export key", "service token"},
    ("inference_api", "metricsToken"): set(),
    ("tenant_plane", "HTTPBearer"): set(),  # of the other's plane
    ("tenant_plane", "APIKeyCookie"): set(),
}


@dataclass(frozen=True)
class Operation:
    """One operation of one service. Without security schemes it is public."""

    room: str
    method: str
    path: str
    schemes: frozenset[str]
    parameters: tuple[tuple[str, str], ...]

    @property
    def opened_by(self) -> set[str]:
        """Names of the tenant's credentials that may use it. A scheme nobody thought of is a KeyError."""
        return set[str]().union(*(OPENED_BY[self.room, scheme] for scheme in self.schemes))

    def __str__(self) -> str:
        return f"{self.room} {self.method} {self.path}"


@dataclass(frozen=True)
class Request:
    """One request as it goes out, and how it names tenants."""

    url: str
    headers: Headers
    body: bytes | None
    header_tenant: str | None  # the one X-Tenant-ID; None when there is none or several
    is_path_hostile: bool


def operations(room: str) -> list[Operation]:
    """Every operation of a room's committed OpenAPI file."""
    document = json.loads((OPENAPI_DIR / f"{room}.json").read_text())
    return [
        Operation(
            room,
            method.upper(),
            path,
            frozenset(scheme for one in item[method].get("security", []) for scheme in one),
            tuple((each["in"], each["name"]) for each in item[method].get("parameters", [])),
        )
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


def credentials(attacker: Tenant, victim: Tenant, room: str) -> dict[str, Headers]:
    """Everything the attacker holds, as it would be presented; for planes also sessions it can forge."""
    bearers = {
        name: [("Authorization", f"Bearer {secret}")]
        for name, secret in attacker.secrets.items()
        if name not in {"password", "password hash", "session key"}
    }
    if room != "tenant_plane":
        return {"nothing": [], **bearers}
    basic = base64.b64encode(f"admin:{attacker.secrets['password']}".encode()).decode()
    sessions = {"session": attacker.secrets["session"], **forged_sessions(attacker, victim)}
    forged = {f"{name} as bearer": [("Authorization", f"Bearer {token}")] for name, token in sessions.items()}
    cookies = {
        f"{name} as cookie": [
            ("Cookie", f"umg_session={token}; umg_session_{victim.tenant_id}={token}"),
        ]
        for name, token in sessions.items()
    }
    return {"nothing": [], "password": [("Authorization", f"Basic {basic}")], **bearers, **forged, **cookies}


def forged_sessions(attacker: Tenant, victim: Tenant) -> dict[str, str]:
    """Session tokens with the claims of the victim's real session, which is more than an attacker knows."""
    real = victim.secrets["session"]
    claims = jwt.decode(real, options={"verify_signature": False})
    own = jwt.decode(attacker.secrets["session"], options={"verify_signature": False})
    hs256 = {"alg": "HS256", "typ": "JWT"}
    own_key = attacker.secrets["session key"].encode()
    return {
        "alg none": _token({"alg": "none", "typ": "JWT"}, claims, None),
        "alg None": _token({"alg": "None", "typ": "JWT"}, claims, None),
        "signature cut off": real.rpartition(".")[0] + ".",
        "signed with the attacker's key": _token(hs256, claims, own_key),
        "own session for both audiences": _token(
            hs256, own | {"aud": [attacker.tenant_id, victim.tenant_id]}, own_key
        ),
        "signed with the empty key": _token(hs256, claims, b""),
        "signed with the tenant's id": _token(hs256, claims, victim.tenant_id.encode()),
        "key in the header": _token(
            hs256 | {"jwk": {"kty": "oct", "k": _base64(own_key)}, "kid": "../../dev/null"}, claims, own_key
        ),
    }


def requests(operation: Operation, attacker: Tenant, victim: Tenant) -> Iterator[Request]:
    """The operation in every disguise: the victim in header, query, path and body, alone and beside oneself."""
    named = "&".join(
        f"{name}={victim.tenant_id}" for name in ("tenant_id", "tenantId", "tenant", "X-Tenant-ID")
    )
    declared = "&".join(
        f"{name}=../{victim.tenant_id}" for where, name in operation.parameters if where == "query"
    )
    other: Headers = [("X-Tenant-ID", victim.tenant_id)]
    own: Headers = [("X-Tenant-ID", attacker.tenant_id)]
    proxied: Headers = [
        (name, value)
        for name in ("X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-User", "Forwarded")
        for value in (victim.tenant_id,)
    ]
    disguises: list[tuple[str, Headers, str | None]] = [
        ("", other + proxied, victim.tenant_id),
        (named, own + proxied, attacker.tenant_id),
        (named, [], None),
        ("", own + other, None),
        ("", other + own, None),
    ]
    if declared:
        disguises.append((f"{declared}&{named}", own, attacker.tenant_id))
    for (path, is_hostile), (query, headers, tenant) in itertools.product(
        paths(operation, victim), disguises
    ):
        body, content = body_of(operation, path, attacker, victim.tenant_id)
        url = f"{path}?{query}" if query else path
        yield Request(url, headers + content, body, tenant, is_hostile)


def paths(operation: Operation, victim: Tenant) -> Iterator[tuple[str, bool]]:
    """The operation's path with good values, and with one that names the victim or climbs out."""
    plain = good_values(operation, victim)
    yield operation.path.format(**plain), False
    for name in plain:
        for hostile in (f"..%2F{victim.tenant_id}%2F{plain[name]}", f"{victim.tenant_id}"):
            if hostile != plain[name]:
                yield operation.path.format(**plain | {name: hostile}), True


def good_values(operation: Operation, tenant: Tenant, user: str = "admin") -> dict[str, str]:
    """What stands in the operation's path: what the tenant has, or its id."""
    good = {
        "mart": "installs",
        "date": DATE.isoformat(),
        "key_id": "0" * 16,
        "version": "1",
        "month": "2026-01",
    }
    good |= {
        "destination_id": "0" * 16,
        "delivery_id": "0" * 16,
        "conversion_id": tenant.conversion_id,
        "install_id": exported_install_id(tenant),
        "user": user,
    }
    names = [name for where, name in operation.parameters if where == "path"]
    return {name: good.get(name, tenant.tenant_id) for name in names}


def exported_install_id(tenant: Tenant) -> str:
    """The one install that the tenant's plane holds."""
    return f"{tenant.text}_install_id"


def colleague(tenant: Tenant) -> str:
    """Whom the tenant adds to the users of its plane."""
    return f"{tenant.text}_colleague"


def body_of(operation: Operation, path: str, sender: Tenant, tenant_id: str) -> tuple[bytes | None, Headers]:
    """A right body of this operation that names `tenant_id`, signed as pushes are with the sender's key."""
    if operation.method in {"GET", "DELETE", "HEAD", "OPTIONS"}:
        return None, []
    kind = "application/json"
    if operation.path.endswith("/{mart}/{date}"):
        body, kind = mart_of(tenant_id, sender), PARQUET_TYPE
    elif operation.path.endswith("/batch"):
        body = json.dumps([event(tenant_id, sender)]).encode()
    else:
        body = json.dumps(_documents(tenant_id, sender).get(operation.path, {"tenantId": tenant_id})).encode()
    signature = signature_header(sender.secrets["signing key"], operation.method, path, body)
    key = hashlib.sha256(path.encode() + body).hexdigest()
    return body, [("Content-Type", kind), ("Idempotency-Key", key), *signature.items()]


def mart_of(tenant_id: str, sender: Tenant) -> bytes:
    """An installs file of `tenant_id` with the sender's marks."""
    return parquet_bytes(marked_table(tenant_id, sender.text, sender.number, MARTS["installs"]))


def event(tenant_id: str, sender: Tenant) -> dict[str, Any]:
    """A valid event that names `tenant_id` and bears the sender's marks."""
    return {
        "eventId": sender.event_id,
        "tenantId": tenant_id,
        "timestamp": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "deviceId": f"{sender.text}_device",
        "campaign": f"{sender.text}_campaign",
        "metadata": {"build": sender.text},
    }


def marks_in(content: bytes, tenant: Tenant) -> list[str]:
    """Names of the tenant's marks that the bytes show, Parquet decoded."""
    if content.startswith(b"PAR1"):
        file = pq.ParquetFile(pa.BufferReader(content[: content.rindex(b"PAR1") + 4]))
        content += repr((file.read().to_pylist(), file.metadata.metadata)).encode()
    return [name for name, mark in tenant.marks.items() if mark in content]


def shown(answer: httpx.Response) -> bytes:
    """Everything an answer says: headers and body; the body first, so that Parquet is recognised."""
    return answer.content + b"\n" + b"\n".join(name + b": " + value for name, value in answer.headers.raw)


def _documents(tenant_id: str, sender: Tenant) -> dict[str, Any]:
    features = dict.fromkeys(NUMERIC_FEATURES, 1) | dict.fromkeys(CATEGORICAL_FEATURES, sender.text)
    scored = {"userId": f"{sender.text}_user", "features": features | {"is_organic": True}}
    return {
        "/v1/events/ingest": event(tenant_id, sender),
        "/v2/events/ingest": event(tenant_id, sender),
        "/api/v1/events/ingest": event(tenant_id, sender),
        "/v1/score/ltv": {"tenantId": tenant_id, "items": [scored]},
        "/v1/tenants": {"tenantId": tenant_id, "plan": "enterprise"},
        "/v1/tenants/{tenant_id}/keys": {"kind": "export"},
        "/v1/tenants/{tenant_id}/upgrade": {"plan": "enterprise"},
        "/v1/tenants/{tenant_id}/quotas": {"limits": {"users": 1000}},
        "/v1/tenants/{tenant_id}/rules": {"rules": {}, "effectiveFrom": DATE.isoformat()},
        "/v1/tenants/{tenant_id}/skan-schemas": {
            "document": {"appId": 1, "currency": "USD", "windows": [{"sequenceIndex": 0}]},
            "effectiveFrom": DATE.isoformat(),
        },
        "/api/v1/auth": {"user": f"admin of {sender.tenant_id}", "password": sender.secrets["password"]},
        "/api/v1/auth/password": {
            "current": sender.secrets["password"],
            "new": sender.secrets["password"],
        },
        "/api/v1/users": {"user": colleague(sender), "role": "tenant_admin"},
        "/api/v1/users/{user}": {"role": "tenant_analyst"},
        "/api/v1/ml/scores": {
            "tenantId": tenant_id,
            "model": sender.model,
            "generatedAt": dt.datetime.now(dt.UTC).isoformat(),
            "asOf": DATE.isoformat(),
            "items": [{"userId": f"{sender.text}_user", "score": float(sender.number), "features": {}}],
        },
    }


def _token(header: dict[str, Any], claims: dict[str, Any], key: bytes | None) -> str:
    signed = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
    digest = b"" if key is None else hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64(digest)}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
