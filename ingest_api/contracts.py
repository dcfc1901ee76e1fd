"""Contracts: compiled validators per (type, version, tenant), and the verdict on every event.

A batch that is fine costs one jsonschema-rs call per event type in it (0.5 µs per event, 1.2 with nested
metadata); only when that fails is each event looked at. Beyond the schema an event is refused for being too
old, in the future, too large, nested too deep, holding an integer that 64 bits cannot (it would be stored
rounded), or a postback that Apple did not sign. Parsing and its hard cases are `bodies`'; wording is `reasons`'.
"""

from __future__ import annotations

import copy
import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs

from ingest_api import reasons
from ingest_api.event_shape import has_larger_delivery, has_rounded_integer, is_nested_deeper
from ingest_api.reasons import Finding, finding_of
from ingest_api.skan import POSTBACK_TYPE, postback_finding
from ingest_api.timestamps import parse_timestamp
from schemas import event_schemas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest_api.event_log.protocol import BodyFormat
    from resources.settings import Settings

DEFAULT_TYPE = "install"  # the founding example carries no eventType
ACCEPTED = "accepted"
QUARANTINED = "quarantined"
FREE_FORM_FIELDS = ("metadata", "postback")
CACHED_CONTRACTS = 2_048  # 9 types x 227 tenants; compiling one again costs 0.5 ms


class Verdict(NamedTuple):
    """What the door says about one event of a request."""

    at: int
    event_id: str | None
    status: str
    code: str = ""
    pointer: str = ""
    reason: str = ""


class EventLimits(NamedTuple):
    """Limits on one event, from the settings."""

    max_bytes: int
    nesting_max: int
    late: dt.timedelta
    future_skew: dt.timedelta

    @classmethod
    def of(cls, settings: Settings) -> EventLimits:
        """The limits of these settings."""
        return cls(
            settings.event_max_bytes,
            settings.nesting_max,
            dt.timedelta(days=settings.late_days),
            dt.timedelta(seconds=settings.future_skew_s),
        )


class Contract:
    """One event type of one version for one tenant, compiled with `tenantId` pinned."""

    def __init__(self, event_type: str, version: str, tenant_id: str, nesting_max: int) -> None:
        schema = copy.deepcopy(event_schemas(version)[event_type])
        schema["properties"]["tenantId"] = {"const": tenant_id}
        self._one = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        self._many = jsonschema_rs.Draft202012Validator(
            _strict_array(schema, nesting_max), validate_formats=True
        )

    def accepts_all(self, events: Sequence[Any]) -> bool:
        """Whether every event is valid for certain; False sends the caller to `finding` for each."""
        try:
            return bool(self._many.is_valid(events))
        except ValueError:  # nested deeper than the validator follows
            return False

    def finding(self, event: Any) -> Finding | None:
        """The first thing wrong with an event, a wrong tenant before all else. Nesting must be bounded."""
        findings = [finding_of(error) for error in self._one.iter_errors(event)]
        mismatches = [finding for finding in findings if finding.code == reasons.TENANT_MISMATCH]
        return next(iter(mismatches or findings), None)


@lru_cache(maxsize=CACHED_CONTRACTS)
def contract(event_type: str, version: str, tenant_id: str, nesting_max: int) -> Contract:
    """The compiled contract, from the cache where it is there."""
    return Contract(event_type, version, tenant_id, nesting_max)


def _strict_array(schema: dict[str, Any], nesting_max: int) -> dict[str, Any]:
    """The schema of an array of events, stricter in free-form fields: bounded nesting, no rounded integers.

    Stricter only: -2^63 itself and doubles beyond 64 bits fail here and are then judged from their bytes.
    """
    item = copy.deepcopy(schema)
    item.pop("$id", None)
    item.pop("$schema", None)
    for name in FREE_FORM_FIELDS:
        if name in item["properties"]:
            item["properties"][name]["$ref"] = "#/$defs/level1"
    bounds = {"exclusiveMinimum": -(2**63), "exclusiveMaximum": 2**64}
    levels = nesting_max - 1  # the event is one itself
    definitions: dict[str, Any] = {}
    for level in range(1, levels + 1):
        below = {"$ref": f"#/$defs/level{level + 1}"}
        definitions[f"level{level}"] = {**bounds, "additionalProperties": below, "items": below}
    definitions[f"level{levels + 1}"] = {**bounds, "type": ["string", "number", "boolean", "null"]}
    return {"type": "array", "items": item, "$defs": definitions}


class Judge:
    """Verdicts on the parsed events of one tenant's request."""

    def __init__(self, limits: EventLimits, version: str = "v1") -> None:
        self._limits = limits
        self.version = version
        self._types = frozenset(event_schemas(version))

    def all_accepted(
        self, tenant_id: str, events: Sequence[Any], plain: bytes, body_format: BodyFormat, now: dt.datetime
    ) -> bool:
        """Whether every event of a body is fine, the cheap way; False says nothing yet."""
        try:
            by_type = self._by_type(events)
            for event_type, members in by_type.items():
                if not self._contract(event_type, tenant_id).accepts_all(members):
                    return False
            return (
                self._times_are_fine(events, now)
                and not has_larger_delivery(plain, body_format, len(events), self._limits.max_bytes)
                and not any(map(postback_finding, by_type.get(POSTBACK_TYPE, ())))  # last: 79 µs each
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return False  # not an object, an unknown type, a timestamp of the odd kind: `verdicts` says which

    def verdicts(
        self,
        tenant_id: str,
        events: Sequence[Any],
        raws: Sequence[bytes],
        unparsed: dict[int, str],
        now: dt.datetime,
    ) -> list[Verdict]:
        """One verdict per event, from its parsed form and its bytes."""
        verdicts = []
        for at, (event, raw) in enumerate(zip(events, raws, strict=True)):
            if at in unparsed:
                finding: Finding | None = Finding(reasons.NOT_JSON, "", unparsed[at])
            else:
                finding = self.finding(tenant_id, event, raw, now)
            event_id = readable_event_id(event)
            if finding is None:
                verdicts.append(Verdict(at, event_id, ACCEPTED))
            else:
                verdicts.append(Verdict(at, event_id, QUARANTINED, *finding))
        return verdicts

    def finding(self, tenant_id: str, event: Any, raw: bytes, now: dt.datetime) -> Finding | None:
        """What is wrong with one event, None when nothing is."""
        if not isinstance(event, dict):
            return Finding(reasons.NOT_AN_OBJECT, "", "an event is a JSON object")
        event_type = event.get("eventType", DEFAULT_TYPE)
        if not isinstance(event_type, str) or event_type not in self._types:
            known = ", ".join(sorted(self._types))
            return Finding(reasons.UNKNOWN_TYPE, "/eventType", f"/eventType must be one of {known}")
        return (
            self._shape_finding(event, raw)
            or self._contract(event_type, tenant_id).finding(event)
            or self._time_finding(event, now)
            or postback_finding(event)
        )

    def _contract(self, event_type: str, tenant_id: str) -> Contract:
        return contract(event_type, self.version, tenant_id, self._limits.nesting_max)

    def _by_type(self, events: Sequence[Any]) -> dict[str, list[Any]]:
        by_type: dict[str, list[Any]] = {}
        for event in events:
            by_type.setdefault(event.get("eventType", DEFAULT_TYPE), []).append(event)
        return by_type

    def _times_are_fine(self, events: Sequence[Any], now: dt.datetime) -> bool:
        times = [dt.datetime.fromisoformat(event["timestamp"]) for event in events]
        return not times or (
            min(times) >= now - self._limits.late and max(times) <= now + self._limits.future_skew
        )

    def _shape_finding(self, event: dict[str, Any], raw: bytes) -> Finding | None:
        limits = self._limits
        if len(raw) > limits.max_bytes:
            return Finding(
                reasons.EVENT_TOO_LARGE, "", f"the event has {len(raw)} bytes, {limits.max_bytes} are allowed"
            )
        if is_nested_deeper(event, limits.nesting_max):
            return Finding(
                reasons.NESTING_TOO_DEEP,
                "",
                f"arrays and objects nest deeper than {limits.nesting_max} levels",
            )
        if has_rounded_integer(raw):
            return Finding(
                reasons.NUMBER_TOO_LARGE,
                "",
                "an integer does not fit 64 bits and would be rounded: send it as text",
            )
        return None

    def _time_finding(self, event: dict[str, Any], now: dt.datetime) -> Finding | None:
        moment = parse_timestamp(event["timestamp"])
        if moment < now - self._limits.late:
            return Finding(
                reasons.TIMESTAMP_TOO_OLD,
                "/timestamp",
                f"/timestamp is more than {self._limits.late.days} days ago; old exports come in with "
                "`unmogrowp import … --shift auto`, which moves every date by whole days",
            )
        if moment > now + self._limits.future_skew:
            skew_s = int(self._limits.future_skew.total_seconds())
            return Finding(
                reasons.TIMESTAMP_IN_FUTURE,
                "/timestamp",
                f"/timestamp is more than {skew_s} s ahead of our clock",
            )
        return None


def readable_event_id(event: Any) -> str | None:
    """The event's id, lower case, where it is a uuid; anything else is not repeated to anybody."""
    event_id = event.get("eventId") if isinstance(event, dict) else None
    if isinstance(event_id, str) and _UUID.is_valid(event_id):
        return event_id.lower()
    return None


_UUID = jsonschema_rs.Draft202012Validator({"format": "uuid"}, validate_formats=True)
