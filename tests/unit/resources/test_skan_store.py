"""Versions of conversion documents in the registry, the same over SQLite and a real PostgreSQL."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from resources.errors import ConversionSchemaError, TenantNotFoundError, TenantStateError
from resources.registry import Registry, TenantState
from resources.skan.conversions import ConversionSchema

DAY = dt.date(2026, 11, 10)
LATER = DAY + dt.timedelta(days=9)


def document(app: int = 525463029, last: int = 63, **more: Any) -> dict[str, Any]:
    windows = [{"sequenceIndex": 0, "fine": [{"from": 0, "to": last, "events": ["install"]}]}]
    return {"appId": app, "currency": "USD", "windows": windows, **more}


def test_a_document_is_kept_as_it_was_with_who_why_and_from_when(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    added = registry.add_skan_schema(
        "t1", document(networks={"x.skadnetwork": "L'Océan"}), DAY, "ann", "first"
    )
    assert (added.version, added.store_app_id, added.effective_from) == (1, 525463029, DAY)
    assert (added.created_by, added.reason) == ("ann", "first")
    assert added.document == document(networks={"x.skadnetwork": "L'Océan"})
    assert added.content_hash == ConversionSchema.of(added.document).content_hash
    assert registry.skan_schemas("t1") == (added,)


def test_versions_count_per_app_and_an_id_may_be_as_large_as_a_bigint(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    large = 2**63 - 1
    registry.add_skan_schema("t1", document(), DAY, "ann")
    registry.add_skan_schema("t1", document(large), DAY, "ann")
    registry.add_skan_schema("t1", document(last=40), LATER, "ann")
    found = [(one.store_app_id, one.version) for one in registry.skan_schemas("t1")]
    assert found == [(525463029, 1), (525463029, 2), (large, 1)]
    assert [one.version for one in registry.skan_schemas("t1", large)] == [1]


def test_the_document_in_force_is_no_new_version_and_another_or_an_earlier_day_is(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    first = registry.add_skan_schema("t1", document(), DAY, "ann")
    assert registry.add_skan_schema("t1", document(), DAY, "bob", "again") == first
    assert registry.add_skan_schema("t1", document(), LATER, "bob") == first
    assert registry.add_skan_schema("t1", document(), DAY - dt.timedelta(days=1), "bob").version == 2
    assert registry.add_skan_schema("t1", document(last=1), LATER, "bob").version == 3
    assert registry.add_skan_schema("t1", document(), LATER, "bob").version == 4  # back again
    actions = [entry.action for entry in registry.audit("t1")]
    assert actions == ["tenant.requested", *["skan_schema.added"] * 4]


def test_the_audit_trail_says_what_was_before_and_after(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    first = registry.add_skan_schema("t1", document(), DAY, "ann")
    second = registry.add_skan_schema("t1", document(last=5), LATER, "bob", "new release")
    entry = registry.audit("t1")[-1]
    assert (entry.actor, entry.reason) == ("bob", "new release")
    assert (entry.before["content_hash"], entry.before["version"]) == (first.content_hash, 1)
    assert (entry.after["content_hash"], entry.after["effective_from"]) == (second.content_hash, "2026-11-19")


def test_a_wrong_document_and_one_in_another_currency_are_refused_and_nothing_is_written(
    registry: Registry,
) -> None:
    registry.request("t1", "starter", "ann", "EUR")
    with pytest.raises(ConversionSchemaError, match="/currency must be EUR") as refused:
        registry.add_skan_schema("t1", document(), DAY, "ann")
    assert refused.value.pointer == "/currency"
    with pytest.raises(ConversionSchemaError, match="/windows/0/fine/0 goes from 9 down to 3"):
        bad = {"sequenceIndex": 0, "fine": [{"from": 9, "to": 3}]}
        registry.add_skan_schema("t1", document(currency="EUR", windows=[bad]), DAY, "ann")
    assert registry.skan_schemas("t1") == ()
    assert len(registry.audit("t1")) == 1


def test_tenants_do_not_see_each_others_and_unknown_or_deleted_ones_take_none(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    registry.request("t2", "starter", "ann")
    registry.add_skan_schema("t1", document(), DAY, "ann")
    assert registry.skan_schemas("t2") == ()
    for call in (registry.skan_schemas, lambda name: registry.add_skan_schema(name, document(), DAY, "ann")):
        with pytest.raises(TenantNotFoundError, match="ghost"):
            call("ghost")
    registry.transition("t2", TenantState.DELETING, actor="ann")
    with pytest.raises(TenantStateError, match="t2 is deleting"):
        registry.add_skan_schema("t2", document(), DAY, "ann")


def test_versions_are_never_changed_or_deleted(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    registry.add_skan_schema("t1", document(), DAY, "ann")
    for statement in ("UPDATE registry_skan_schemas SET version = 7", "DELETE FROM registry_skan_schemas"):
        with pytest.raises(DBAPIError, match="append only"), registry.writing() as session:
            session.execute(text(statement))
    assert len(registry.skan_schemas("t1")) == 1


def test_writers_at_the_same_time_get_versions_one_after_another(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    gate = threading.Barrier(4)

    def add(last: int) -> int:
        gate.wait(timeout=30)
        return registry.add_skan_schema("t1", document(last=last), DAY, "ann").version

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(add, range(4))) == [1, 2, 3, 4]
