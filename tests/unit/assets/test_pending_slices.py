"""The landing sensor's cursor: quiet slices go, busy ones wait, nothing is forgotten."""

from __future__ import annotations

import datetime as dt

from assets.pending_slices import (
    LandingCursor,
    due_slices,
    note_changes,
    note_failures,
    reopened_and_overtaken,
)

DAY = dt.date(2026, 11, 10)
NEXT = DAY + dt.timedelta(days=1)
T0 = dt.datetime(2026, 11, 12, tzinfo=dt.UTC)


def after(seconds: float) -> dt.datetime:
    return T0 + dt.timedelta(seconds=seconds)


def landed(
    *slices: dict[str, list[dt.date]], at: float = 0, cursor: LandingCursor | None = None
) -> LandingCursor:
    return note_changes(cursor or LandingCursor(), slices, 1, after(at))


def test_a_slice_is_due_once_nothing_landed_for_it_for_the_quiet_time() -> None:
    cursor = landed({"t1": [DAY]})
    assert due_slices(cursor, {"t1"}, after(5), 8, 60)[0] == {}
    due, rest = due_slices(cursor, {"t1"}, after(8), 8, 60)
    assert due == {"t1": [DAY]}
    assert rest.pending == {}


def test_a_slice_that_keeps_landing_is_due_after_the_longest_delay() -> None:
    cursor = LandingCursor()
    for second in range(0, 60, 5):
        cursor = landed({"t1": [DAY]}, at=second, cursor=cursor)
        assert due_slices(cursor, {"t1"}, after(second), 8, 60)[0] == {}
    assert due_slices(cursor, {"t1"}, after(60), 8, 60)[0] == {"t1": [DAY]}


def test_a_tenant_that_is_busy_or_not_active_keeps_its_slices() -> None:
    cursor = landed({"t1": [DAY], "t2": [NEXT]})
    due, rest = due_slices(cursor, {"t2"}, after(100), 8, 60)
    assert due == {"t2": [NEXT]}
    assert set(rest.pending) == {"t1"}
    assert due_slices(rest, {"t1"}, after(200), 8, 60)[0] == {"t1": [DAY]}


def test_the_cursor_survives_its_text() -> None:
    cursor = landed({"t1": [DAY, NEXT], "t2": [DAY]}, at=3)
    assert LandingCursor.loads(cursor.dumps()) == cursor
    assert LandingCursor.loads(None) == LandingCursor()


def test_a_failed_slice_waits_its_time_unless_something_lands_for_it() -> None:
    cursor = note_failures(LandingCursor(), [("t1", [DAY, NEXT])], T0, 600)
    assert due_slices(cursor, {"t1"}, after(590), 8, 60)[0] == {}
    assert due_slices(cursor, {"t1"}, after(608), 8, 60)[0] == {"t1": [DAY, NEXT]}
    cursor = landed({"t1": [DAY]}, at=5, cursor=cursor)
    assert due_slices(cursor, {"t1"}, after(13), 8, 60)[0] == {"t1": [DAY]}


def test_a_slice_made_while_an_earlier_one_waits_to_be_made_again_waits_behind_it() -> None:
    late = ({"t1": (DAY,)}, {"t1": (NEXT,)})
    afterwards = ({"t1": (NEXT + dt.timedelta(days=5),)}, {})
    assert reopened_and_overtaken({}, [late, afterwards]) == [
        {"t1": (NEXT,)},
        {"t1": (NEXT + dt.timedelta(days=5),)},
    ]
    waiting = {"t1": {NEXT.isoformat(): (0.0, 0.0)}}
    assert reopened_and_overtaken(waiting, [afterwards]) == [{"t1": (NEXT + dt.timedelta(days=5),)}]


def test_a_slice_made_before_what_waits_or_of_another_tenant_is_not_made_again() -> None:
    waiting = {"t1": {NEXT.isoformat(): (0.0, 0.0)}}
    made = {"t1": (DAY, NEXT), "t2": (NEXT + dt.timedelta(days=5),)}
    assert reopened_and_overtaken(waiting, [(made, {})]) == [{"t1": (), "t2": ()}]
    assert reopened_and_overtaken({}, [({"t1": (NEXT,)}, {}), ({"t1": (DAY,)}, {})]) == [
        {"t1": ()},
        {"t1": ()},
    ]
