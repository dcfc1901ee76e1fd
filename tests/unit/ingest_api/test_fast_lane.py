"""The native scan: certain about ordinary events, never where the full path refuses, whatever the bytes are."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingest_api import fast_lane
from ingest_api.bodies import BodyUnreadableError, parsed, raw_deliveries
from ingest_api.contracts import ACCEPTED, EventLimits, Judge
from ingest_api.event_log.protocol import BodyFormat
from schemas import event_schemas, event_versions
from tests.support.door import TENANT, click, founding_event, now_text

pytestmark = pytest.mark.skipif(
    not fast_lane.is_built(), reason="the native scan was not built: no C compiler at `make setup`"
)
LIMITS = EventLimits(64 * 1024, 32, dt.timedelta(days=30), dt.timedelta(seconds=300))
LANES = fast_lane.lanes(LIMITS, 10_000)
JUDGES = {version: Judge(LIMITS, version) for version in event_versions()}


def now_us() -> int:
    return int(dt.datetime.now(dt.UTC).timestamp() * 1e6)


def ids(body: bytes, body_format: BodyFormat = BodyFormat.JSON, version: str = "v1") -> list[str] | None:
    return LANES[version].certain_ids(TENANT, body, body_format, now_us())


def full_path_accepts(body: bytes, body_format: BodyFormat, version: str = "v1") -> list[str] | None:
    """The ids when parser and validator accept every event, else None."""
    try:
        deliveries = parsed(body, body_format)
    except BodyUnreadableError:
        return None
    raws = raw_deliveries(body, body_format)
    verdicts = JUDGES[version].verdicts(
        TENANT, deliveries.events, raws, deliveries.unparsed, dt.datetime.now(dt.UTC)
    )
    if any(verdict.status != ACCEPTED for verdict in verdicts):
        return None
    return [str(verdict.event_id) for verdict in verdicts]


def examples(version: str) -> list[dict[str, Any]]:
    return [
        {**example, "tenantId": TENANT, "timestamp": now_text()}
        for schema in event_schemas(version).values()
        for example in schema["examples"]
    ]


@pytest.mark.parametrize("version", event_versions())
def test_every_type_takes_the_lane_but_the_one_with_a_rule_it_lacks(version: str) -> None:
    missing = [name for name, rules in fast_lane.rules_of_types(version).items() if rules is None]
    assert missing == ["skan_postback"]
    ordinary = [event for event in examples(version) if event.get("eventType") not in missing]
    body = b"\n".join(map(orjson.dumps, ordinary))
    assert ids(body, BodyFormat.NDJSON, version) == [event["eventId"].lower() for event in ordinary]
    assert ids(orjson.dumps(ordinary), BodyFormat.ARRAY, version) == ids(body, BodyFormat.NDJSON, version)


def test_an_unknown_keyword_leaves_the_type_to_the_full_path(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = event_schemas("v1")["session"]
    properties = {**schema["properties"], "sessionId": {"type": "string", "contentEncoding": "base64"}}
    monkeypatch.setattr(
        fast_lane, "event_schemas", lambda _: {"session": {**schema, "properties": properties}}
    )
    assert fast_lane.rules_of_types("v1") == {"session": None}


ODD = {
    "escape in a limited text": {"campaign": 'a"b'},
    "unknown field": {"surprise": 1},
    "another tenant": {"tenantId": "t456"},
    "upper-case country expected": {"country": "de"},
    "too long": {"campaign": "x" * 257},
    "empty": {"campaign": ""},
    "integer as text": {"metadata": 5},
    "wide integer": {"metadata": {"n": 10**18}},
    "no zone": {"timestamp": "2026-11-02T08:30:00"},
    "late": {"timestamp": now_text(dt.timedelta(days=-31))},
    "future": {"timestamp": now_text(dt.timedelta(days=1))},  # the suite may run for an hour before this
    "not a uuid": {"eventId": "6f1c2b9e-0f5d-4c6e-9a57-1d1f0c0a7e0"},
    "bad address": {"ip": "192.0.2.256"},
    "address with a zone": {"ip": "fe80::1%eth0"},
    "unknown type": {"eventType": "purchased"},
    "wide object": {"metadata": {str(number): 1 for number in range(65)}},
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_not_certain(name: str) -> None:
    assert ids(orjson.dumps({**click(), **ODD[name]})) is None


ODD_BYTES = {
    "duplicate key": b'{"a":1,"a":2}',
    "escaped key": b'{"\\u0061":1}',
    "surrogate": b'{"a":"\\ud83d\\ude42"}',
    "lone surrogate": b'{"a":"\\ud83d"}',
    "large exponent": b'{"a":1e400}',
    "leading zero": b'{"a":01}',
    "NaN": b'{"a":NaN}',
    "plus": b'{"a":+1}',
    "trailing comma": b'{"a":1,}',
    "control character": b'{"a":"\x01"}',
    "overlong UTF-8": b'{"a":"\xc0\xaf"}',
    "UTF-8 surrogate": b'{"a":"\xed\xa0\x80"}',
    "beyond Unicode": b'{"a":"\xf4\x90\x80\x80"}',
    "cut UTF-8": b'{"a":"\xe2\x82"}',
    "33 levels": b'{"a":' * 32 + b"1" + b"}" * 32,
    "NUL": b'{"a":\x00}',
}


@pytest.mark.parametrize("name", ODD_BYTES)
def test_odd_bytes_are_not_certain(name: str) -> None:
    body = orjson.dumps(click(metadata={})).replace(b'"metadata":{}', b'"metadata":' + ODD_BYTES[name])
    assert ids(body) is None


def test_what_is_legal_in_free_form_is_certain() -> None:
    text = b'"text":"\\u017c\\n\xc5\xbc\xf0\x9f\x99\x82\\/"'
    kept = b'{"deep":[[1.5,null,true,-0,1E+5]],%s,"":"","n":-999999999999999999}' % text
    body = orjson.dumps(click(metadata={})).replace(b'"metadata":{}', b' "metadata" : ' + kept)
    assert ids(body) == full_path_accepts(body, BodyFormat.JSON)
    assert ids(body)


def test_a_line_holds_one_event_and_nothing_of_the_next() -> None:
    first, second = orjson.dumps(click()), orjson.dumps(founding_event())
    assert ids(b"\r\n \n" + first + b" \r\n\n" + second, BodyFormat.NDJSON)
    assert ids(first + b" " + second, BodyFormat.NDJSON) is None
    broken = first.replace(b",", b",\n", 1)
    assert ids(broken, BodyFormat.NDJSON) is None
    assert ids(broken, BodyFormat.JSON)


@pytest.mark.parametrize("body", [b"", b"[]", b"[ ]", b" ", b"[", b"]", b"{}", b"[{}]", b"[,]", b"null"])
def test_nothing_and_nonsense_go_the_full_way(body: bytes) -> None:
    assert all(ids(body, body_format) is None for body_format in list(BodyFormat)[:3])


def test_more_events_than_allowed_go_the_full_way() -> None:
    body = b"\n".join(orjson.dumps(click()) for _ in range(11))
    assert (
        len(fast_lane.lanes(LIMITS, 11)["v1"].certain_ids(TENANT, body, BodyFormat.NDJSON, now_us()) or ())
        == 11
    )
    assert fast_lane.lanes(LIMITS, 10)["v1"].certain_ids(TENANT, body, BodyFormat.NDJSON, now_us()) is None


def test_damaged_bodies_are_never_certain_where_the_full_path_refuses() -> None:
    """Bytes changed, cut and doubled at random: the scan reads within them and stays behind the full path."""
    rng = random.Random(7)  # noqa: S311 - repeatable damage, not a secret
    one_of_each = {event.get("eventType"): event for event in examples("v1")}
    pool = [orjson.dumps(event) for event in one_of_each.values()]
    certain = 0
    for _ in range(4_000):
        body = bytearray(rng.choice(pool) if rng.random() < 0.5 else b"\n".join(rng.sample(pool, 3)))
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(body))
            change = rng.choice(["set", "cut", "insert", "drop"])
            if change == "set":
                body[at] = rng.choice(b'"\\{}[],:0e-u\n\x00\xff\xc3 a')
            elif change == "cut":
                del body[at + 1 :]
            elif change == "insert":
                body[at:at] = rng.choice([b'"', b"{", b"\\u12", b",", b"1e5", b"\n", b"\xf0\x9f"])
            else:
                del body[at : at + rng.randrange(1, 9)]
        body_format = rng.choice([BodyFormat.JSON, BodyFormat.NDJSON, BodyFormat.ARRAY])
        found = ids(bytes(body), body_format)
        if found is not None:
            certain += 1
            assert found == full_path_accepts(bytes(body), body_format)
    assert certain > 300  # else the test looks at nothing


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(metadata=st.dictionaries(st.text(), JSON_VALUES, max_size=5), campaign=st.text(), ip=st.ip_addresses())
def test_certain_implies_accepted(metadata: dict[str, Any], campaign: str, ip: Any) -> None:
    import json  # noqa: PLC0415 - it writes what orjson refuses to

    event = {**click(), "metadata": metadata, "campaign": campaign, "ip": str(ip)}
    body = json.dumps(event, ensure_ascii=False).encode(errors="surrogatepass")
    found = ids(body)
    assert found is None or found == full_path_accepts(body, BodyFormat.JSON)
