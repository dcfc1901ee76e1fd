"""What the lander counts, and how Prometheus reads it. Counted by the landing thread, read by the server's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest_api.lander import LandReport

# A commit alone takes 30-50 ms, a full batch of 100,000 rows 0.5-1 s; beyond a minute something is wrong
SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_COUNTERS = {
    "rows": "Events committed to raw.events",
    "quarantined": "Refused deliveries committed to raw.quarantine",
    "commits": "Commits to the lake",
    "bytes": "Unpacked bytes landed",
    "failures": "Landings that failed and are tried again",
}


class LanderMetrics:
    """Counters of one lander's life, in a registry of its own."""

    def __init__(self, lag_s: Callable[[], float]) -> None:
        self.totals = dict.fromkeys(_COUNTERS, 0)
        self.failures_in_a_row = 0
        self.last_commit_at: float | None = None  # seconds since the epoch
        self.last_success_at = time.monotonic()  # of a landing, whether or not there was anything to commit
        self.backlog_bytes: int | None = None  # None: the log cannot be asked
        self._registry = CollectorRegistry()
        self._registry.register(_Counters(self.totals))
        self._seconds = Histogram(
            "unmogrowp_lander_landing_seconds",
            "Landings that committed",
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )
        self._gauge("lag_seconds", "Age of the oldest record that has not landed", lag_s)
        self._gauge("backlog_bytes", "Bytes of the log that have not landed", lambda: self.backlog_bytes)
        self._gauge(
            "failures_in_a_row", "Landings that failed since one did not", lambda: self.failures_in_a_row
        )
        self._gauge("last_commit_timestamp_seconds", "When it last committed", lambda: self.last_commit_at)

    def landed(self, report: LandReport, seconds: float) -> None:
        """Count a landing that did not fail, though it may have found nothing."""
        self.failures_in_a_row = 0
        self.last_success_at = time.monotonic()
        if report.commits:
            self.last_commit_at = time.time()
            self._seconds.observe(seconds)
            for name in ("rows", "quarantined", "commits", "bytes"):
                self.totals[name] += getattr(report, name)

    def failed(self) -> None:
        """Count a landing that failed."""
        self.failures_in_a_row += 1
        self.totals["failures"] += 1

    def exposition(self) -> tuple[bytes, str]:
        """The text Prometheus reads, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _gauge(self, name: str, text: str, value: Callable[[], float | None]) -> None:
        gauge = Gauge(f"unmogrowp_lander_{name}", text, registry=self._registry)
        gauge.set_function(lambda: float("nan") if (now := value()) is None else now)


class _Counters(Collector):
    """The totals; the library's own counters would keep them a second time."""

    def __init__(self, totals: dict[str, int]) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"unmogrowp_lander_{name}", text, self._totals[name])
