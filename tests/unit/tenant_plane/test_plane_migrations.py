"""The plane's migrations on a PostgreSQL server, where pods share no disk and so no file lock."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sqlalchemy as sa

from tenant_plane import database
from tests.support.servers import own_schema, postgres_server
from tests.unit.tenant_plane.plane_process import PlaneProcess, running

WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
PODS = 2


def _migrate(home: Path, url: str) -> None:
    """In a process of its own, as a pod."""
    PlaneProcess(home, extra={"DATABASE_URL": url}).run("migrate")


def _wait_for_waiting(connection: sa.Connection, count: int) -> None:
    deadline_s = time.monotonic() + 60
    while connection.execute(WAITING).scalar_one() < count:
        assert time.monotonic() < deadline_s, "no migration waits for the one under way"
        time.sleep(0.1)


def test_pods_that_migrate_one_database_at_once_wait_for_each_other_and_it_serves(tmp_path: Path) -> None:
    with postgres_server() as server:
        url = own_schema(server, "t123").replace("postgresql://", "postgresql+psycopg://")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with ThreadPoolExecutor(PODS) as pool, engine.connect() as under_way:
            lock = {"id": database.MIGRATION_LOCK_ID}
            under_way.execute(sa.text("SELECT pg_advisory_lock(:id)"), lock)
            pods = [pool.submit(_migrate, tmp_path / f"pod{number}", url) for number in range(PODS)]
            try:
                _wait_for_waiting(under_way, PODS)
                assert sa.inspect(under_way).get_table_names() == []
            finally:
                under_way.execute(sa.text("SELECT pg_advisory_unlock(:id)"), lock)
            for pod in pods:
                pod.result()
            count = sa.select(sa.func.count()).select_from(database.users)
            assert under_way.execute(count).scalar_one() == 1
        engine.dispose()
        plane = PlaneProcess(tmp_path / "plane", extra={"DATABASE_URL": url})
        with running(plane), plane.client() as client:
            assert client.get("/health").json()["tenantId"] == plane.tenant_id
        assert not list((tmp_path / "plane").glob("*.db"))
