"""Why an event is refused, in words: validator findings as (code, pointer, reason) that show no value. Pure.

The codes are the quarantine's vocabulary; a reason is one sentence for a person and holds limits and field
names of the contract, never what was sent: it may be personal.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jsonschema_rs import ValidationError

NOT_JSON = "not_json"
NOT_AN_OBJECT = "not_an_object"
UNKNOWN_TYPE = "unknown_type"
TENANT_MISMATCH = "tenant_mismatch"
EVENT_TOO_LARGE = "event_too_large"
NESTING_TOO_DEEP = "nesting_too_deep"
NUMBER_TOO_LARGE = "number_too_large"
TIMESTAMP_TOO_OLD = "timestamp_too_old"
TIMESTAMP_IN_FUTURE = "timestamp_in_future"

_CODES = {
    "required": "missing_field",
    "additionalProperties": "unknown_field",
    "type": "wrong_type",
    "format": "bad_format",
    "anyOf": "bad_format",
    "pattern": "bad_format",
    "enum": "not_allowed",
    "const": "not_allowed",
    "minLength": "too_short",
    "maxLength": "too_long",
    "minimum": "out_of_range",
    "maximum": "out_of_range",
}
# An invented key may itself be personal (a mail address): shown only when it looks like a name of ours.
_PLAIN_FIELD_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,63}$")


class Finding(NamedTuple):
    """One thing wrong with one event."""

    code: str
    pointer: str
    reason: str


def finding_of(error: ValidationError) -> Finding:
    """What a jsonschema-rs error says, without the value."""
    path = list(error.instance_path)
    keyword = error.kind.name
    if path == ["tenantId"] and keyword == "const":
        return Finding(TENANT_MISMATCH, "/tenantId", "tenantId is not the tenant this token belongs to")
    kind = error.kind.as_dict()
    if keyword == "required":
        return _missing(path, str(kind["property"]).strip('"'))
    if keyword == "additionalProperties":
        return _unknown(path, [str(name) for name in kind["unexpected"]])
    pointer = json_pointer(path)
    return Finding(
        _CODES.get(keyword, "invalid"), pointer, f"{pointer or 'the event'} {_demand(keyword, kind)}"
    )


def json_pointer(path: Sequence[str | int]) -> str:
    """RFC 6901 pointer of a path."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _missing(path: list[str | int], name: str) -> Finding:
    pointer = json_pointer([*path, name])
    return Finding("missing_field", pointer, f"{pointer} is required")


def _unknown(path: list[str | int], names: list[str]) -> Finding:
    plain = sorted(name for name in names if _PLAIN_FIELD_NAME.match(name))
    if not plain:
        pointer = json_pointer(path)
        where = pointer or "the event"
        return Finding(
            "unknown_field", pointer, f"{where} has a field the contract does not know: use metadata"
        )
    pointer = json_pointer([*path, plain[0]])
    return Finding(
        "unknown_field", pointer, f"{pointer} is not in the contract: put it into metadata, or drop it"
    )


def _demand(keyword: str, kind: dict[str, object]) -> str:
    """The contract's side of a failed keyword, as the end of a sentence."""
    limit = kind.get("limit")
    demands = {
        "type": "has the wrong JSON type",
        "format": f"must be a valid {kind.get('format')}",
        "anyOf": "must be a valid IPv4 or IPv6 address",
        "pattern": f"must match {kind.get('pattern')}",
        "enum": f"must be one of {kind.get('options')}",
        "const": f"must be {kind.get('expected_value')}",
        "minLength": f"must have at least {limit} characters",
        "maxLength": f"must have at most {limit} characters",
        "minimum": f"must be at least {limit}",
        "maximum": f"must be at most {limit}",
    }
    return demands.get(keyword, "does not match the contract")
