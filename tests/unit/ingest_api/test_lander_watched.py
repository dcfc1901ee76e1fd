"""The lander seen from outside: its lag, its counters, its health and its own HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogPosition, LogRecord
from ingest_api.lander import LandReport
from ingest_api.lander_http import STUCK_AFTER_S, LanderEndpoints, serving
from ingest_api.lander_metrics import LanderMetrics
from ingest_api.lander_service import LanderService
from ingest_api.landing_lag import LagReader
from tests.support.door import Landing, RunningDoor, click, founding_event

if TYPE_CHECKING:
    from resources.settings import Settings

SECOND_US = 1_000_000


class ListedLog:
    """A log in memory: one record of an event per moment, one writer."""

    def __init__(self) -> None:
        self.received_us: list[int] = []
        self.released = 0

    def writers(self) -> list[str]:
        return ["w"]

    def read(
        self, writer: str, after: LogPosition | None, *, max_events: int
    ) -> Iterator[tuple[LogPosition, LogRecord]]:
        assert writer in self.writers()
        start = after.offset if after else 0
        for at, moment in enumerate(self.received_us[start : start + max_events], start + 1):
            yield (
                LogPosition(0, at),
                LogRecord("t123", moment, BodyFormat.JSON, BodyEncoding.IDENTITY, 1, b"{}"),
            )

    def release(self, writer: str, upto: LogPosition) -> int:
        assert writer in self.writers()
        self.released = upto.offset
        return 0

    def backlog_bytes(self, writer: str, after: LogPosition | None) -> int:
        assert writer in self.writers()
        return len(self.received_us) - (after.offset if after else 0)

    def close(self) -> None:
        return None


class Watched:
    """A log behind a `LagReader` whose clock the test sets, in seconds, and a lander's steps over it."""

    def __init__(self) -> None:
        self.log = ListedLog()
        self.now_s = 0.0
        self.reader = LagReader(self.log, lambda: int(self.now_s * SECOND_US))
        self.landed: LogPosition | None = None

    def receive(self, *moments_s: float) -> None:
        self.log.received_us += [int(moment * SECOND_US) for moment in moments_s]

    def read(self, max_events: int = 100) -> LogPosition | None:
        positions = [at for at, _ in self.reader.read("w", self.landed, max_events=max_events)]
        return positions[-1] if positions else self.landed

    def land(self, max_events: int = 100) -> None:
        self.landed = self.read(max_events)
        if self.landed:
            self.reader.release("w", self.landed)

    def lag_s(self) -> float:
        self.reader.writers()
        self.reader.backlog_bytes("w", self.landed)
        return self.reader.lag_s()


def test_a_log_that_has_landed_has_no_lag_however_long_nothing_came() -> None:
    watched = Watched()
    assert watched.lag_s() == 0
    watched.receive(1.0)
    watched.now_s = 2.0
    watched.land()
    watched.now_s = 5_000.0
    assert watched.lag_s() == 0
    watched.receive(4_999.0)
    assert watched.lag_s() == 4_998  # at most that: the log was read to its end at 2
    watched.land()
    assert watched.lag_s() == 0


def test_while_landing_fails_the_lag_is_the_age_of_the_oldest_record() -> None:
    watched = Watched()
    watched.receive(10.0, 20.0)
    watched.now_s = 21.0
    for now_s in (30.0, 90.0, 600.0):
        watched.read()  # and the commit fails: nothing is released
        watched.now_s = now_s
        assert watched.lag_s() == now_s - 10
    watched.land()
    assert watched.lag_s() == 0


def test_a_lander_that_does_not_keep_up_lags_by_what_it_read_last() -> None:
    watched = Watched()
    watched.receive(*range(1, 11))
    watched.now_s = 20.0
    watched.land(max_events=4)
    assert watched.lag_s() == 16  # 4 has landed, 5 has not
    watched.land(max_events=4)
    assert watched.lag_s() == 12


def test_a_landing_that_was_left_in_the_middle_counts_as_far_as_it_read() -> None:
    watched = Watched()
    watched.receive(1.0, 2.0, 3.0)
    watched.now_s = 10.0
    reading = watched.reader.read("w", None, max_events=100)
    watched.landed, _ = next(iter(reading))
    reading.close()  # type: ignore[attr-defined]  # a generator
    watched.reader.release("w", watched.landed)
    assert watched.lag_s() == 9


def test_a_writer_that_went_to_another_lander_is_not_ours_to_measure() -> None:
    watched = Watched()
    watched.receive(1.0)
    watched.now_s = 10.0
    watched.read()
    assert watched.lag_s() == 9
    watched.log.writers = lambda: []  # type: ignore[method-assign]  # as after a rebalance
    watched.reader.writers()
    assert watched.reader.lag_s() == 0


def test_a_clock_behind_the_doors_is_no_negative_lag() -> None:
    watched = Watched()
    watched.receive(100.0)
    watched.read()
    assert watched.lag_s() == 0


# -- over HTTP -----------------------------------------------------------------------------------

TOKEN = "scrape-token"


class Served:
    """A lander's HTTP over metrics that the test counts in."""

    def __init__(self, port: int, metrics: LanderMetrics) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.metrics = metrics

    def get(self, path: str, token: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(self.url + path, headers=headers, trust_env=False)

    def values(self) -> dict[str, float]:
        text = self.get("/metrics", TOKEN).raise_for_status().text
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.labels
        }


@pytest.fixture
def served() -> Iterator[Served]:
    metrics = LanderMetrics(lambda: 12.5)
    with serving(LanderEndpoints(metrics, TOKEN), "127.0.0.1", 0) as port:
        assert port is not None
        yield Served(port, metrics)


def test_the_lander_counts_what_it_lands(served: Served) -> None:
    served.metrics.landed(LandReport(rows=5, quarantined=2, commits=2, bytes=900), 0.3)
    served.metrics.landed(LandReport(), 0.001)
    served.metrics.failed()
    served.metrics.backlog_bytes = 77
    values = served.values()
    expected = {
        "rows_total": 5,
        "quarantined_total": 2,
        "commits_total": 2,
        "bytes_total": 900,
        "failures_total": 1,
        "failures_in_a_row": 1,
        "lag_seconds": 12.5,
        "backlog_bytes": 77,
        "landing_seconds_count": 1,
        "landing_seconds_sum": 0.3,
    }
    assert {name: values[f"unmogrowp_lander_{name}"] for name in expected} == expected
    assert abs(values["unmogrowp_lander_last_commit_timestamp_seconds"] - time.time()) < 5


def test_what_is_not_known_is_no_number(served: Served) -> None:
    assert "unmogrowp_lander_backlog_bytes NaN" in served.get("/metrics", TOKEN).text


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x"])
def test_metrics_open_to_the_scrape_token_alone(served: Served, token: str) -> None:
    answer = served.get("/metrics", token)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert "unmogrowp_lander" not in answer.text


def test_health_says_whether_it_lands(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert served.get("/health/live").json() == {"status": "live"}
    assert served.get("/health/ready").json() == {"status": "ready"}
    served.metrics.failed()
    answer = served.get("/health/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_landing")
    assert served.get("/health/live").status_code == 200
    served.metrics.landed(LandReport(), 0.1)
    assert served.get("/health/ready").status_code == 200
    served.metrics.last_success_at -= STUCK_AFTER_S + 1
    assert "hangs" in served.get("/health/ready").json()["detail"]


def test_other_paths_and_methods_are_refused(served: Served) -> None:
    assert served.get("/").status_code == 404
    assert httpx.post(served.url + "/metrics", trust_env=False).status_code == 501


def test_a_port_that_is_taken_ends_nothing_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoints = LanderEndpoints(LanderMetrics(lambda: 0.0), TOKEN)
        with serving(endpoints, "127.0.0.1", taken.getsockname()[1]) as port:
            assert port is None
    assert "UNMOGROWP_LANDER_PORT" in caplog.text


def test_a_real_lander_shows_what_it_does_and_how_far_behind_it_is(
    settings: Settings, door: RunningDoor
) -> None:
    quick = settings.with_changes(land_interval_s=0.1)
    status_path: Path = settings.status_dir / "lander.json"
    door.send(click())
    door.send(founding_event(campaign=""))
    with Landing(quick) as landing:
        service = LanderService(quick, landing.lander, landing.reader.lag_s)
        with serving(LanderEndpoints(service.metrics, TOKEN), "127.0.0.1", 0) as port:
            assert port is not None
            thread = threading.Thread(target=service.run)
            thread.start()
            try:
                until(status_path.exists)
                until(lambda: json.loads(status_path.read_text())["commits_total"] == 2)
                values = Served(port, service.metrics).values()
                status = json.loads(status_path.read_text())
            finally:
                service.stop()
                thread.join()
    assert values["unmogrowp_lander_rows_total"] == values["unmogrowp_lander_quarantined_total"] == 1
    assert values["unmogrowp_lander_lag_seconds"] == values["unmogrowp_lander_backlog_bytes"] == 0
    assert (status["lag_s"], status["backlog_bytes"], status["failures_in_a_row"]) == (0, 0, 0)
    assert status["last_commit_at"] <= status["at"]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
