"""What the plane counts for Prometheus; one registry per application, the tenant on every sample."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# A dashboard answer takes about 30 ms and a pushed mart 5-50 ms here: the buckets bracket both.
SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class PlaneMetrics:
    """Counters of one tenant's plane."""

    def __init__(self, tenant_id: str) -> None:
        self.registry = CollectorRegistry()
        self._tenant_id = tenant_id
        self._requests = Counter(
            "unmogrowp_tenant_requests",
            "HTTP requests.",
            ["tenant_id", "method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "unmogrowp_tenant_request_seconds",
            "Seconds per HTTP request.",
            ["tenant_id", "route"],
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._relayed = Counter(
            "unmogrowp_tenant_relayed_bodies",
            "Event bodies by how they went: direct, buffered, from_disk, refused.",
            ["tenant_id", "way"],
            registry=self.registry,
        )
        self._pending = Gauge(
            "unmogrowp_tenant_relay_pending_bytes",
            "Bytes of events on disk that the global plane has not taken yet.",
            ["tenant_id"],
            registry=self.registry,
        )
        self._pushed_rows = Counter(
            "unmogrowp_tenant_pushed_rows",
            "Rows the global plane pushed, by mart; scores count as 'scores'.",
            ["tenant_id", "what"],
            registry=self.registry,
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(self._tenant_id, method, route, str(status)).inc()
        self._seconds.labels(self._tenant_id, route).observe(seconds)

    def relayed(self, way: str) -> None:
        """Count one event body: `direct`, `buffered`, `from_disk` or `refused`."""
        self._relayed.labels(self._tenant_id, way).inc()

    def pushed(self, what: str, rows: int) -> None:
        """Count the rows of one push."""
        self._pushed_rows.labels(self._tenant_id, what).inc(rows)

    def exposition(self, *, relay_pending_bytes: int) -> bytes:
        """Everything in Prometheus' text format."""
        self._pending.labels(self._tenant_id).set(relay_pending_bytes)
        return generate_latest(self.registry)
