"""The plane's migrations on a PostgreSQL server, from several pods at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sqlalchemy as sa

from tenant_plane import database
from tests.support.servers import own_schema, postgres_server
from tests.unit.tenant_plane.plane_process import PlaneProcess, running

PODS = 3


def _migrate(home: Path, url: str) -> None:
    """In a process of its own, as a pod: nothing on disk is shared, so the file's lock is of no help."""
    PlaneProcess(home, extra={"DATABASE_URL": url}).run("migrate")


def test_pods_that_migrate_one_database_at_once_wait_for_each_other_and_it_serves(tmp_path: Path) -> None:
    with postgres_server() as server:
        url = own_schema(server, "t123").replace("postgresql://", "postgresql+psycopg://")
        with ThreadPoolExecutor(PODS) as pool:
            list(pool.map(lambda number: _migrate(tmp_path / f"pod{number}", url), range(PODS)))
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            assert (
                connection.execute(sa.select(sa.func.count()).select_from(database.users)).scalar_one() == 1
            )
        engine.dispose()
        plane = PlaneProcess(tmp_path / "plane", extra={"DATABASE_URL": url})
        with running(plane), plane.signed_in() as client:
            assert client.get("/api/v1/auth").status_code < 500
            assert client.get("/health").json()["tenantId"] == plane.tenant_id
        assert not list((tmp_path / "plane").glob("*.db"))
