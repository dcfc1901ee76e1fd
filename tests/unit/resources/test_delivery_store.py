"""Deliveries that failed: their tries, their death, replay, and newer content in their place."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from resources.errors import (
    DeliveryNotFoundError,
    DestinationNotFoundError,
    TenantNotFoundError,
    TenantStateError,
)
from resources.registry import Registry
from resources.registry.delivery_store import (
    RETRY_FIRST,
    RETRY_MAX,
    TRIES_MAX,
    WAITS_MAX,
    DeliveryKey,
    DeliveryState,
    Failure,
)
from resources.registry.destination_store import DESTINATIONS_MAX, PLANE, new_destination_id

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
DAY = dt.date(2026, 11, 3)
KEY = DeliveryKey("t1", PLANE, "installs", DAY)
FAILURE = Failure(KEY, "aa", 0, "t1:installs:0:aa", "run-1", "status 500")


@pytest.fixture(autouse=True)
def _tenants(registry: Registry) -> None:
    for tenant in ("t1", "t2"):
        registry.request(tenant, "starter", "test")


def test_a_failure_is_tried_again_later_and_later_and_then_dead(registry: Registry) -> None:
    moment, waits = NOW, []
    for _ in range(TRIES_MAX - 1):
        assert registry.delivery_failed(FAILURE, moment) is DeliveryState.WAITING
        (one,) = registry.undelivered("t1")
        assert one.next_try_at is not None
        waits.append(one.next_try_at - moment)
        moment = one.next_try_at
    assert waits[:3] == [RETRY_FIRST, 2 * RETRY_FIRST, 4 * RETRY_FIRST]
    assert max(waits) == RETRY_MAX
    assert registry.delivery_failed(replace(FAILURE, run_id="run-9"), moment) is DeliveryState.DEAD
    (dead,) = registry.undelivered("t1", DeliveryState.DEAD)
    assert (dead.attempts, dead.reason, dead.run_id) == (TRIES_MAX, "status 500", "run-9")
    assert (dead.first_failed_at, dead.last_failed_at, dead.next_try_at) == (NOW, moment, None)
    assert registry.due_deliveries("t1", moment + WAITS_MAX) == []


def test_a_refusal_is_dead_at_once(registry: Registry) -> None:
    assert registry.delivery_failed(replace(FAILURE, is_final=True), NOW) is DeliveryState.DEAD


def test_behind_an_open_circuit_a_delivery_waits_without_using_its_tries_but_not_for_ever(
    registry: Registry,
) -> None:
    behind = replace(FAILURE, not_before=NOW + dt.timedelta(minutes=5))
    for _ in range(3 * TRIES_MAX):
        assert registry.delivery_failed(behind, NOW) is DeliveryState.WAITING
    (one,) = registry.undelivered("t1")
    assert (one.attempts, one.next_try_at) == (0, behind.not_before)
    assert registry.delivery_failed(behind, NOW + WAITS_MAX) is DeliveryState.DEAD


def test_newer_content_takes_the_place_of_a_dead_delivery(registry: Registry) -> None:
    registry.delivery_failed(replace(FAILURE, is_final=True), NOW)
    newer = replace(FAILURE, content_sha256="bb", restatement=1, idempotency_key="t1:installs:1:bb")
    assert registry.delivery_failed(newer, NOW) is DeliveryState.WAITING
    (one,) = registry.undelivered("t1")
    assert (one.idempotency_key, one.attempts) == (newer.idempotency_key, 1)
    registry.delivery_done(KEY)
    assert registry.undelivered("t1") == []


def test_due_deliveries_are_those_whose_moment_has_come(registry: Registry) -> None:
    registry.delivery_failed(FAILURE, NOW)
    other = replace(FAILURE, key=DeliveryKey("t2", PLANE, "installs", DAY))
    registry.delivery_failed(replace(other, is_final=True), NOW)
    assert registry.due_tenants(NOW) == []
    assert registry.due_tenants(NOW + RETRY_FIRST) == ["t1"]
    assert [one.mart for one in registry.due_deliveries("t1", NOW + RETRY_FIRST)] == ["installs"]


def test_a_receiver_that_is_back_makes_what_waits_for_it_due(registry: Registry) -> None:
    late = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    registry.circuit_failed("t1", PLANE, "status 500")
    registry.delivery_failed(replace(FAILURE, not_before=late))
    assert registry.due_tenants() == []
    registry.circuit_succeeded("t1", PLANE)
    assert registry.due_tenants() == ["t1"]


def test_a_replay_gives_all_tries_back_keeps_the_key_and_is_audited(registry: Registry) -> None:
    registry.delivery_failed(replace(FAILURE, is_final=True), NOW)
    (dead,) = registry.undelivered("t1")
    replayed = registry.replay_delivery("t1", dead.delivery_id, "ann")
    assert (replayed.state, replayed.attempts) == (DeliveryState.WAITING, 0)
    assert replayed.idempotency_key == dead.idempotency_key
    assert registry.due_tenants() == ["t1"]
    (entry,) = [entry for entry in registry.audit("t1") if entry.action == "delivery.replayed"]
    assert (entry.actor, entry.after["mart"]) == ("ann", "installs")
    for tenant, delivery in (("t2", dead.delivery_id), ("t1", "0" * 16)):
        with pytest.raises(DeliveryNotFoundError):
            registry.replay_delivery(tenant, delivery, "ann")
        with pytest.raises(DeliveryNotFoundError):
            registry.undelivered_one(tenant, delivery)


def test_deliveries_come_in_pages_and_are_counted(registry: Registry) -> None:
    for day in range(5):
        key = DeliveryKey("t1", PLANE, "installs", DAY + dt.timedelta(days=day))
        registry.delivery_failed(replace(FAILURE, key=key, idempotency_key=f"k{day}"), NOW)
    first = registry.undelivered("t1", limit=3)
    rest = registry.undelivered("t1", after=first[-1].delivery_id, limit=3)
    assert len({one.delivery_id for one in first + rest}) == 5
    assert registry.delivery_counts() == {("t1", PLANE, DeliveryState.WAITING): 5}


def test_a_destination_goes_with_its_secrets_its_circuit_and_what_waited_for_it(registry: Registry) -> None:
    destination_id = new_destination_id()
    added = registry.add_destination(
        "t1",
        destination_id=destination_id,
        kind="webhook",
        config={"url": "u"},
        sealed_secrets=b"s",
        actor="ann",
    )
    assert registry.destinations("t1") == [added]
    registry.delivery_failed(replace(FAILURE, key=replace(KEY, destination_id=destination_id)), NOW)
    registry.circuit_failed("t1", destination_id, "status 500")
    with pytest.raises(DestinationNotFoundError):
        registry.remove_destination("t2", destination_id, "bob")
    registry.remove_destination("t1", destination_id, "ann")
    assert (registry.destinations("t1"), registry.undelivered("t1"), registry.circuits()) == ([], [], [])
    with pytest.raises(DestinationNotFoundError):
        registry.destination("t1", destination_id)
    actions = [entry.action for entry in registry.audit("t1")]
    assert actions[-2:] == ["destination.added", "destination.removed"]


def test_with_a_tenant_go_its_destinations_and_what_waited_for_its_plane(registry: Registry) -> None:
    for tenant in ("t1", "t2"):
        registry.add_destination(
            tenant,
            destination_id=new_destination_id(),
            kind="s3",
            config={},
            sealed_secrets=b"s",
            actor="ann",
        )
    registry.delivery_failed(FAILURE, NOW)
    registry.circuit_failed("t1", PLANE, "status 500")
    assert registry.remove_all_destinations("t1", "job") == 1
    assert registry.remove_all_destinations("t1", "job") == 0
    assert (registry.destinations("t1"), registry.undelivered("t1"), registry.circuits()) == ([], [], [])
    assert len(registry.destinations("t2")) == 1


def test_a_tenant_has_so_many_destinations_and_no_more(registry: Registry) -> None:
    def add(tenant: str) -> None:
        registry.add_destination(
            tenant,
            destination_id=new_destination_id(),
            kind="s3",
            config={},
            sealed_secrets=b"s",
            actor="ann",
        )

    for _ in range(DESTINATIONS_MAX):
        add("t1")
    with pytest.raises(TenantStateError, match="remove one first"):
        add("t1")
    add("t2")
    with pytest.raises(TenantNotFoundError):
        add("ghost")
