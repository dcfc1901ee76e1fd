"""Limits beside the schema: an event's verdict is the same alone, in an array and in lines."""

from __future__ import annotations

import datetime as dt
import uuid

import orjson
import pytest

from ingest_api.contracts import EventLimits, Judge
from ingest_api.event_log.protocol import BodyFormat
from ingest_api.event_shape import has_larger_delivery, has_rounded_integer, is_nested_deeper

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
JUDGE = Judge(EventLimits(64 * 1024, 32, dt.timedelta(days=30), dt.timedelta(seconds=300)))
LIMIT = 64 * 1024


def install(metadata: str = "{}") -> bytes:
    """An install whose metadata is this very text."""
    fields = {
        "eventId": str(uuid.uuid4()),
        "tenantId": "t123",
        "timestamp": "2026-11-20T11:00:00Z",
        "deviceId": "d-1",
        "campaign": "spring",
    }
    return orjson.dumps(fields)[:-1] + b',"metadata":' + metadata.encode() + b"}"


def code_of(raw: bytes) -> str:
    found = JUDGE.finding("t123", orjson.loads(raw), raw, NOW)
    return found.code if found else ""


def is_accepted_in(raws: list[bytes], body_format: BodyFormat) -> bool:
    plain = b"\n".join(raws) if body_format is BodyFormat.NDJSON else b"[" + b",".join(raws) + b"]"
    return JUDGE.all_accepted("t123", [orjson.loads(raw) for raw in raws], plain, body_format, NOW)


def padded(size: int) -> bytes:
    return install("{" + " " * (size - len(install())) + "}")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (padded(LIMIT), ""),
        (padded(LIMIT + 1), "event_too_large"),  # white space counts
        (install('{"a":"' + "\\u0041" * 12_000 + '"}'), "event_too_large"),  # 12 kB once parsed
        (
            install('{"a":"' + "x" * 70_000 + '","a":1}'),
            "event_too_large",
        ),  # of a key whose value is not kept
        (install('{"a":"' + "x" * 60_000 + '"}'), ""),
        (install('{"a":' + "[" * 40 + "]" * 40 + ',"a":1}'), ""),  # deep, and not kept
        (install('{"a":' + "[" * 30 + "]" * 30 + "}"), ""),
        (install('{"a":' + "[" * 31 + "]" * 31 + "}"), "nesting_too_deep"),  # empty, and a level all the same
        (install('{"a":18446744073709551616,"a":1}'), ""),  # wide, and not kept
        (install('{"a":18446744073709551616,"a":1,"b":1e300}'), ""),
        (install('{"a":1,"a":18446744073709551616}'), "number_too_large"),
        (install('{"a":-9223372036854775809}'), "number_too_large"),
        (install('{"a":-9223372036854775808}'), ""),
        (install('{"eventId":"x","b":"eventId"}'), ""),
        (install('{"\\u0065ventId":1}'), ""),
    ],
)
@pytest.mark.parametrize("body_format", [BodyFormat.ARRAY, BodyFormat.NDJSON])
def test_an_event_gets_the_same_verdict_in_a_small_batch_in_a_large_one_and_alone(
    raw: bytes, code: str, body_format: BodyFormat
) -> None:
    assert code_of(raw) == code
    filler = [install('{"a":"' + "x" * 400 + '"}') for _ in range(200)]
    for batch in ([raw], [*filler, raw], [raw, *filler], [*filler[:100], raw, *filler[100:]]):
        is_sure = is_accepted_in(batch, body_format)
        assert not (is_sure and code), "the quick way accepted what the other refuses"
    assert is_accepted_in(filler, body_format)


def test_one_event_cannot_hide_its_size_behind_anothers_escaped_key() -> None:
    hidden = [install().replace(b'"eventId"', b'"\\u0065ventId"') for _ in range(3)]
    keys = ",".join(f'{{"eventId":"{"x" * 29_000}"}}' for _ in range(3))
    large = install(f'{{"a":[{keys}]}}')
    body = b"[" + b",".join([large, *hidden]) + b"]"
    assert body.count(b'"eventId"') == 4
    assert has_larger_delivery(body, BodyFormat.ARRAY, 4, LIMIT)


def test_levels_are_counted_from_the_event_itself() -> None:
    assert not is_nested_deeper(1, 0)
    assert is_nested_deeper({}, 0)
    assert not is_nested_deeper({"a": [1, {"b": 2}]}, 3)
    assert is_nested_deeper({"a": [1, {"b": 2}]}, 2)


@pytest.mark.parametrize(
    ("raw", "expected"), [(b'{"a":"99999999999999999999"}', False), (b"[99999999999999999999]", True)]
)
def test_only_integers_that_are_written_as_such_count_as_rounded(raw: bytes, expected: bool) -> None:
    assert has_rounded_integer(raw) == expected
