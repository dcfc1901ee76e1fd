"""Bodies that are not what they should be, each case by its name, over HTTP: refused, kept, and harmless to others."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
import zstandard

from ingest_api.bodies import ZSTD_WINDOW_MAX_BYTES
from ingest_api.event_log.protocol import LogRecord
from resources.settings import Settings
from tests.support.door import RunningDoor, assert_problem, click, founding_event, logged

NDJSON = "application/x-ndjson"


def with_metadata(raw: bytes) -> bytes:
    """A click whose metadata holds these very bytes as a value."""
    return orjson.dumps(click(metadata={"here": "PLACE"})).replace(b'"PLACE"', raw)


def skippable(content: bytes) -> bytes:
    return (0x184D2A50).to_bytes(4, "little") + len(content).to_bytes(4, "little") + content


NO_JSON = {
    "NaN": with_metadata(b"NaN"),
    "Infinity": with_metadata(b"Infinity"),
    "-Infinity": with_metadata(b"-Infinity"),
    "1e400": with_metadata(b"1e400"),
    "-1e400": with_metadata(b"-1e400"),
    "an integer of 5,000 digits": with_metadata(b"9" * 5_000),
    "lone high surrogate": with_metadata(rb'"\ud83d"'),
    "lone low surrogate": with_metadata(rb'"\ude00"'),
    "surrogates the wrong way round": with_metadata(rb'"\ude00\ud83d"'),
    "invalid UTF-8": with_metadata(b'"\xff"'),
    "overlong UTF-8": with_metadata(b'"\xc0\xaf"'),
    "a surrogate in UTF-8": with_metadata(b'"\xed\xa0\x80"'),
    "UTF-8 cut off": with_metadata(b'"\xe2\x82"'),
    "byte order mark": b"\xef\xbb\xbf" + with_metadata(b"1"),
    "UTF-16": with_metadata(b"1").decode().encode("utf-16"),
    "trailing garbage": with_metadata(b"1") + b"x",
    "a second value": with_metadata(b"1") + b"{}",
    "trailing comma": with_metadata(b"[1,]"),
    "a comment": with_metadata(b"1/*2*/"),
    "single quotes": with_metadata(b"'1'"),
    "leading zero": with_metadata(b"01"),
    "plus sign": with_metadata(b"+1"),
    "bare fraction": with_metadata(b".5"),
    "hexadecimal": with_metadata(b"0x10"),
    "control character in a string": with_metadata(b'"\x01"'),
    "NUL byte": with_metadata(b"1") + b"\x00",
    "arrays deeper than any parser follows": with_metadata(b"[" * 2_000 + b"]" * 2_000),
    "objects deeper than any parser follows": with_metadata(b'{"a":' * 2_000 + b"1" + b"}" * 2_000),
}
REFUSED = {
    "an integer of 20 digits": (with_metadata(b"18446744073709551616"), "number_too_large"),
    "a negative integer of 19 digits": (with_metadata(b"-9223372036854775809"), "number_too_large"),
    "an integer of 300 digits": (with_metadata(b"9" * 300), "number_too_large"),
    "arrays deeper than allowed": (with_metadata(b"[" * 40 + b"]" * 40), "nesting_too_deep"),
    "objects deeper than allowed": (
        with_metadata(b'{"a":' * 40 + b"1" + b"}" * 40),
        "nesting_too_deep",
    ),
    "an event of more than 64 KiB": (with_metadata(b'"' + b"x" * 66_000 + b'"'), "event_too_large"),
    "a number": (b"5", "not_an_object"),
    "null": (b"null", "not_an_object"),
    "an array": (b"[]", "not_an_object"),
}
ACCEPTED = {
    "duplicate keys": with_metadata(b'{"a":1,"a":2}'),
    "the largest integer": with_metadata(b"18446744073709551615"),
    "the smallest integer": with_metadata(b"-9223372036854775808"),
    "the largest double": with_metadata(b"1.7976931348623157e308"),
    "a number below the smallest double": with_metadata(b"1e-400"),
    "a pair of surrogates": with_metadata(rb'"\ud83d\ude00"'),
    "an escaped NUL": with_metadata(rb'"\u0000"'),
    "nesting up to the limit": with_metadata(b"[" * 30 + b"]" * 30),
    "white space around": b" \t\r" + with_metadata(b"1") + b" \t\r",
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoor]:
    """One door for all: whatever is sent to it must not hurt the next."""
    with RunningDoor(Settings(home=tmp_path_factory.mktemp("door"))) as running:
        yield running


@pytest.fixture
def kept(door: RunningDoor) -> Callable[[], list[LogRecord]]:
    """What the log has taken since the test began."""
    before = len(logged(door.settings))
    return lambda: logged(door.settings)[before:]


Kept = Callable[[], list[LogRecord]]


@pytest.mark.parametrize("case", NO_JSON)
def test_a_batch_that_is_no_json_is_400_and_kept(door: RunningDoor, kept: Kept, case: str) -> None:
    body = b"[" + orjson.dumps(click()) + b"," + NO_JSON[case] + b"]"
    if case in ("byte order mark", "UTF-16"):
        body = NO_JSON[case]
    assert assert_problem(door.send_batch(body), 400, "not_json")["quarantined"]
    [record] = kept()
    assert (record.body, record.event_count) == (body, 1)


@pytest.mark.parametrize("case", [case for case in NO_JSON if case != "UTF-16"])
def test_a_line_that_is_no_json_leaves_its_neighbours_alone(door: RunningDoor, case: str) -> None:
    body = b"\n".join([orjson.dumps(click()), NO_JSON[case], orjson.dumps(click())])
    answer = door.send_batch(body, Content_Type=NDJSON).json()
    assert [row.get("code") for row in answer["events"]] == [None, "not_json", None]


@pytest.mark.parametrize("case", NO_JSON)
def test_a_single_event_that_is_no_json_is_400_and_kept(door: RunningDoor, kept: Kept, case: str) -> None:
    response = door.client.post("/v1/events/ingest", content=NO_JSON[case])
    assert assert_problem(response, 400, "not_json")["quarantined"]
    assert kept()[0].body == NO_JSON[case]


@pytest.mark.parametrize("case", REFUSED)
def test_an_event_beyond_a_limit_is_refused_by_name_and_its_neighbours_are_not(
    door: RunningDoor, case: str
) -> None:
    raw, code = REFUSED[case]
    for body, kind in (
        (b"[" + orjson.dumps(click()) + b"," + raw + b"]", "application/json"),
        (orjson.dumps(click()) + b"\n" + raw, NDJSON),
    ):
        answer = door.send_batch(body, Content_Type=kind).json()
        assert [row.get("code") for row in answer["events"]] == [None, code]


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_is_odd_but_json_is_taken(door: RunningDoor, case: str) -> None:
    answer: dict[str, Any] = door.send_batch(b"[" + ACCEPTED[case] + b"]").json()
    assert (answer["accepted"], answer["quarantined"]) == (1, 0)
    answer = door.send_batch(ACCEPTED[case], Content_Type=NDJSON).json()
    assert (answer["accepted"], answer["quarantined"]) == (1, 0)


@pytest.mark.parametrize("body", [b"", b" \r\n", b"\n\n\n"])
def test_an_empty_body_is_400_as_json_and_no_event_as_lines(door: RunningDoor, body: bytes) -> None:
    assert_problem(door.send_batch(body), 400, "not_json")
    assert_problem(door.client.post("/v1/events/ingest", content=body), 400, "not_json")
    answer = door.send_batch(body, Content_Type=NDJSON).json()
    assert answer == {"accepted": 0, "quarantined": 0, "events": []}


@pytest.mark.parametrize(
    "encodings", ["gzip, gzip", "gzip, zstd", "identity, gzip", "gzip;q=1", "deflate", "*"]
)
def test_a_list_of_encodings_or_another_one_is_415(door: RunningDoor, kept: Kept, encodings: str) -> None:
    body = gzip.compress(gzip.compress(b"[]"))
    assert_problem(door.send_batch(body, Content_Encoding=encodings), 415, "unsupported_media_type")
    assert kept() == []


@pytest.mark.parametrize("parameters", ["charset=latin-1", 'charset="utf-16"', "profile=x; charset=utf-16"])
def test_another_charset_is_415_wherever_it_is_said(door: RunningDoor, parameters: str) -> None:
    response = door.send_batch(b"[]", Content_Type=f"application/json; {parameters}")
    assert_problem(response, 415, "unsupported_media_type")


BAD_PACKINGS = {
    "gzip that holds gzip": ("gzip", gzip.compress(gzip.compress(b"[]")), "not_json"),
    "gzip with garbage behind": ("gzip", gzip.compress(b"[]") + b"garbage", "bad_encoding"),
    "gzip with a wrong checksum": ("gzip", gzip.compress(b"[]")[:-8] + bytes(8), "bad_encoding"),
    "zlib in place of gzip": ("gzip", zlib.compress(b"[]"), "bad_encoding"),
    "gzip of nothing": ("gzip", b"", "not_json"),
    "zstd of nothing": ("zstd", b"", "bad_encoding"),
    "two zstd frames": ("zstd", zstandard.compress(b"[") + zstandard.compress(b"]"), "bad_encoding"),
    "zstd behind a skippable frame": ("zstd", skippable(b"x") + zstandard.compress(b"[]"), "bad_encoding"),
    "a zstd frame of an unknown dictionary": (
        "zstd",
        zstandard.ZstdCompressor(
            dict_data=zstandard.train_dictionary(1_024, [b"sample %d of many" % n for n in range(2_000)])
        ).compress(b"[]"),
        "bad_encoding",
    ),
    "gzip said to be zstd": ("zstd", gzip.compress(b"[]"), "bad_encoding"),
}


@pytest.mark.parametrize("case", BAD_PACKINGS)
def test_a_body_that_is_packed_wrongly_is_400_and_kept(door: RunningDoor, kept: Kept, case: str) -> None:
    encoding, body, code = BAD_PACKINGS[case]
    assert_problem(door.send_batch(body, Content_Encoding=encoding), 400, code)
    assert kept()[0].body == body


@pytest.mark.parametrize("is_sized", [True, False])
def test_a_zstd_frame_that_wants_a_larger_window_is_refused_before_it_gets_one(
    door: RunningDoor, is_sized: bool
) -> None:
    window_log = ZSTD_WINDOW_MAX_BYTES.bit_length()  # the next larger one
    parameters = zstandard.ZstdCompressionParameters(
        window_log=window_log, enable_ldm=True, write_content_size=is_sized
    )
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = stream.compress(b"[" + b" " * (3 * ZSTD_WINDOW_MAX_BYTES)) + stream.flush(
        zstandard.COMPRESSOBJ_FLUSH_BLOCK
    )
    body += stream.compress(b"]") + stream.flush()
    assert zstandard.get_frame_parameters(body).window_size > ZSTD_WINDOW_MAX_BYTES
    response = door.send_batch(body, Content_Encoding="zstd")
    assert_problem(response, 400, "bad_encoding")


def test_an_event_packed_within_one_request_is_held_to_the_events_limit(door: RunningDoor) -> None:
    large = gzip.compress(orjson.dumps(founding_event(metadata={"a": "x" * 70_000})))
    response = door.client.post("/v1/events/ingest", content=large, headers={"Content-Encoding": "gzip"})
    assert_problem(response, 413, "too_large")


@pytest.mark.parametrize("kind", ["application/json", NDJSON])
def test_more_events_than_allowed_are_413_whatever_they_are(door: RunningDoor, kept: Kept, kind: str) -> None:
    between, around = (b"\n", (b"", b"")) if kind == NDJSON else (b",", (b"[", b"]"))
    for element in (b"1", b"[]", b"{}", b'"a"'):
        body = around[0] + between.join([element] * 10_001) + around[1]
        assert_problem(door.send_batch(body, Content_Type=kind), 413, "too_many_events")
    assert kept() == []


def test_blank_lines_are_no_events(door: RunningDoor) -> None:
    body = b"\r\n\n" * 20_000 + orjson.dumps(click()) + b"\n" * 20_000
    assert door.send_batch(body, Content_Type=NDJSON).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        (b"[],", "application/json"),
        (b'{"a":{}},', "application/json"),
        (b'"",', "application/json"),
        (b"\n", NDJSON),
        (b"1 \n", NDJSON),
    ],
)
def test_more_values_than_allowed_are_413_before_they_are_made(
    door: RunningDoor, kept: Kept, piece: bytes, kind: str
) -> None:
    body = gzip.compress(b"[" + piece * 1_200_000, 1)
    expected = "too_many_events" if piece == b"1 \n" else "too_many_values"
    assert_problem(door.send_batch(body, Content_Type=kind, Content_Encoding="gzip"), 413, expected)
    assert kept() == []
