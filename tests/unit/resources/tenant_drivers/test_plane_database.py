"""Databases of planes on a real PostgreSQL server: made once, apart from each other, removed without a trace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from resources.errors import ServiceUnavailableError
from resources.tenant_drivers.plane_database import SHARED_DATABASE, PlaneDatabases


@pytest.fixture
def databases(postgres_url: str) -> Iterator[PlaneDatabases]:
    databases = PlaneDatabases(postgres_url)
    yield databases
    for tenant_id in ("t1", "t2"):
        databases.drop(tenant_id)


def _asked(url: str, *statements: str) -> object:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            for statement in statements:
                answer = connection.execute(sa.text(statement))
            return answer.scalar() if answer.returns_rows else None
    finally:
        engine.dispose()


@pytest.mark.parametrize("plan", ["starter", "standard"])
def test_a_plane_gets_a_place_of_its_own_and_keeps_it_with_its_password(
    databases: PlaneDatabases, plan: str
) -> None:
    url = databases.ensure("t1", plan, None)
    assert databases.ensure("t1", plan, url) == url
    assert _asked(url, "CREATE TABLE users (name text)", "SELECT current_user") == "unmogrow_tenant_t1"
    expected = SHARED_DATABASE if plan == "starter" else "unmogrow_tenant_t1"
    assert _asked(url, "SELECT current_database()") == expected


@pytest.mark.parametrize("plan", ["starter", "standard"])
def test_no_tenant_sees_or_reaches_anothers(databases: PlaneDatabases, plan: str) -> None:
    mine, others = databases.ensure("t1", plan, None), databases.ensure("t2", plan, None)
    _asked(mine, "CREATE TABLE revenue (amount int)")
    if plan == "starter":
        with pytest.raises(DBAPIError, match="permission denied for schema"):
            _asked(others, "SELECT * FROM unmogrow_tenant_t1.revenue")
        with pytest.raises(DBAPIError, match="permission denied"):
            _asked(others, "CREATE SCHEMA another")
    else:
        elsewhere = (
            sa.make_url(others).set(database="unmogrow_tenant_t1").render_as_string(hide_password=False)
        )
        with pytest.raises(DBAPIError, match="permission denied for database"):
            _asked(elsewhere, "SELECT 1")


def test_a_tenant_that_changes_its_plan_keeps_its_data_where_it_is(databases: PlaneDatabases) -> None:
    url = databases.ensure("t1", "starter", None)
    assert databases.ensure("t1", "enterprise", url) == url


def test_dropping_leaves_nothing_and_what_never_was_is_dropped_too(
    databases: PlaneDatabases, postgres_url: str
) -> None:
    kept = databases.ensure("t2", "starter", None)
    for plan in ("starter", "standard"):
        url = databases.ensure("t1", plan, None)
        _asked(url, "CREATE TABLE users (name text)")
        databases.drop("t1")
        databases.drop("t1")
        admin = postgres_url.replace("postgresql://", "postgresql+psycopg://")
        query = "SELECT count(*) FROM {} WHERE {} = 'unmogrow_tenant_t1'"
        left = [
            _asked(admin, query.format(*where))
            for where in (("pg_roles", "rolname"), ("pg_database", "datname"))
        ]
        assert left == [0, 0]
    assert _asked(kept, "SELECT count(*) FROM pg_namespace WHERE nspname = 'unmogrow_tenant_t1'") == 0
    assert _asked(kept, "SELECT 1") == 1


def test_a_server_that_is_away_is_told_with_the_tenant_and_without_the_password() -> None:
    databases = PlaneDatabases("postgresql://admin:hush@127.0.0.1:1/postgres")
    with pytest.raises(
        ServiceUnavailableError, match="tenant t1: its database could not be prepared"
    ) as raised:
        databases.ensure("t1", "standard", None)
    assert "hush" not in str(raised.value)
