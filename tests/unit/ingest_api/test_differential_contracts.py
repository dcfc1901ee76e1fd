"""The door's verdicts are the reference validator's: on mutated events, the JSON parsing suite, and naughty strings.

The full form is `python -m benchmarks.differential --events 100000`; differences with a name are in
docs/contracts.md.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from benchmarks.differential import Comparison, compare_mutated, is_agreed, main, rules_of_defaults
from benchmarks.harness import default_settings
from benchmarks.in_process_door import TENANT, InProcessDoor, Outcome, Verdict
from benchmarks.mutations import Mutator
from benchmarks.reference import (
    CORRECTIONS,
    NOT_JSON,
    NotJsonError,
    Reference,
    moment_of,
    strict_json,
)
from ingest_api import fast_lane
from ingest_api.event_log.protocol import BodyFormat
from ingest_api.timestamps import EARLIEST_UTC, parse_timestamp
from resources.settings import APPLICATION_ROOT
from schemas import event_schemas, event_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = APPLICATION_ROOT.parent / "shared" / "data"
SUITE = DATA / "json_test_suite" / "test_parsing"
NAUGHTY = DATA / "blns" / "blns.json"
needs_suite = pytest.mark.skipif(
    not SUITE.exists(), reason="the JSON parsing suite is not beside the checkout"
)
needs_naughty = pytest.mark.skipif(
    not NAUGHTY.exists(), reason="the naughty strings are not beside the checkout"
)
NOW = dt.datetime.now(dt.UTC)
DOCUMENT = APPLICATION_ROOT / "docs" / "contracts.md"
CORRECTED = Reference(rules_of_defaults(), frozenset(CORRECTIONS))


@pytest.fixture(scope="module", params=["scan", "full path"] if fast_lane.is_built() else ["full path"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessDoor]:
    """The door with its native scan in front, and without it."""
    settings = default_settings(tmp_path_factory.mktemp("door"), native_scan=request.param == "scan")
    with InProcessDoor(settings) as judge:
        yield judge


@pytest.fixture
def comparison(door: InProcessDoor) -> Comparison:
    return Comparison(door, rules_of_defaults())


def event(**fields: object) -> dict[str, object]:
    return {
        "eventId": "6f1c2b9e-0f5d-4c6e-9a57-1d1f0c0a7e01",
        "tenantId": TENANT,
        "timestamp": NOW.isoformat(),
        "deviceId": "device-1",
        "campaign": "spring",
        **fields,
    }


def test_mutated_events_get_the_references_verdict_alone_and_in_every_batch(comparison: Comparison) -> None:
    compare_mutated(comparison, 1_500, random.Random(11))  # noqa: S311 - repeatable, not a secret
    report = comparison.report()
    assert report["differences"] == []
    assert report["verdicts"]["accepted"] > 200
    assert len(report["verdicts"]) > 12, "the mutations reach too few of the reasons"
    assert set(report["explained"]) <= {*CORRECTIONS, "several"}
    assert {"ARRAY, all accepted", "ARRAY, mixed", "NDJSON, all accepted"} <= report["batches"].keys()


@given(st.randoms(), st.sampled_from(event_versions()))
@hypothesis_settings(max_examples=150, deadline=None)
def test_hypothesis_finds_no_event_that_the_reference_judges_otherwise(
    door: InProcessDoor, rng: random.Random, version: str
) -> None:
    comparison = Comparison(door, rules_of_defaults())
    comparison.alone(Mutator(rng, version).event(), version)
    assert comparison.differences == []


def test_the_comparison_notices_a_judge_that_is_wrong(door: InProcessDoor) -> None:
    def lenient(body: bytes, body_format: BodyFormat, version: str) -> Outcome:
        outcome = door(body, body_format, version)
        return outcome._replace(
            verdicts=[Verdict() if verdict.code == "too_long" else verdict for verdict in outcome.verdicts]
        )

    def misplacing(body: bytes, body_format: BodyFormat, version: str) -> Outcome:
        outcome = door(body, body_format, version)
        return outcome._replace(
            verdicts=[
                verdict if verdict.is_accepted else Verdict(verdict.code, "/campaign")
                for verdict in outcome.verdicts
            ]
        )

    long = orjson.dumps(event(deviceId="d" * 129))
    for judge in (lenient, misplacing):
        comparison = Comparison(judge, rules_of_defaults())
        comparison.alone(long, "v1")
        comparison.together([long], "v1", BodyFormat.ARRAY)
        assert len(comparison.differences) == 2


@pytest.mark.parametrize("flags", [[], ["--without-native"]])
def test_the_command_prints_its_counts_as_one_json_document(
    capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    assert main(["--events", "40", "--seed", "2", *flags]) == 0
    report = orjson.loads(capsys.readouterr().out)
    assert (report["events"], sum(report["verdicts"].values()), report["unexplained"]) == (40, 40, 0)
    assert report["native_scan"] == (not flags and fast_lane.is_built())


def test_every_named_difference_is_in_the_document() -> None:
    text = DOCUMENT.read_text()
    for name in CORRECTIONS:
        assert f"| `{name}` |" in text, name


@pytest.mark.parametrize(
    ("field", "value", "correction"),
    [
        ("eventId", "6f1c2b9e-0f5d-4c6e-9a57-1d1f0c0a7_01", "uuid"),
        ("country", "DE\n", "pattern"),
        ("timestamp", "2016-12-31T23:59:60Z", "date-time"),
        ("timestamp", NOW.isoformat() + "\n", "date-time"),
    ],
    ids=["uuid", "pattern", "leap second", "line end"],  # no time in a name: workers must collect the same
)
def test_each_named_difference_is_the_reference_librarys(
    door: InProcessDoor, field: str, value: str, correction: str
) -> None:
    body = orjson.dumps(event(**{field: value}))
    outcome = door(body, BodyFormat.JSON, "v1")
    stock = Reference(rules_of_defaults()).faults(body, "v1", outcome.received_at_us)
    corrected = Reference(rules_of_defaults(), frozenset({correction}))
    assert not is_agreed(outcome.verdicts[0], stock)
    assert is_agreed(outcome.verdicts[0], corrected.faults(body, "v1", outcome.received_at_us))


@pytest.mark.parametrize(
    "text", ["1970-01-01T00:00:00Z", "2024-02-29t23:59:59.5+05:30", "1582-10-04T00:00:00-23:59"]
)
def test_the_references_calendar_is_pythons(text: str) -> None:
    moment = moment_of(text)
    assert moment == (parse_timestamp(text) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(
        microseconds=1
    )
    assert moment_of("0000-12-31T23:59:59Z") == (
        (EARLIEST_UTC - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) - 1_000_000
    )


def suite_files() -> list[Path]:
    return sorted(SUITE.glob("*.json")) if SUITE.exists() else []


@needs_suite
def test_the_reference_parser_is_strict_where_the_suite_is() -> None:
    counts = Counter(path.name[0] for path in suite_files())
    assert (counts["y"], counts["n"]) == (95, 188)
    for path in suite_files():
        try:
            strict_json(path.read_bytes())
            is_taken = True
        except NotJsonError:
            is_taken = False
        assert path.name[0] == "i" or is_taken == path.name.startswith("y"), path.name


@needs_suite
@pytest.mark.parametrize("body_format", [BodyFormat.JSON, BodyFormat.ARRAY, BodyFormat.NDJSON])
def test_every_file_of_the_suite_as_a_body_is_judged_as_the_reference_parses_it(
    door: InProcessDoor, body_format: BodyFormat
) -> None:
    for path in suite_files():
        raw = path.read_bytes()
        outcome = door(raw, body_format, "v1")
        if len(raw) > rules_of_defaults().event_max_bytes and body_format is BodyFormat.JSON:
            assert outcome.status == 413, path.name
            continue
        assert outcome.status != 500, path.name
        if body_format is BodyFormat.NDJSON and b"\n" in raw.strip():
            continue  # lines of one document: each is a delivery of its own, compared below
        expected = CORRECTED.faults(raw, "v1", outcome.received_at_us)
        if body_format is BodyFormat.ARRAY and expected != NOT_JSON:
            value = strict_json(raw)
            if isinstance(value, list):
                assert (outcome.status, len(outcome.verdicts)) == (202, len(value)), path.name
                continue
            expected = frozenset({("not_an_array", "")})
        if body_format is BodyFormat.NDJSON and not raw.strip():
            assert outcome.verdicts == []  # no line, no event
            continue
        [verdict] = outcome.verdicts
        assert verdict in expected, (path.name, verdict, expected)


@needs_suite
@pytest.mark.parametrize("body_format", [BodyFormat.JSON, BodyFormat.ARRAY, BodyFormat.NDJSON])
def test_every_file_of_the_suite_as_a_value_in_metadata_is_judged_as_the_reference_does(
    door: InProcessDoor, comparison: Comparison, body_format: BodyFormat
) -> None:
    head, tail = orjson.dumps(event(metadata={"v": "@"})).split(b'"@"')
    accepted = 0
    for path in suite_files():
        raw = head + path.read_bytes() + tail
        if body_format is BodyFormat.JSON:
            accepted += comparison.alone(raw, "v1")
        elif b"\n" not in raw if body_format is BodyFormat.NDJSON else comparison.is_json(raw):
            comparison.together([raw], "v1", body_format)
    assert comparison.report()["differences"] == []
    assert body_format is not BodyFormat.JSON or accepted > 95


@needs_naughty
@pytest.mark.parametrize("version", event_versions())
def test_every_naughty_string_in_every_text_field_gets_the_references_verdict(
    comparison: Comparison, version: str
) -> None:
    strings = orjson.loads(NAUGHTY.read_bytes())
    assert len(strings) > 500
    rng = random.Random(5)  # noqa: S311 - repeatable, not a secret
    schema = event_schemas(version)["purchase" if version == "v2" else "install"]
    valid = orjson.loads(Mutator(rng, version).valid(schema["title"]))
    fields = [name for name, member in schema["properties"].items() if member.get("type") != "object"]
    # v2 shares v1's fields but for the purchase's amount: a quarter of the strings shows that it is judged so too
    for number, text in enumerate(strings if version == "v1" else strings[::4]):
        bodies = [orjson.dumps({**valid, name: text}) for name in fields]
        bodies.append(orjson.dumps({**valid, "metadata": {text: [text]}}))
        bodies.append(orjson.dumps({**valid, text: text}))
        if number % 20 == 0:  # alone as well
            for body in bodies:
                comparison.alone(body, version)
        comparison.together(bodies, version, BodyFormat.ARRAY)
    assert comparison.report()["differences"] == []


def test_no_reason_or_pointer_repeats_a_naughty_key(door: InProcessDoor) -> None:
    for key in ("jane@example.com", "a b", "x" * 65, "<script>", "\u202e"):
        [verdict] = door(orjson.dumps(event(**{key: 1})), BodyFormat.JSON, "v1").verdicts
        assert (verdict.code, verdict.pointer) == ("unknown_field", "")
        assert re.fullmatch(r"[a-z_]+", verdict.code)
