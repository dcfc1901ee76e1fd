"""OpenAPI of the ingest operations, from the event schemas, and of the tokens. No behaviour: see `hot_path`.

Each event schema is one component (`purchase.v2`); a version's operations refer to its own and to those it took
over unchanged.
"""

from __future__ import annotations

from typing import Any

from schemas import event_schema_paths, event_schemas, event_versions

DESCRIPTION = (
    "Events come in here. Each answer of 202 means the events are on disk. An event that its contract "
    "refuses is answered with a JSON pointer and a reason, and is kept in quarantine; nothing sent with a "
    "valid token is lost. The path says which version of the contracts an event is of: `/v1/…`, `/v2/…`; "
    "versions live side by side."
)
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "pointer": {"type": "string", "description": "JSON pointer to the field"},
        "eventId": {"type": ["string", "null"]},
        "quarantined": {"type": "boolean", "description": "true: kept for replay"},
        "quota": {
            "enum": ["events_per_second", "events_per_day"],
            "description": "of a 429: what is used up",
        },
        "limit": {"type": "integer", "description": "of that quota"},
        "instance": {"type": "string", "description": "urn:unmogrowp:trace:<traceId>"},
        "traceId": {"type": "string", "description": "as in `traceparent` and in the door's log"},
    },
}
_VERDICT = {
    "type": "object",
    "required": ["eventId", "status"],
    "properties": {
        "eventId": {"type": ["string", "null"]},
        "status": {"enum": ["accepted", "quarantined"]},
        "code": {"type": "string"},
        "pointer": {"type": "string"},
        "reason": {"type": "string"},
    },
}
_BATCH_ANSWER = {
    "type": "object",
    "required": ["accepted", "quarantined", "events"],
    "properties": {
        "accepted": {"type": "integer"},
        "quarantined": {"type": "integer"},
        "events": {"type": "array", "items": _VERDICT, "description": "one per event, in the order sent"},
    },
}
_PROBLEMS = {
    400: "not JSON, or not what Content-Encoding says; kept in quarantine",
    401: "no valid write token",
    403: "X-Tenant-ID or tenantId is not the token's tenant",
    408: "headers or body came too slowly; nothing was taken",
    413: "over a limit of size or number; nothing was taken",
    415: "unsupported content type, charset or encoding",
    429: "over the tenant's quota, or too much waits for the lander; nothing was taken, come back after Retry-After",
    431: "headers too large or too many; nothing was taken",
    503: "not durable; nothing was taken, come back after Retry-After",
}
_PARAMETERS = [
    {
        "name": "X-Tenant-ID",
        "in": "header",
        "required": True,
        "description": "must be the tenant of the token and of every event",
        "schema": {"type": "string", "pattern": "^[a-z][a-z0-9_]{1,30}$"},
    },
    {"name": "Content-Encoding", "in": "header", "schema": {"enum": ["gzip", "zstd", "identity"]}},
    {
        "name": "traceparent",
        "in": "header",
        "description": "W3C Trace Context; the answer has the same, or one of its own",
        "schema": {"type": "string"},
    },
]


def event_components() -> dict[str, Any]:
    """Component name → event schema, of every version."""
    return {
        _component(version, event_type): schema
        for version in event_versions()
        for event_type, schema in event_schemas(version).items()
    }


def _component(version: str, event_type: str) -> str:
    """The component of a version's type: named after the version that brought it."""
    return f"{event_type}.{event_schema_paths(version)[event_type].parent.name}"


def _any_event(version: str) -> dict[str, Any]:
    """Any event of a version: which one, `eventType` says (absent means install)."""
    references = [f"#/components/schemas/{_component(version, name)}" for name in event_schemas(version)]
    return {"oneOf": [{"$ref": reference} for reference in references]}


def _operation(content: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": _PARAMETERS,
        "security": [{"writeToken": []}],
        **extra,
    }


def _responses(answer: dict[str, Any], more_problems: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    problems: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": {"application/problem+json": {"schema": _PROBLEM}}}
        for status, text in sorted({**_PROBLEMS, **more_problems}.items())
    }
    return {202: {"description": "durable", "content": {"application/json": {"schema": answer}}}, **problems}


SECURITY_SCHEMES = {
    "writeToken": {"type": "http", "scheme": "bearer", "description": "the tenant's write token"},
    "metricsToken": {"type": "http", "scheme": "bearer", "description": "HOME/secrets/metrics.token"},
}
METRICS_DOCUMENTATION: dict[str, Any] = {
    "tags": ["operations"],
    "openapi_extra": {"security": [{"metricsToken": []}]},
    "responses": {
        401: {
            "description": "no scrape token",
            "content": {"application/problem+json": {"schema": _PROBLEM}},
        }
    },
}


def single_documentation(version: str) -> dict[str, Any]:
    """What the API says of taking one event of a version."""
    return {
        "status_code": 202,
        "tags": ["events"],
        "openapi_extra": _operation({"application/json": {"schema": _any_event(version)}}),
        "responses": _responses(_VERDICT, {422: "the event does not match its contract; kept in quarantine"}),
    }


def batch_documentation(version: str) -> dict[str, Any]:
    """What the API says of taking many events of a version."""
    content = {
        "application/json": {"schema": {"type": "array", "items": _any_event(version)}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "one event per line"}},
    }
    return {
        "status_code": 202,
        "tags": ["events"],
        "openapi_extra": _operation(content),
        "responses": _responses(_BATCH_ANSWER, {}),
    }
