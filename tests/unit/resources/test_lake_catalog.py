"""Opening the lake's catalog: by any spelling of its URL, and while its database is away."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from resources.errors import ServiceUnavailableError
from resources.lake import Lake
from resources.settings import Settings
from tests.support.servers import own_schema


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_postgresql_catalog_opens_however_its_url_is_spelled(
    tmp_path: Path, postgres_url: str, scheme: str
) -> None:
    url = scheme + postgres_url[postgres_url.index(":") :]
    schema = f"spelled_{scheme.replace('+', '_')}"
    with closing(Lake(Settings(home=tmp_path, catalog_uri=own_schema(url, schema)))) as lake:
        lake.ensure_tables()
        assert lake.slice_dates("ml.scores", "t1") == []


def test_a_catalog_that_is_away_is_a_retryable_error_that_names_the_setting(tmp_path: Path) -> None:
    away = f"postgresql://u:secret@/lake?host={tmp_path}"
    with pytest.raises(ServiceUnavailableError, match="UNMOGROWP_CATALOG_URI") as raised:
        Lake(Settings(home=tmp_path, catalog_uri=away)).ensure_tables()
    assert "secret" not in str(raised.value)
