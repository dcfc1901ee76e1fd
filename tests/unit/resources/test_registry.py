"""The registry's behaviour, the same over SQLite and a real PostgreSQL."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from resources.errors import ContractError, TenantNotFoundError, TenantStateError
from resources.registry import ALLOWED_TRANSITIONS, Registry, TenantState, key_id_of
from resources.registry.engine import open_engine
from resources.registry.states import check_transition
from resources.registry.tables import Base


def _active(registry: Registry, tenant_id: str) -> None:
    registry.request(tenant_id, "standard", "ann")
    registry.transition(tenant_id, TenantState.PROVISIONING, actor="job")
    registry.transition(tenant_id, TenantState.ACTIVE, actor="job")


def _migrate(database_url: str, gate: Barrier) -> None:
    registry = Registry(database_url)
    gate.wait(timeout=60)
    registry.migrate()
    registry.close()


def test_a_requested_tenant_is_there_and_the_same_request_again_changes_nothing(registry: Registry) -> None:
    first = registry.request("t123", "standard", "ann", "EUR")
    again = registry.request("t123", "standard", "bob", "EUR")
    assert first == again == registry.get("t123")
    assert (first.state, first.revision, first.currency, first.plane_url) == ("requested", 1, "EUR", None)
    assert first.created_at.utcoffset() is not None
    assert [entry.action for entry in registry.audit("t123")] == ["tenant.requested"]


def test_a_request_that_contradicts_an_existing_tenant_is_refused(registry: Registry) -> None:
    registry.request("t123", "standard", "ann")
    with pytest.raises(TenantStateError, match="t123 exists with plan standard"):
        registry.request("t123", "enterprise", "ann")
    with pytest.raises(TenantStateError, match="currency USD"):
        registry.request("t123", "standard", "ann", "EUR")


@pytest.mark.parametrize(
    ("tenant_id", "plan", "currency"),
    [
        ("T123", "standard", "USD"),
        ("t", "standard", "USD"),
        ("t123\n", "standard", "USD"),
        ("t" * 32, "standard", "USD"),
        ("../etc", "standard", "USD"),
        ("t123", "gold", "USD"),
        ("t123", "standard", "usd"),
    ],
)
def test_a_malformed_request_is_refused_and_writes_nothing(
    registry: Registry, tenant_id: str, plan: str, currency: str
) -> None:
    with pytest.raises(ContractError):
        registry.request(tenant_id, plan, "ann", currency)
    assert registry.list() == []
    assert registry.audit() == ()


def test_an_unknown_tenant_is_an_error_everywhere_and_writes_nothing(registry: Registry) -> None:
    with pytest.raises(TenantNotFoundError, match="ghost"):
        registry.get("ghost")
    with pytest.raises(TenantNotFoundError):
        registry.transition("ghost", TenantState.PROVISIONING, actor="job")
    with pytest.raises(TenantNotFoundError):
        registry.request_deletion("ghost", "ann")
    with pytest.raises(TenantNotFoundError):
        registry.mint_key("ghost", "ingest", "ann")
    assert registry.audit() == ()


def test_a_real_transition_raises_the_revision_and_a_repeated_one_does_nothing(registry: Registry) -> None:
    registry.request("t123", "standard", "ann")
    assert registry.transition("t123", TenantState.PROVISIONING, actor="job").revision == 2
    assert registry.transition("t123", TenantState.PROVISIONING, actor="job").revision == 2
    active = registry.transition("t123", TenantState.ACTIVE, actor="job")
    assert (active.state, active.revision) == (TenantState.ACTIVE, 3)
    entries = registry.audit("t123")
    assert [entry.action for entry in entries] == ["tenant.requested", "tenant.provisioning", "tenant.active"]
    assert entries[-1].before["state"] == "provisioning"
    assert entries[-1].after == {"state": "active", "plan": "standard", "reason": None, "revision": 3}
    assert entries[-1].actor == "job"


def test_a_tenant_fails_with_a_reason_and_can_be_tried_again(registry: Registry) -> None:
    registry.request("t123", "standard", "ann")
    with pytest.raises(ContractError, match="reason"):
        registry.transition("t123", TenantState.FAILED, actor="job")
    registry.transition("t123", TenantState.FAILED, actor="job", reason="migrate failed: disk full")
    assert registry.get("t123").reason == "migrate failed: disk full"
    retried = registry.transition("t123", TenantState.PROVISIONING, actor="ann")
    assert (retried.reason, retried.revision) == (None, 3)


def test_deleting_an_active_tenant_suspends_it_first_and_its_id_is_never_used_again(
    registry: Registry,
) -> None:
    _active(registry, "t123")
    assert registry.request_deletion("t123", "ann").state is TenantState.DELETING
    assert registry.request_deletion("t123", "ann").revision == 5
    registry.transition("t123", TenantState.DELETED, actor="job")
    with pytest.raises(TenantStateError, match="never used again"):
        registry.request("t123", "standard", "ann")
    actions = [entry.action for entry in registry.audit("t123")]
    assert actions[-3:] == ["tenant.suspended", "tenant.deleting", "tenant.deleted"]


def test_a_tenant_being_provisioned_cannot_be_deleted(registry: Registry) -> None:
    registry.request("t123", "standard", "ann")
    registry.transition("t123", TenantState.PROVISIONING, actor="job")
    with pytest.raises(TenantStateError, match="wait until it is active or failed"):
        registry.request_deletion("t123", "ann")


def test_listing_filters_by_state_and_sorts_by_id(registry: Registry) -> None:
    registry.request("zeta", "starter", "ann")
    _active(registry, "alpha")
    assert [tenant.tenant_id for tenant in registry.list()] == ["alpha", "zeta"]
    assert [tenant.tenant_id for tenant in registry.list(TenantState.REQUESTED)] == ["zeta"]


def test_a_plan_changes_once_and_only_when_the_tenant_is_there(registry: Registry) -> None:
    registry.request("t123", "starter", "ann")
    with pytest.raises(TenantStateError, match="once it is active"):
        registry.change_plan("t123", "standard", "ann")
    _active(registry, "t200")
    assert registry.change_plan("t200", "enterprise", "ann").revision == 4
    assert registry.change_plan("t200", "enterprise", "ann").revision == 4
    with pytest.raises(ContractError, match="gold"):
        registry.change_plan("t200", "gold", "ann")


def test_the_plane_url_is_recorded_without_a_new_generation(registry: Registry) -> None:
    registry.request("t123", "starter", "ann")
    tenant = registry.set_plane_url("t123", "http://127.0.0.1:8080", "job")
    assert (tenant.plane_url, tenant.revision) == ("http://127.0.0.1:8080", 1)


def test_a_key_is_returned_once_and_only_its_digest_is_stored(registry: Registry) -> None:
    _active(registry, "t123")
    key = registry.mint_key("t123", "ingest", "ann")
    assert key.startswith("umg_ingest_")
    assert registry.active_key_digests("ingest") == {hashlib.sha256(key.encode()).digest(): "t123"}
    assert registry.active_key_digests("export") == {}
    with registry.reading() as session:
        rows = session.execute(text("SELECT * FROM registry_keys")).all()
        audit = session.execute(text("SELECT * FROM registry_audit")).all()
    secret = key.removeprefix("umg_ingest_")
    assert secret not in repr(rows)
    assert secret not in repr(audit)
    assert [record.key_id for record in registry.keys("t123")] == [key_id_of(key)]


def test_a_key_works_only_while_its_tenant_is_provisioning_or_active(registry: Registry) -> None:
    registry.request("t123", "standard", "ann")
    registry.mint_key("t123", "ingest", "ann")
    seen = {"requested": registry.active_key_digests("ingest")}
    for state in (TenantState.PROVISIONING, TenantState.ACTIVE, TenantState.SUSPENDED, TenantState.DELETING):
        registry.transition("t123", state, actor="job")
        seen[state] = registry.active_key_digests("ingest")
    assert {state for state, digests in seen.items() if digests} == {"provisioning", "active"}
    with pytest.raises(TenantStateError, match="no new keys"):
        registry.mint_key("t123", "ingest", "ann")


def test_a_revoked_key_stops_and_only_its_own_tenant_can_revoke_it(registry: Registry) -> None:
    _active(registry, "t123")
    _active(registry, "t200")
    key = registry.mint_key("t123", "export", "ann")
    assert registry.revoke_key("t200", key_id_of(key), "eve") is False
    assert len(registry.active_key_digests("export")) == 1
    assert registry.revoke_key("t123", key_id_of(key), "ann") is True
    assert registry.revoke_key("t123", key_id_of(key), "ann") is True
    assert registry.active_key_digests("export") == {}
    assert [entry.action for entry in registry.audit("t123")].count("key.revoked") == 1


def test_registering_a_held_key_twice_is_registering_it_once_and_tells_a_revoked_one(
    registry: Registry,
) -> None:
    _active(registry, "t123")
    _active(registry, "t200")
    assert registry.ensure_key("t123", "ingest", "umg_ingest_held", "job") is True
    assert registry.ensure_key("t123", "ingest", "umg_ingest_held", "job") is True
    assert len(registry.keys("t123")) == 1
    with pytest.raises(ContractError, match="already in use"):
        registry.ensure_key("t200", "ingest", "umg_ingest_held", "job")
    assert registry.revoke_all_keys("t123", "ann") == 1
    assert registry.ensure_key("t123", "ingest", "umg_ingest_held", "job") is False


@pytest.mark.parametrize(
    "statement", ["UPDATE registry_audit SET actor = 'eve'", "DELETE FROM registry_audit"]
)
def test_the_database_itself_refuses_to_change_the_audit_trail(registry: Registry, statement: str) -> None:
    registry.request("t123", "starter", "ann")
    with pytest.raises(DBAPIError, match="append only"), registry.writing() as session:
        session.execute(text(statement))
    assert [entry.actor for entry in registry.audit()] == ["ann"]


def test_audit_pages_by_id_and_takes_entries_from_outside(registry: Registry) -> None:
    registry.record("ann", "export.pulled", None, reason="support case", after={"mart": "installs"})
    registry.request("t123", "starter", "ann")
    first, second = registry.audit()
    assert registry.audit(after_id=first.audit_id) == (second,)
    assert (first.action, first.reason, first.after) == (
        "export.pulled",
        "support case",
        {"mart": "installs"},
    )
    assert registry.audit("t200") == ()


def test_models_and_migrations_describe_the_same_schema(registry: Registry, database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.connect() as connection:
        options = {"version_table": "registry_alembic_version"}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    engine.dispose()
    assert differences == []


def test_several_processes_migrate_at_once_and_all_succeed(database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(4)
    processes = [context.Process(target=_migrate, args=(database_url, gate)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]


def test_of_many_concurrent_transitions_one_counts(registry: Registry) -> None:
    registry.request("t123", "starter", "ann")
    gate = threading.Barrier(8)

    def move(_: int) -> int:
        gate.wait()
        return registry.transition("t123", TenantState.PROVISIONING, actor="job").revision

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(move, range(8))) == {2}
    assert len(registry.audit("t123")) == 2


def test_of_many_concurrent_requests_one_counts(registry: Registry) -> None:
    gate = threading.Barrier(8)

    def ask(index: int) -> int:
        gate.wait()
        return registry.request("t123", "starter", f"actor{index}").revision

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {1}
    assert len(registry.audit("t123")) == 1


def test_every_state_has_a_row_in_the_table_and_only_deleted_is_final() -> None:
    assert set(ALLOWED_TRANSITIONS) == set(TenantState)
    assert {state for state, following in ALLOWED_TRANSITIONS.items() if not following} == {
        TenantState.DELETED
    }


@pytest.mark.parametrize("current", list(TenantState))
@pytest.mark.parametrize("wanted", list(TenantState))
def test_a_transition_is_a_no_op_allowed_or_refused_by_the_table(
    current: TenantState, wanted: TenantState
) -> None:
    if wanted is current:
        assert check_transition("t123", current, wanted) is False
    elif wanted in ALLOWED_TRANSITIONS[current]:
        assert check_transition("t123", current, wanted) is True
    else:
        with pytest.raises(TenantStateError, match=f"t123 is {current} and cannot become {wanted}"):
            check_transition("t123", current, wanted)
