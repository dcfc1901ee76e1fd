"""A second opinion on every event, which shares no code with the door: stdlib `json`, Python `jsonschema`, arithmetic.

`Reference.faults` says everything that is wrong with an event as (code, pointer); the door names one of them. The
rules the door has beside the schema (strict RFC 8259, size, nesting, 64-bit integers, tenant, window of time) are
written down here again, those of Apple's postbacks in `skan_reference`. `CORRECTIONS` are the places where the
reference library itself is not what JSON Schema 2020-12 and the RFCs say; each is named in docs/contracts.md.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import jsonschema

from benchmarks.skan_reference import postback_faults
from schemas import event_schemas

Fault = tuple[str, str]

CODES = {
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
NOT_JSON: frozenset[Fault] = frozenset({("not_json", "")})
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DATE_TIME = re.compile(
    r"([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)"
    r"(?:\.([0-9]+))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_UUID = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
_LONG_DIGITS = 25  # more than 64 bits ever have; int() of thousands of them is refused by Python
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_LEAP_MINUTE = 23 * 60 + 59


class Rules(NamedTuple):
    """The door's own limits, in units of their names."""

    tenant_id: str
    event_max_bytes: int = 64 * 1024
    nesting_max: int = 32
    late_us: int = 30 * _DAY_S * 1_000_000
    future_skew_us: int = 300 * 1_000_000


class NotJsonError(ValueError):
    """The bytes are no JSON as RFC 8259 has it between systems."""


class Reference:
    """The second opinion, with the named corrections of the library applied."""

    def __init__(self, rules: Rules, corrections: frozenset[str] = frozenset()) -> None:
        self._rules = rules
        self._corrections = corrections

    def faults(self, raw: bytes, version: str, received_at_us: int) -> frozenset[Fault]:
        """Everything wrong with one event, empty when it is to be accepted."""
        try:
            event = strict_json(raw)
        except NotJsonError:
            return NOT_JSON
        if not isinstance(event, dict):
            return frozenset({("not_an_object", "")})
        event_type = event.get("eventType", "install")
        if not isinstance(event_type, str) or event_type not in event_schemas(version):
            return frozenset({("unknown_type", "/eventType")})
        return frozenset(
            self._all(event, raw, _validator(version, event_type, self._corrections), received_at_us)
        )

    def _all(self, event: dict[str, Any], raw: bytes, validator: Any, received_at_us: int) -> Iterator[Fault]:
        rules = self._rules
        if len(raw.strip(b" \t\r\n")) > rules.event_max_bytes:
            yield "event_too_large", ""
        if _depth(event) > rules.nesting_max:
            yield "nesting_too_deep", ""
            return  # the door does not look into it any further
        if any(isinstance(leaf, int) and not -(2**63) <= leaf < 2**64 for leaf in _leaves(event)):
            yield "number_too_large", ""
        if "tenantId" in event and event["tenantId"] != rules.tenant_id:
            yield "tenant_mismatch", "/tenantId"
        schema_faults = {fault for error in validator.iter_errors(event) for fault in _faults_of(error)}
        yield from (
            fault for fault in schema_faults if fault[1] != "/tenantId" or fault[0] == "missing_field"
        )
        if event.get("eventType") == "skan_postback" and not any(
            pointer.startswith("/postback") for _, pointer in schema_faults
        ):
            yield from postback_faults(event["postback"])
        if not any(pointer == "/timestamp" for _, pointer in schema_faults):
            moment_us = moment_of(event["timestamp"])
            if moment_us is None:
                return  # only the uncorrected library takes such a text for a time
            if moment_us < received_at_us - rules.late_us:
                yield "timestamp_too_old", "/timestamp"
            if moment_us > received_at_us + rules.future_skew_us:
                yield "timestamp_in_future", "/timestamp"


def strict_json(raw: bytes) -> Any:
    """Parse as RFC 8259 asks of systems that exchange JSON: UTF-8, no mark, finite doubles, whole characters.

    Raises:
        NotJsonError: it is something else.
    """
    try:
        value = json.loads(raw.decode(), parse_constant=_refused, parse_float=_finite, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise NotJsonError from error
    if any(isinstance(text, str) and _SURROGATE.search(text) for text in _texts(value)):
        raise NotJsonError("half a surrogate pair")
    return value


def moment_of(text: str) -> int | None:
    """Microseconds since 1970 of an RFC 3339 date-time, by the proleptic Gregorian calendar; digits beyond are cut."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[place]) for place in range(1, 7))
    seconds = _days(year, month, day) * _DAY_S + hour * _HOUR_S + minute * _MINUTE_S + second
    if match[8]:
        offset_s = int(match[9]) * _HOUR_S + int(match[10]) * _MINUTE_S
        seconds += -offset_s if match[8] == "+" else offset_s
    return seconds * 1_000_000 + int(((match[7] or "") + "000000")[:6])


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01, also of the year 0 (Hinnant, "chrono-compatible low-level date algorithms")."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def _refused(constant: str) -> Any:
    raise NotJsonError(constant)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise NotJsonError(digits)
    return value


def _integer(digits: str) -> int:
    sign = -1 if digits.startswith("-") else 1
    return int(digits) if len(digits) <= _LONG_DIGITS else sign * 10**_LONG_DIGITS


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _leaves(value: Any) -> Iterator[Any]:
    pending = [value]
    while pending:
        item = pending.pop()
        if not isinstance(item, dict | list):
            yield item
        pending += _children(item)


def _texts(value: Any) -> Iterator[Any]:
    pending = [value]
    while pending:
        item = pending.pop()
        yield item
        if isinstance(item, dict):
            yield from item
        pending += _children(item)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in _children(item)]
    return depth


def _faults_of(error: Any) -> Iterator[Fault]:
    path = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path)
    if error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield "missing_field", f"{path}/{name}"
    elif error.validator == "additionalProperties":
        names = error.instance.keys() - error.schema["properties"].keys()
        plain = [name for name in names if _PLAIN_NAME.fullmatch(name)]
        yield from (("unknown_field", f"{path}/{name}") for name in plain)
        if not plain:
            yield "unknown_field", path
    else:
        yield CODES[error.validator], path


@cache
def _validator(version: str, event_type: str, corrections: frozenset[str]) -> Any:
    checker = jsonschema.FormatChecker(())
    checker.checkers = dict(jsonschema.Draft202012Validator.FORMAT_CHECKER.checkers)
    for name, check in _FORMAT_CORRECTIONS.items():
        if name in corrections:
            checker.checkers[name] = (check, ())
    replaced = {"pattern": _ecma_pattern} if "pattern" in corrections else {}
    extend: Callable[..., Any] = jsonschema.validators.extend  # it has no types
    validator = extend(jsonschema.Draft202012Validator, replaced)
    return validator(event_schemas(version)[event_type], format_checker=checker)


def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or _UUID.fullmatch(value) is not None


def _is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    match = _DATE_TIME.fullmatch(value)
    if match is None or int(match[3]) > _month_days(int(match[1]), int(match[2])):
        return False
    if int(match[6]) < _MINUTE_S:
        return True
    offset = int(f"{match[8]}1") * (int(match[9]) * 60 + int(match[10])) if match[8] else 0
    return (int(match[4]) * 60 + int(match[5]) - offset) % (24 * 60) == _LEAP_MINUTE


def _month_days(year: int, month: int) -> int:
    return _days(year + month // 12, month % 12 + 1, 1) - _days(year, month, 1)


def _ecma_pattern(_: Any, pattern: str, instance: Any, __: Mapping[str, Any]) -> Iterator[Any]:
    """ECMA-262's `$` is the end of the text; Python's is also before a last line feed."""
    ecma = re.sub(r"\$$", r"\\Z", pattern)
    if isinstance(instance, str) and not re.search(ecma, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


_FORMAT_CORRECTIONS = {"uuid": _is_uuid, "date-time": _is_date_time}
CORRECTIONS = ("pattern", *_FORMAT_CORRECTIONS)
