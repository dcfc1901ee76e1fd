"""The door's Prometheus metrics. Labels hold tenants and outcomes, no id of event, user or device.

Counting is plain arithmetic on the event loop's thread; the families are made when somebody scrapes. The client
library's own counters take a lock per increment: four of them were 8 of 60 µs of a single-event request. How the
workers of a door add up is `worker_counts`'.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from ingest_api.event_log.protocol import LogUsage

# fdatasync was measured at p50 2-4 ms, p99 up to 35 ms
DURABLE_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Counts:
    """Everything counted, of one worker or of all."""

    def __init__(self) -> None:
        self.events: Counter[tuple[str, str]] = Counter()
        self.requests: Counter[int] = Counter()
        self.over_quota: Counter[str] = Counter()
        self.durable_counts = [0] * (len(DURABLE_BUCKETS_S) + 1)
        self.durable_sum_s = 0.0

    def add(self, other: Counts) -> None:
        """Add what another counted."""
        self.events.update(other.events)
        self.requests.update(other.requests)
        self.over_quota.update(other.over_quota)
        self.durable_counts = [a + b for a, b in zip(self.durable_counts, other.durable_counts, strict=True)]
        self.durable_sum_s += other.durable_sum_s

    def document(self) -> dict[str, Any]:
        """These counts for JSON; `parse` takes it back."""
        return {
            "events": [[*labels, count] for labels, count in self.events.items()],
            "requests": [[int(status), count] for status, count in self.requests.items()],
            "over_quota": dict(self.over_quota),
            "durable_counts": list(self.durable_counts),
            "durable_sum_s": self.durable_sum_s,
        }

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self:
        """The counts whose `document` this is.

        Raises:
            KeyError, TypeError, ValueError: it is not one, or of other buckets.
        """
        counts = cls()
        counts.events.update(
            {(str(tenant), str(outcome)): int(n) for tenant, outcome, n in document["events"]}
        )
        counts.requests.update({int(status): int(n) for status, n in document["requests"]})
        counts.over_quota.update(
            {str(tenant): int(n) for tenant, n in document.get("over_quota", {}).items()}
        )
        durable = [int(n) for n in document["durable_counts"]]
        if len(durable) != len(counts.durable_counts):
            raise ValueError("other buckets than now")
        counts.durable_counts, counts.durable_sum_s = durable, float(document["durable_sum_s"])
        return counts


class DoorMetrics:
    """What one application object has counted. Counted on one thread."""

    def __init__(self) -> None:
        self.counts = Counts()

    def answered(self, status: int) -> None:
        """Count a response."""
        self.counts.requests[status] += 1

    def over_quota(self, tenant_id: str) -> None:
        """Count a request that a quota did not let in."""
        self.counts.over_quota[tenant_id] += 1

    def made_durable(self, tenant_id: str, accepted: int, quarantined: int, seconds: float) -> None:
        """Count what one append made durable."""
        counts = self.counts
        counts.durable_counts[bisect_left(DURABLE_BUCKETS_S, seconds)] += 1
        counts.durable_sum_s += seconds
        if accepted:
            counts.events[tenant_id, "accepted"] += accepted
        if quarantined:
            counts.events[tenant_id, "quarantined"] += quarantined

    def exposition(self) -> tuple[bytes, str]:
        """Of this object alone: the text Prometheus reads, and its content type."""
        return exposition([self.counts], None)


def exposition(counts: Iterable[Counts], usage: LogUsage | None) -> tuple[bytes, str]:
    """The sum of the counts, and how full the log is: the text Prometheus reads, and its content type."""
    total = Counts()
    for item in counts:
        total.add(item)
    registry = CollectorRegistry()
    registry.register(_Families([*_counters(total), *_gauges(usage)]))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _counters(counts: Counts) -> Iterator[Metric]:
    events = CounterMetricFamily(
        "unmogrowp_ingest_events",
        "Events made durable, by tenant and outcome",
        labels=["tenant_id", "outcome"],
    )
    for labels, count in counts.events.items():
        events.add_metric(labels, count)
    yield events
    requests = CounterMetricFamily("unmogrowp_ingest_requests", "Ingest requests answered", labels=["status"])
    for status, count in counts.requests.items():
        requests.add_metric([str(int(status))], count)
    yield requests
    over_quota = CounterMetricFamily(
        "unmogrowp_ingest_over_quota_requests", "Requests refused for a quota", labels=["tenant_id"]
    )
    for tenant_id, count in counts.over_quota.items():
        over_quota.add_metric([tenant_id], count)
    yield over_quota
    durable = HistogramMetricFamily(
        "unmogrowp_ingest_durable_seconds", "Wait for the event log's sync", labels=[]
    )
    durable.add_metric([], _buckets(counts), counts.durable_sum_s)
    yield durable


def _gauges(usage: LogUsage | None) -> Iterator[Metric]:
    if usage is None:
        return
    yield GaugeMetricFamily("unmogrowp_ingest_log_bytes", "Bytes of the event log", usage.used_bytes)
    yield GaugeMetricFamily(
        "unmogrowp_ingest_log_backlog_max_bytes", "Above this: 429", usage.backlog_max_bytes
    )
    yield GaugeMetricFamily("unmogrowp_ingest_log_budget_bytes", "Above this: 503", usage.budget_bytes)


def _buckets(counts: Counts) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound."""
    bounds = [*map(str, DURABLE_BUCKETS_S), "+Inf"]
    total = 0.0
    buckets = []
    for bound, count in zip(bounds, counts.durable_counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
