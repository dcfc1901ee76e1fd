"""The drills' comparisons see what they are for: each fault, done to invented rows, is counted."""

from __future__ import annotations

import datetime as dt

import orjson
import pytest

from benchmarks.drills.memory import Delivery, Memory, make_delivery
from benchmarks.drills.order import calls, order_of
from benchmarks.drills.verdict import Faults, Row, clean_faults, event_faults, quarantine_faults
from ingest_api.event_log.protocol import BodyFormat

AT = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)


def answered(delivery: Delivery, memory: Memory | None = None) -> Memory:
    """A memory in which every delivery was judged as it deserves."""
    memory = memory or Memory()
    memory.sending(delivery, is_retry=False)
    verdicts = [(one, "accepted") for one in delivery.good] + [(one, "quarantined") for one in delivery.bad]
    events = [{"eventId": one, "status": verdict} for one, verdict in verdicts]
    memory.heard(delivery, 202, b"", orjson.dumps({"events": events}))
    return memory


def batch(*good: str, bad: tuple[str, ...] = ()) -> Delivery:
    return Delivery("a", BodyFormat.ARRAY, b"", good, bad)


def rows_of(*ids: str, second: int = 0) -> list[Row]:
    return [Row(("a", one), AT + dt.timedelta(seconds=second), seq) for seq, one in enumerate(ids)]


def only(faults: Faults, **expected: int) -> None:
    assert {name: count for name, count in faults.items() if count} == expected


def test_what_landed_as_it_was_acknowledged_has_no_fault() -> None:
    memory = answered(batch("e1", "e2", bad=("q1",)))
    only(event_faults(memory, rows_of("e1", "e2")))
    only(quarantine_faults(memory, [Row(("a", "q1"), AT, "n1")]))
    only(clean_faults([("a", "e1"), ("a", "e1")], [("a", "e1")]))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (rows_of("e1"), {"events_missing": 1}),
        (
            [*rows_of("e1", "e2"), Row(("a", "e2"), AT, 2)],
            {"events_beyond_what_was_sent": 1, "events_landed_twice": 1},
        ),
        (rows_of("e1", "e2", "e9"), {"events_never_sent": 1, "events_beyond_what_was_sent": 1}),
        ([Row(("a", "e1"), AT, 0), Row(("a", "e2"), AT, 0)], {"land_seq_repeated_or_skipped": 1}),
        ([Row(("a", "e1"), AT, 0), Row(("a", "e2"), AT, 2)], {"land_seq_repeated_or_skipped": 2}),
        ([Row(("b", "e1"), AT, 0), Row(("a", "e2"), AT, 1)], {"events_missing": 1, "events_never_sent": 1,
                                                               "events_beyond_what_was_sent": 1}),
    ],
)  # fmt: skip
def test_each_fault_of_raw_events_is_counted(rows: list[Row], expected: dict[str, int]) -> None:
    only(event_faults(answered(batch("e1", "e2")), rows), **expected)


def test_a_retry_that_landed_twice_by_itself_is_no_duplicate_delivery() -> None:
    memory = Memory()
    memory.sending(batch("e1"), is_retry=False)  # no answer came
    memory = answered(batch("e1"), memory)
    twice = [Row(("a", "e1"), AT, 0), Row(("a", "e1"), AT + dt.timedelta(seconds=1), 1)]
    only(event_faults(memory, twice))
    only(event_faults(memory, [twice[0], twice[0]._replace(number=1)]), events_landed_twice=1)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], {"quarantine_missing": 1}),
        (
            [Row(("a", "q1"), AT, "n1")] * 2,
            {"quarantine_beyond_what_was_sent": 1, "quarantine_landed_twice": 1},
        ),
        (
            [Row(("a", "q1"), AT, "n1"), Row(("a", "e1"), AT, "n2")],
            {"quarantine_never_sent": 1},
        ),
    ],
)
def test_each_fault_of_quarantine_is_counted(rows: list[Row], expected: dict[str, int]) -> None:
    only(quarantine_faults(answered(batch("e1", bad=("q1",))), rows), **expected)


def test_each_fault_of_clean_is_counted() -> None:
    landed = [("a", "e1"), ("a", "e2")]
    only(clean_faults(landed, [("a", "e1")]), clean_missing=1)
    only(clean_faults(landed, [*landed, ("a", "e2")]), clean_twice=1)
    only(clean_faults(landed, [*landed, ("b", "e2")]), clean_never_landed=1)


def test_an_answer_that_contradicts_the_contract_is_a_surprise() -> None:
    memory = Memory()
    wrong = orjson.dumps({"events": [{"eventId": "e1", "status": "quarantined"}]})
    memory.heard(batch("e1"), 202, b"", wrong)
    memory.heard(batch("e1"), 500, b"", b"{}")
    assert len(memory.surprises) == 2


def test_deliveries_are_mixed_and_follow_from_their_number() -> None:
    made = [make_delivery("a", part, 10) for part in range(200)]
    again = [make_delivery("a", part, 10) for part in range(200)]
    assert [(one.format, one.good, one.bad) for one in made] == [
        (one.format, one.good, one.bad) for one in again
    ]
    assert {one.format for one in made} == {BodyFormat.ARRAY, BodyFormat.NDJSON, BodyFormat.JSON}
    assert any(one.good and one.bad for one in made)
    ids = [event_id for one in made for event_id in (*one.good, *one.bad)]
    assert len(ids) == len(set(ids))


ID = "247a8333-f7b0-47d2-8da8-056c3d15eef7"
LOG_WRITE = f'12 write(23, "\\7benchv1{{\\"eventId\\":\\"{ID}\\"}}", 40 <unfinished ...>'
LOG_WRITTEN = "12 <... write resumed>) = 40"
SYNC = "12 fdatasync(23) = 0"
HEAD = '11 write(18, "HTTP/1.1 202 Accepted\\r\\n\\r\\n", 25) = 25'
BODY = f'11 write(18, "{{\\"eventId\\":\\"{ID}\\",\\"status\\":\\"accepted\\"}}", 70) = 70'


@pytest.mark.parametrize(
    ("lines", "early"),
    [
        ([LOG_WRITE, LOG_WRITTEN, SYNC, HEAD, BODY], []),
        ([LOG_WRITE, LOG_WRITTEN, HEAD, SYNC, BODY], [ID]),
        ([LOG_WRITE, LOG_WRITTEN, HEAD, BODY, SYNC], [ID]),
        ([LOG_WRITE, SYNC.replace("12", "13"), LOG_WRITTEN, HEAD, BODY], [ID]),  # it began before the write ended
        ([LOG_WRITE, LOG_WRITTEN, SYNC.replace("23", "24"), HEAD, BODY], [ID]),  # of another file
        ([LOG_WRITE, LOG_WRITTEN, "12 fdatasync(23) = -1 EIO (Input/output error)", HEAD, BODY], [ID]),
        (
            [LOG_WRITE, LOG_WRITTEN, "12 fdatasync(23 <unfinished ...>", HEAD, BODY,
             "12 <... fdatasync resumed>) = 0"],
            [ID],
        ),
        ([HEAD, BODY], [ID]),  # never written
    ],
)  # fmt: skip
def test_an_answer_before_its_sync_is_seen_in_the_trace(lines: list[str], early: list[str]) -> None:
    order = order_of(calls(lines))
    assert (order.answers, order.events, order.before_sync) == (1, 1, early)
