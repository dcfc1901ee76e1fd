"""When a receiver is left alone, and for how long: the pure part, and what every process sees of it."""

from __future__ import annotations

import datetime as dt

import pytest

from resources.destinations.attempts import Attempts, NotTakenError
from resources.errors import CircuitOpenError, DeliveryRefusedError
from resources.registry import Registry
from resources.registry.circuits import (
    COOL_DOWN_FIRST,
    COOL_DOWN_MAX,
    OPEN_AFTER,
    PROBE_LEASE,
    Circuit,
    CircuitState,
)
from resources.registry.destination_store import PLANE

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def opened() -> Circuit:
    circuit = Circuit()
    for _ in range(OPEN_AFTER):
        circuit = circuit.failed(NOW, "status 500")
    return circuit


def test_a_circuit_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    circuit = Circuit()
    for _ in range(OPEN_AFTER - 1):
        circuit = circuit.failed(NOW, "status 500")
        assert circuit.state(NOW) is CircuitState.CLOSED
    assert circuit.failed(NOW, "status 500").state(NOW) is CircuitState.OPEN


def test_two_attempts_that_hang_are_enough() -> None:
    once = Circuit().failed(NOW, "timeout", weight=3)
    assert once.state(NOW) is CircuitState.CLOSED
    assert once.failed(NOW, "timeout", weight=3).state(NOW) is CircuitState.OPEN


def test_an_open_circuit_lets_one_probe_through_and_waits_twice_as_long_when_it_fails() -> None:
    circuit = opened()
    assert circuit.state(NOW + COOL_DOWN_FIRST - SECOND) is CircuitState.OPEN
    later = NOW + COOL_DOWN_FIRST
    assert circuit.state(later) is CircuitState.HALF_OPEN
    assert circuit.probing(later).state(later + SECOND) is CircuitState.OPEN
    assert circuit.probing(later).state(later + PROBE_LEASE) is CircuitState.HALF_OPEN  # its process died
    failed = circuit.probing(later).failed(later, "status 500")
    assert failed.retry_at == later + 2 * COOL_DOWN_FIRST
    assert failed.opened_at == NOW
    for _ in range(30):
        failed = failed.failed(later, "status 500")
    assert failed.retry_at == later + COOL_DOWN_MAX


def test_every_process_sees_the_circuit_and_one_of_them_probes(registry: Registry) -> None:
    registry.request("t1", "starter", "test")
    registry.request("t2", "starter", "test")
    for _ in range(OPEN_AFTER):
        registry.circuit_failed("t1", PLANE, "status 500", now=NOW)
    (record,) = registry.circuits()
    assert (record.tenant_id, record.destination_id, record.circuit) == ("t1", PLANE, opened())
    assert registry.admit("t1", PLANE, NOW) == NOW + COOL_DOWN_FIRST
    assert registry.admit("t2", PLANE, NOW) is None
    assert registry.admit("t1", "another", NOW) is None
    later = NOW + COOL_DOWN_FIRST
    assert registry.admit("t1", PLANE, later) is None
    assert registry.admit("t1", PLANE, later) == later + PROBE_LEASE
    registry.circuit_succeeded("t1", PLANE)
    assert registry.circuits() == []
    assert registry.admit("t1", PLANE, later) is None


class Scripted:
    """Sends as its script says: an error to raise, or nothing."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)
        self.sent = 0

    def __call__(self) -> str:
        self.sent += 1
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        return "taken"


def test_attempts_are_repeated_until_one_is_taken(registry: Registry) -> None:
    registry.request("t1", "starter", "test")
    send = Scripted(NotTakenError("status 500"), NotTakenError("status 500", retry_after_s=0.01))
    assert Attempts(registry, base_delay_s=0.001).make("t1", PLANE, send) == "taken"
    assert send.sent == 3
    assert registry.circuits() == []


def test_once_the_circuit_is_open_nothing_is_sent(registry: Registry) -> None:
    registry.request("t1", "starter", "test")
    attempts = Attempts(registry, count=100, base_delay_s=0.001)
    failing = Scripted(*[NotTakenError("status 500")] * 100)
    with pytest.raises(NotTakenError, match="500"):
        attempts.make("t1", PLANE, failing)
    assert failing.sent == OPEN_AFTER  # not a hundred
    unsent = Scripted()
    with pytest.raises(CircuitOpenError, match="left alone until") as raised:
        attempts.make("t1", PLANE, unsent)
    assert unsent.sent == 0
    assert raised.value.retry_at == registry.circuits()[0].circuit.retry_at


def test_a_refusal_is_an_answer_and_closes_the_circuit(registry: Registry) -> None:
    registry.request("t1", "starter", "test")
    registry.circuit_failed("t1", PLANE, "status 500")
    send = Scripted(DeliveryRefusedError("422"))
    with pytest.raises(DeliveryRefusedError):
        Attempts(registry).make("t1", PLANE, send)
    assert (send.sent, registry.circuits()) == (1, [])
