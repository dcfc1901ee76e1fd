"""The audit trail's chain: every way of tampering with the database is found, on SQLite and on PostgreSQL."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from resources.errors import AuditTrailError
from resources.registry import Registry, TenantState
from resources.registry.audit_chain import GENESIS_HASH, head_signature
from resources.registry.engine import MIGRATIONS_DIR, WRITES, open_engine
from resources.settings import APPLICATION_ROOT

KEY = b"k" * 32
ENTRIES = 6


@pytest.fixture
def trail(database_url: str) -> Iterator[Registry]:
    """A registry with six entries of every shape, its guards taken off as an attacker with the database would."""
    registry = Registry(database_url, lambda: KEY)
    registry.migrate()
    registry.request("t123", "standard", "ann")
    registry.transition("t123", TenantState.PROVISIONING, actor="job")
    registry.transition("t123", TenantState.ACTIVE, actor="job", reason="built, 100 %")
    registry.mint_key("t123", "ingest", "ann")
    registry.record("ann", "export.pulled", None, after={"mart": "installs", "rows": 3, "share": 0.1})
    registry.record("Ünal", "export.pulled", "t123", reason="случай", before={"a": [1, {"b": None}]})
    with registry.writing() as session:
        _unguarded(session.connection())
    yield registry
    registry.close()


def _unguarded(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            connection.execute(text(f"DROP TRIGGER registry_audit_no_{verb}"))
    else:
        connection.execute(text("DROP TRIGGER registry_audit_guard ON registry_audit"))


def _tamper(registry: Registry, *statements: str) -> None:
    with registry.writing() as session:
        for statement in statements:
            session.execute(text(statement))


def test_a_trail_that_nobody_touched_is_whole(trail: Registry) -> None:
    verdict = trail.verify_audit()
    assert (verdict.is_whole, verdict.entries, verdict.faults) == (True, ENTRIES, ())
    assert verdict.head is not None
    newest = trail.audit()[-1]
    assert (verdict.head.audit_id, verdict.head.hash) == (newest.audit_id, newest.hash)
    assert verdict.head.signature == head_signature(KEY, newest.audit_id, newest.hash)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("audit_id", "30"),
        ("at", "'2020-01-01 00:00:00.000001'"),
        ("actor", "'eve'"),
        ("action", "'tenant.deleted'"),
        ("tenant_id", "'t200'"),
        ("tenant_id", "NULL"),
        ("reason", "NULL"),
        ("reason", "'because'"),
        ("before", "'{}'"),
        ("after", """'{"state": "deleted"}'"""),
        ("previous_hash", f"'{GENESIS_HASH}'"),
        ("hash", "'" + "a" * 64 + "'"),
        ("hash", "''"),
    ],
)
def test_an_edit_of_any_column_is_found(trail: Registry, column: str, value: str) -> None:
    _tamper(trail, f'UPDATE registry_audit SET "{column}" = {value} WHERE audit_id = 3')
    verdict = trail.verify_audit()
    assert not verdict.is_whole
    assert {fault.audit_id for fault in verdict.faults} & {3, 4, 30}


def test_every_column_of_the_trail_is_among_those_edited(trail: Registry) -> None:
    edited = test_an_edit_of_any_column_is_found.pytestmark[0].args[1]  # type: ignore[attr-defined]  # pytest's mark
    with trail.reading() as session:
        columns = set(session.execute(text("SELECT * FROM registry_audit")).keys())
    assert columns == {column for column, _ in edited}


@pytest.mark.parametrize("gone", [1, 3, ENTRIES])
def test_a_removed_entry_is_found_wherever_it_was(trail: Registry, gone: int) -> None:
    _tamper(trail, f"DELETE FROM registry_audit WHERE audit_id = {gone}")
    assert not trail.verify_audit().is_whole


def test_an_end_that_was_cut_off_is_found_also_when_the_head_was_moved_back(trail: Registry) -> None:
    fourth = trail.audit()[3].hash
    _tamper(trail, "DELETE FROM registry_audit WHERE audit_id > 4")
    assert "cut off" in trail.verify_audit().faults[0].problem
    _tamper(trail, f"UPDATE registry_audit_head SET audit_id = 4, hash = '{fourth}'")
    [fault] = trail.verify_audit().faults
    assert "signed" in fault.problem


def test_a_database_put_back_whole_is_found_by_what_was_seen_before(trail: Registry) -> None:
    fourth = trail.audit()[3]
    newest = trail.audit()[-1]
    old = head_signature(KEY, fourth.audit_id, fourth.hash)
    _tamper(
        trail,
        "DELETE FROM registry_audit WHERE audit_id > 4",
        f"UPDATE registry_audit_head SET audit_id = 4, hash = '{fourth.hash}', signature = '{old}'",
    )
    assert trail.verify_audit().is_whole  # what the database says of itself
    [fault] = trail.verify_audit({newest.audit_id: newest.hash}).faults
    assert "seen before, is missing" in fault.problem
    trail.record("eve", "a.b")
    trail.record("eve", "a.b")
    [fault] = trail.verify_audit({newest.audit_id: newest.hash}).faults
    assert "not the one seen before" in fault.problem


def test_swapped_inserted_and_rechained_entries_are_found(trail: Registry) -> None:
    swap = "UPDATE registry_audit SET audit_id = {1} WHERE audit_id = {0}"
    _tamper(trail, swap.format(2, 99), swap.format(3, 2), swap.format(99, 3))
    assert not trail.verify_audit().is_whole
    _tamper(trail, swap.format(3, 99), swap.format(2, 3), swap.format(99, 2))
    assert trail.verify_audit().is_whole
    columns = 'actor, action, tenant_id, reason, "before", "after", previous_hash, hash'
    _tamper(
        trail,
        f'INSERT INTO registry_audit (audit_id, "at", {columns}) '
        f'SELECT 7, "at", {columns} FROM registry_audit WHERE audit_id = 2',
    )
    assert not trail.verify_audit().is_whole


def test_a_whole_chain_written_anew_does_not_have_the_signature(trail: Registry, database_url: str) -> None:
    _tamper(trail, "UPDATE registry_audit_head SET signature = ''")
    assert not trail.verify_audit().is_whole
    without_key = Registry(database_url)
    without_key.record("eve", "a.b")
    without_key.close()
    assert not trail.verify_audit().is_whole
    trail.record("ann", "a.b")
    assert trail.verify_audit().is_whole


def test_a_head_that_was_removed_is_found_and_nothing_is_written_behind_it(trail: Registry) -> None:
    _tamper(trail, "DELETE FROM registry_audit_head")
    assert "head is missing" in trail.verify_audit().faults[0].problem
    with pytest.raises(AuditTrailError, match="no head"):
        trail.request("t200", "starter", "ann")
    assert [tenant.tenant_id for tenant in trail.list()] == ["t123"]


def test_entries_written_at_once_are_one_chain_without_gaps(trail: Registry, database_url: str) -> None:
    others = [Registry(database_url, lambda: KEY) for _ in range(3)]
    gate = threading.Barrier(6)

    def write(number: int) -> None:
        gate.wait()
        for at in range(5):
            others[number % 3].record(f"writer{number}", "a.b", after={"at": at})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    for registry in others:
        registry.close()
    verdict = trail.verify_audit()
    assert (verdict.is_whole, verdict.entries) == (True, ENTRIES + 30)
    assert [entry.audit_id for entry in trail.audit(limit=100)] == list(range(1, ENTRIES + 31))


def test_a_change_that_is_rolled_back_leaves_no_entry_and_no_gap(trail: Registry) -> None:
    def fail() -> None:
        with trail.writing() as session:
            session.execute(text("UPDATE registry_tenants SET plan = 'starter'"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    trail.record("ann", "a.b")
    assert [entry.audit_id for entry in trail.audit()] == list(range(1, ENTRIES + 2))


def test_the_migration_chains_the_entries_that_were_there(database_url: str) -> None:
    engine = open_engine(database_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "r0003")
        for number in (1, 2, 5):  # a rolled-back insert left gaps in PostgreSQL's ids
            connection.execute(
                text(
                    'INSERT INTO registry_audit (audit_id, "at", actor, action, tenant_id, reason, "before", "after") '
                    "VALUES (:id, '2026-01-01 10:00:00', 'ann', 'a.b', NULL, NULL, '{}', '{\"n\": 1}')"
                ),
                {"id": number},
            )
    engine.dispose()
    registry = Registry(database_url, lambda: KEY)
    registry.migrate()
    assert (registry.verify_audit().is_whole, registry.verify_audit().entries) == (True, 3)
    registry.record("ann", "a.b")
    assert (registry.audit()[-1].audit_id, registry.verify_audit().is_whole) == (6, True)
    with pytest.raises(Exception, match="append only"):
        _tamper(registry, "UPDATE registry_audit SET actor = 'eve'")
    registry.close()


def test_every_process_of_the_platform_opens_the_registry_with_its_signing_key() -> None:
    rooms = ("assets", "benchmarks", "cli", "control_plane", "inference_api", "ingest_api", "resources")
    files = [path for room in rooms for path in (APPLICATION_ROOT / room).rglob("*.py")]
    opened = [
        f"{path.relative_to(APPLICATION_ROOT)}:{node.lineno}"
        for path in [*files, APPLICATION_ROOT / "definitions.py"]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Registry"
    ]
    assert opened == []
