"""`unmogrowp status --watch`: its arithmetic and its view. The command itself: `test_status_watch_live`."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.live_rates import EVENTS, REQUESTS, Board, Counters, increase, summed
from cli.live_samples import DOWN, UP, Look, Sample, Values, values_of
from cli.live_view import documents, view
from resources.settings import Settings


def resting_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def series(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted(labels.items()))


def door_values(accepted: float, quarantined: float, tenant_id: str = "t1", status: str = "202") -> Values:
    return {
        series(EVENTS, tenant_id=tenant_id, outcome="accepted"): accepted,
        series(EVENTS, tenant_id=tenant_id, outcome="quarantined"): quarantined,
        series(REQUESTS, status=status): accepted + quarantined,
    }


def looked(at_s: float, door: Values | None, lander: Values | None = None, **file: Any) -> Sample:
    return Sample(
        at_s,
        Look("http://door", UP if door is not None else DOWN, door),
        Look("http://lander", UP if lander is not None else DOWN, lander),
        file,
    )


def shown(board: Board, sample: Sample, tenants: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return board.document(sample, at="2026-11-20T10:00:00+00:00", is_running=True, tenants=tenants or [])


def test_a_counter_that_fell_was_restarted_and_a_new_one_began_at_zero() -> None:
    before, after = (
        {series("a"): 100.0, series("b"): 5.0},
        {series("a"): 7.0, series("b"): 6.0, series("c"): 3.0},
    )
    assert increase(before, after) == {series("a"): 7.0, series("b"): 1.0, series("c"): 3.0}


def test_rates_are_of_the_last_two_looks_and_sums_of_the_last_minute() -> None:
    counters = Counters(span_s=60)
    assert counters.last_per_s() is None
    for at_s, value in ((0.0, 0.0), (50.0, 500.0), (60.0, 520.0), (100.0, 600.0)):
        counters.see(at_s, {series("a"): value})
    assert counters.last_per_s() == {series("a"): 2.0}
    assert counters.over_span() == {series("a"): 600.0}  # 0 reaches back over the minute's beginning, at 40
    counters.see(112.0, {series("a"): 612.0})
    assert counters.over_span() == {series("a"): 112.0}


def test_a_restart_within_the_minute_loses_nothing_of_it() -> None:
    counters = Counters()
    for at_s, value in ((0.0, 10.0), (10.0, 30.0), (20.0, 4.0), (30.0, 9.0)):
        counters.see(at_s, {series("a"): value})
    assert counters.over_span() == {series("a"): 29.0}


def test_values_are_summed_by_name_and_labels() -> None:
    values = {**door_values(5, 2), **door_values(7, 1, "t2")}
    assert summed(values, [EVENTS]) == 15
    assert summed(values, [EVENTS], tenant_id="t1") == 7
    assert summed(values, [EVENTS], outcome="quarantined") == 3
    assert summed(None, [EVENTS]) is None


def test_the_exposition_is_read_as_series() -> None:
    text = (
        f'# TYPE {EVENTS.removesuffix("_total")} counter\n{EVENTS}{{outcome="accepted",tenant_id="t1"}} 5.0\n'
    )
    assert values_of(text) == {series(EVENTS, tenant_id="t1", outcome="accepted"): 5.0}


def test_the_first_look_knows_no_rate_and_the_second_does() -> None:
    board = Board()
    first = shown(board, looked(0.0, door_values(100, 0)))
    assert first["door"]["events_per_s"] is None
    assert first["tenants"][0:] == []
    second = shown(board, looked(2.0, door_values(190, 10)))
    assert (second["door"]["events_per_s"], second["door"]["quarantined_per_s"]) == (50, 5)
    [tenant] = second["tenants"]
    assert (tenant["tenant_id"], tenant["events_per_s"]) == ("t1", 50)
    assert (tenant["quarantined_last_minute"], tenant["quarantine_share_last_minute"]) == (10, 0.1)


def test_requests_that_were_refused_are_counted_by_their_status() -> None:
    board = Board()
    shown(board, looked(0.0, {series(REQUESTS, status="202"): 0.0, series(REQUESTS, status="429"): 0.0}))
    document = shown(
        board, looked(2.0, {series(REQUESTS, status="202"): 10.0, series(REQUESTS, status="429"): 4.0})
    )
    assert (document["door"]["requests_per_s"], document["door"]["refused_requests_per_s"]) == (7, 2)


def test_a_tenant_that_sends_nothing_is_there_with_its_freshness_and_no_share() -> None:
    known = [
        {"tenant_id": "t9", "state": "active", "raw_to": "2026-11-19", "clean_to": None, "scores_to": None}
    ]
    [tenant] = shown(Board(), looked(0.0, {}), known)["tenants"]
    assert (tenant["raw_to"], tenant["quarantine_share_last_minute"]) == ("2026-11-19", None)


def test_a_door_that_is_away_has_no_rate_and_the_average_over_its_absence_when_it_is_back() -> None:
    board = Board()
    shown(board, looked(0.0, door_values(100, 0)))
    away = shown(board, looked(2.0, None))
    assert (away["door"]["state"], away["door"]["events_per_s"]) == (DOWN, None)
    back = shown(board, looked(10.0, door_values(200, 0)))
    assert back["door"]["events_per_s"] == 10


def test_of_a_lander_that_is_away_what_it_last_wrote_is_shown_with_its_date() -> None:
    values = {
        series("unmogrowp_lander_rows_total"): 0.0,
        series("unmogrowp_lander_backlog_bytes"): math.nan,
        series("unmogrowp_lander_lag_seconds"): 3.0,
    }
    board = Board()
    up = shown(board, looked(0.0, {}, values))["lander"]
    assert (up["backlog_bytes"], up["lag_s"]) == (None, 3)
    file = {"at": "2026-11-20T09:00:00", "backlog_bytes": 77, "lag_s": 1.5, "error": "the lake is away"}
    away = shown(board, looked(2.0, {}, None, **file))["lander"]
    assert (away["state"], away["backlog_bytes"], away["lag_s"]) == (DOWN, 77, 1.5)
    assert (away["as_of"], away["error"]) == ("2026-11-20T09:00:00", "the lake is away")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_view_shows_every_state_at_any_width(width: int) -> None:
    board = Board()
    console = Console(width=width, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - the console's own
    for sample in (
        looked(0.0, None),
        looked(1.0, door_values(10**7, 5)),
        looked(2.0, door_values(2 * 10**7, 9), {}),
    ):
        console.print(view(shown(board, sample)))
    console.file.close()
    text = console.export_text()
    assert "down" in text
    assert "up" in text


def test_without_a_stack_everything_is_down_and_nothing_is_made(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "none", ingest_port=resting_port(), lander_port=resting_port())
    document = next(iter(documents(settings, 0.2, lambda _: [])))
    assert (document["running"], document["door"]["state"], document["lander"]["state"]) == (
        False,
        DOWN,
        DOWN,
    )
    assert document["tenants"] == []
    assert not settings.home.exists()


def test_a_lake_that_does_not_answer_ends_no_watching(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Settings) -> list[dict[str, Any]]:
        raise ConnectionError("the catalog is away")

    settings = Settings(home=tmp_path, ingest_port=resting_port(), lander_port=resting_port())
    watching = documents(settings, 0.01, broken)
    assert [next(watching)["tenants"] for _ in range(3)] == [[], [], []]
    watching.close()  # type: ignore[attr-defined]  # a generator
    assert "the catalog is away" in caplog.text
