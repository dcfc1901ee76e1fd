"""Verdicts: what each contract takes, what it refuses, and with which words."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingest_api.bodies import has_wide_integer, raw_deliveries
from ingest_api.contracts import EventLimits, Judge
from ingest_api.event_log.protocol import BodyFormat
from ingest_api.event_shape import is_nested_deeper
from ingest_api.reasons import Finding
from ingest_api.timestamps import parse_timestamp
from schemas import event_schemas

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
JUDGE = Judge(EventLimits(64 * 1024, 32, dt.timedelta(days=30), dt.timedelta(seconds=300)))
EXAMPLES = [
    pytest.param(example, id=f"{name}-{number}")
    for name, schema in event_schemas("v1").items()
    for number, example in enumerate(schema["examples"])
]


def install(**fields: Any) -> dict[str, Any]:
    return {
        "eventId": "6f1c2b9e-0f5d-4c6e-9a57-1d1f0c0a7e01",
        "tenantId": "t123",
        "timestamp": "2026-11-20T11:00:00Z",
        "deviceId": "d-1",
        "campaign": "spring",
        **fields,
    }


def finding(event: Any) -> Finding | None:
    raw = orjson.dumps(event)
    found = JUDGE.finding("t123", event, raw, NOW)
    is_fast = JUDGE.all_accepted("t123", [event], raw, BodyFormat.JSON, NOW)
    assert not (is_fast and found), "the fast path accepted what the slow one refuses"
    return found


def code(event: Any) -> str | None:
    found = finding(event)
    return found.code if found else None


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_every_schema_is_accepted(example: dict[str, Any]) -> None:
    event = {**example, "timestamp": "2026-11-20T11:00:00Z"}
    assert finding(event) is None
    assert JUDGE.all_accepted("t123", [event], orjson.dumps(event), BodyFormat.JSON, NOW)


@pytest.mark.parametrize("source", ["ad_network", "organic", "cross"])
def test_the_founding_example_is_an_install_without_a_type(source: str) -> None:
    assert code(install(source=source, metadata={"any": ["thing", None, 1.5]})) is None


@pytest.mark.parametrize("name", ["eventId", "tenantId", "timestamp", "deviceId", "campaign"])
def test_each_required_field_is_missed_by_name(name: str) -> None:
    event = install()
    del event[name]
    assert finding(event) == Finding("missing_field", f"/{name}", f"/{name} is required")


@pytest.mark.parametrize(
    ("fields", "expected_code", "pointer"),
    [
        ({"tenantId": "t456"}, "tenant_mismatch", "/tenantId"),
        ({"eventId": "not-a-uuid"}, "bad_format", "/eventId"),
        ({"eventId": 5}, "wrong_type", "/eventId"),
        ({"timestamp": "2026-11-20T11:00:00"}, "bad_format", "/timestamp"),
        ({"timestamp": "2026-11-20 11:00:00Z"}, "bad_format", "/timestamp"),
        ({"timestamp": "2026-11-20T11:00:00." + "0" * 60 + "Z"}, "too_long", "/timestamp"),
        ({"campaign": ""}, "too_short", "/campaign"),
        ({"deviceId": "d" * 129}, "too_long", "/deviceId"),
        ({"source": "net_alpha"}, "not_allowed", "/source"),
        ({"country": "Germany"}, "bad_format", "/country"),
        ({"ip": "10.0.0.256"}, "bad_format", "/ip"),
        ({"metadata": []}, "wrong_type", "/metadata"),
        ({"referrer": {}}, "missing_field", "/referrer/clickId"),
        ({"referrer": {"clickId": "c", "x": 1}}, "unknown_field", "/referrer/x"),
        ({"colour": "red"}, "unknown_field", "/colour"),
        ({"eventType": "instal"}, "unknown_type", "/eventType"),
        ({"eventType": None}, "unknown_type", "/eventType"),
        ({"eventType": ["install"]}, "unknown_type", "/eventType"),
        ({"eventType": "purchase"}, "missing_field", "/revenueMicros"),
    ],
)
def test_a_fault_is_named_by_code_and_pointer(
    fields: dict[str, Any], expected_code: str, pointer: str
) -> None:
    found = finding(install(**fields))
    assert found is not None
    assert (found.code, found.pointer) == (expected_code, pointer)


def test_no_reason_repeats_what_was_sent() -> None:
    secret = "jane.doe@example.com"
    for fields in (
        dict.fromkeys(
            ("deviceId", "userId", "ip", "userAgent", "campaign", "eventId", "timestamp"), secret * 60
        ),
        {secret: 1},
        {"metadata": secret},
        {"tenantId": secret},
        {"eventType": secret},
    ):
        for name, value in fields.items():
            assert secret not in repr(finding(install(**{name: value})))


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("2026-10-21T12:00:00Z", None),
        ("2026-10-21T11:59:59.999Z", "timestamp_too_old"),
        ("2026-11-20T12:05:00Z", None),
        ("2026-11-20T12:05:00.001Z", "timestamp_in_future"),
        ("2026-11-20t13:05:00z", "timestamp_in_future"),
        ("2026-11-20t11:05:00z", None),
        ("2026-11-20T23:59:59+12:00", None),
        ("0000-01-01T00:00:00Z", "timestamp_too_old"),
        ("0001-01-01T00:00:00+23:59", "timestamp_too_old"),
        ("9999-12-31T23:59:59-23:59", "timestamp_in_future"),
        ("2016-12-31T23:59:60Z", "timestamp_too_old"),
    ],
)
def test_the_window_of_time_is_exact(timestamp: str, expected: str | None) -> None:
    assert code(install(timestamp=timestamp)) == expected


def test_an_event_that_is_too_old_is_told_the_way_in() -> None:
    found = finding(install(timestamp="2017-11-08T00:00:00Z"))
    assert found is not None
    assert "unmogrowp import" in found.reason
    assert "--shift auto" in found.reason


def test_odd_timestamps_are_the_moments_they_name() -> None:
    assert parse_timestamp("2016-12-31T23:59:60Z") == dt.datetime(2017, 1, 1, tzinfo=dt.UTC)
    assert parse_timestamp("2016-12-31T15:59:60.25-08:00") == dt.datetime(
        2017, 1, 1, 0, 0, 0, 250_000, dt.UTC
    )
    assert parse_timestamp("2026-11-02t08:30:00.123456789z").microsecond == 123_456
    with pytest.raises(ValueError, match="zone"):
        parse_timestamp("2026-11-02T08:30:00")


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return install(metadata=value)


def test_nesting_is_bounded_at_32_levels_with_the_event_itself() -> None:
    assert code(nested(31)) is None
    assert code(nested(32)) == "nesting_too_deep"
    assert code(nested(200)) == "nesting_too_deep"


def test_an_event_is_bounded_by_its_bytes_also_in_a_large_batch() -> None:
    assert code(install(metadata={"a": "x" * 60_000})) is None
    big = install(metadata={"a": "x" * 66_000})
    assert code(big) == "event_too_large"
    batch = [install(), big]
    assert not JUDGE.all_accepted("t123", batch, orjson.dumps(batch), BodyFormat.ARRAY, NOW)


def judged_text(number: str) -> str | None:
    raw = orjson.dumps(install(metadata={"n": "@"})).replace(b'"@"', number.encode())
    found = JUDGE.finding("t123", orjson.loads(raw), raw, NOW)
    assert not (JUDGE.all_accepted("t123", [orjson.loads(raw)], raw, BodyFormat.JSON, NOW) and found)
    return found.code if found else None


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("18446744073709551615", None),
        ("18446744073709551616", "number_too_large"),
        ("-9223372036854775808", None),
        ("-9223372036854775809", "number_too_large"),
        ("1" * 300, "number_too_large"),
        ("123123123123123123123123.0", None),
        ("1e300", None),
        ("1E+0000000000000000000000000001", None),
        ("0.12345678901234567890123456789", None),
        ('"18446744073709551616"', None),
    ],
)
def test_integers_that_would_be_rounded_are_refused_and_no_others(number: str, expected: str | None) -> None:
    assert judged_text(number) == expected


def test_integers_in_strings_and_structure_in_strings_do_not_count() -> None:
    raw = b'{"a":"[[[[{\\"{{ 99999999999999999999999","b":[[1]]}'
    assert not has_wide_integer(raw)
    assert is_nested_deeper(orjson.loads(raw), 2)
    assert not is_nested_deeper(orjson.loads(raw), 3)


@pytest.mark.parametrize("event", [None, 1, "x", [], [install()], True])
def test_what_is_no_object_is_no_event(event: Any) -> None:
    assert code(event) == "not_an_object"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=6))
@hypothesis_settings(max_examples=150, deadline=None)
def test_an_array_splits_into_the_very_bytes_of_its_elements(values: list[Any]) -> None:
    body = orjson.dumps(values, option=orjson.OPT_INDENT_2)
    parts = raw_deliveries(body, BodyFormat.ARRAY)
    assert [orjson.loads(part) for part in parts] == orjson.loads(body)


mutations = st.dictionaries(
    st.sampled_from(
        [
            "eventId",
            "tenantId",
            "timestamp",
            "deviceId",
            "campaign",
            "source",
            "ip",
            "country",
            "osVersion",
            "referrer",
            "platform",
            "metadata",
            "clickId",
            "new",
        ]
    ),
    json_values | st.sampled_from(["t123", "organic", "10.0.0.1", "::1", "DE", "ios", {"clickId": "c"}, {}]),
    max_size=3,
)


@given(mutations, st.sets(st.sampled_from(["eventId", "deviceId", "campaign", "source"]), max_size=2))
@hypothesis_settings(max_examples=300, deadline=None)
def test_the_verdict_agrees_with_the_reference_validator(changes: dict[str, Any], dropped: set[str]) -> None:
    event = {name: value for name, value in install(**changes).items() if name not in dropped}
    schema = event_schemas("v1")["install"]
    checker = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    is_valid = checker.is_valid(event) and event["tenantId"] == "t123"
    found = finding(event)
    assert is_valid == (found is None), found


def test_event_ids_are_read_only_where_they_are_ids() -> None:
    [verdict] = JUDGE.verdicts("t123", [{"eventId": str(uuid.UUID(int=5)).upper()}], [b"{}"], {}, NOW)
    assert verdict.event_id == str(uuid.UUID(int=5))
    [verdict] = JUDGE.verdicts("t123", [{"eventId": "jane"}], [b"{}"], {}, NOW)
    assert verdict.event_id is None
