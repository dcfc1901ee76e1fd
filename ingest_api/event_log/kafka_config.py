"""Settings → librdkafka's configuration. Pure: clients are made in `kafka_log` and `kafka_reader`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resources.settings import Settings

logger = logging.getLogger("ingest_api.kafka")  # librdkafka's own lines
# Beside the body a record has a head of 25 bytes, and for each rejected delivery a reason: the largest batch,
# 10,000 deliveries all refused, was 1.1 MB of them; reasons may grow fivefold.
RECORD_OVERHEAD_BYTES = 6 * 1024 * 1024
# What may wait for Kafka in one worker, as much as the segment log lets wait for its disk.
QUEUE_MAX_KBYTES = 64 * 1024
FETCH_MAX_BYTES = 50 * 1024 * 1024  # librdkafka's default: one answer's size when several brokers' data wait
# An idle fetch holds the connection this long; a question about offsets waits behind it (measured: 50 ms of 50).
FETCH_WAIT_MS = 50
HEARTBEATS_PER_SESSION = 5
MAX_POLL_INTERVAL_S = 300.0  # librdkafka's default; a landing of 128 MiB unpacked takes a tenth of it


def message_max_bytes(settings: Settings) -> int:
    """The largest record as one Kafka message; the topic's `max.message.bytes` must be as large."""
    return settings.body_max_bytes + RECORD_OVERHEAD_BYTES


def client_config(settings: Settings) -> dict[str, Any]:
    """How any client reaches the cluster and proves who it is."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap or "",
        "security.protocol": settings.kafka_security_protocol,
        "logger": logger,
    }
    if settings.kafka_ssl_ca is not None:
        config["ssl.ca.location"] = str(settings.kafka_ssl_ca)
    if settings.kafka_security_protocol.startswith("SASL_"):
        assert settings.kafka_sasl_password is not None  # noqa: S101 - Settings refuses SASL without one
        config |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": settings.kafka_sasl_password.get_secret_value(),
        }
    return config


def producer_config(settings: Settings) -> dict[str, Any]:
    """The door's producer: acknowledged by all in-sync replicas, in order, without repeats of its own retries."""
    timeout_ms = round(settings.kafka_delivery_timeout_s * 1000)
    return client_config(settings) | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # the same partition for a key as Java's clients choose
        "linger.ms": 2,  # what the segment log's fdatasync takes; appends of that time share a request
        "compression.type": "lz4",  # plain JSON bodies; what a client compressed already is sent as it is
        "message.max.bytes": message_max_bytes(settings),
        "queue.buffering.max.kbytes": QUEUE_MAX_KBYTES,
        "message.timeout.ms": timeout_ms,
        "request.timeout.ms": timeout_ms,
        "socket.timeout.ms": max(
            timeout_ms, 1_000
        ),  # a broker that hangs is left as soon as one that is gone
        "reconnect.backoff.max.ms": 1_000,  # a broker that is back is used within a second
    }


def member_config(settings: Settings, max_poll_interval_s: float) -> dict[str, Any]:
    """The lander's place in its consumer group: which partitions are its own. It fetches nothing."""
    session_ms = round(settings.kafka_session_timeout_s * 1000)
    return client_config(settings) | {
        "group.id": settings.kafka_group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "partition.assignment.strategy": "cooperative-sticky",  # a rebalance moves what must move, no more
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": max(1, session_ms // HEARTBEATS_PER_SESSION),
        "max.poll.interval.ms": max(session_ms, round(max_poll_interval_s * 1000)),
        "reconnect.backoff.max.ms": 1_000,
    }


def fetcher_config(settings: Settings) -> dict[str, Any]:
    """The lander's reads: from the offset it names, in no group's name."""
    fetch_max_bytes = max(FETCH_MAX_BYTES, message_max_bytes(settings))
    return client_config(settings) | {
        "group.id": settings.kafka_group,  # the client wants one; nothing is committed by it
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # a place the log does not have must not turn into another one
        "enable.partition.eof": True,
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "fetch.max.bytes": fetch_max_bytes,
        "receive.message.max.bytes": 2 * fetch_max_bytes,  # one message more than asked for may come along
        "reconnect.backoff.max.ms": 1_000,
    }
