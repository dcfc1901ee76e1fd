"""The lake and the registry on every backend: SQLite or PostgreSQL, local files or S3."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from resources.lake import Lake
from resources.registry import Registry
from resources.settings import Settings
from resources.tenant_drivers.local import LocalTenantDriver
from tests.support.servers import S3Server, own_schema, postgres_server, s3_server
from tests.support.tenant_homes import opened_home


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["sqlite-files", "postgres-files", "sqlite-s3"])
def lake_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """An empty lake of its own per test: a home, and a schema of the database or a prefix of the bucket."""
    own = "t" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]
    if request.param == "postgres-files":
        url = own_schema(request.getfixturevalue("postgres_url"), own)
        return Settings(home=tmp_path / "home", catalog_uri=url)
    if request.param == "sqlite-s3":
        server: S3Server = request.getfixturevalue("s3")
        return server.settings(tmp_path / "home", own)
    return Settings(home=tmp_path / "home")


@pytest.fixture
def lake(lake_settings: Settings) -> Iterator[Lake]:
    with closing(Lake(lake_settings)) as lake:
        lake.ensure_tables()
        yield lake


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of its own per test, or a schema of one."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'registry.db'}"
    own = "s" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]
    return own_schema(request.getfixturevalue("postgres_url"), own)


@pytest.fixture
def registry(database_url: str) -> Iterator[Registry]:
    """An empty, migrated registry."""
    registry = Registry(database_url)
    registry.migrate()
    yield registry
    registry.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Settings, Registry, LocalTenantDriver]]:
    settings, registry, driver = opened_home(tmp_path / "home")
    yield settings, registry, driver
    registry.close()
