"""A vault whose database fails says so without the values it was to keep: a log outlives an erasure."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import OperationalError

from resources.settings import Settings
from resources.vault import Original, open_vault

if TYPE_CHECKING:
    from pathlib import Path


def test_a_failed_statement_names_no_values(tmp_path: Path) -> None:
    vault = open_vault(Settings(home=tmp_path))
    try:
        with closing(sqlite3.connect(tmp_path / "vault.db")) as connection:
            connection.execute("DROP TABLE vault_subjects")
        original = Original("p1_subject", "device_id", "p1_fingerprint", "p1_subject", "device-1")
        with pytest.raises(OperationalError, match="no such table") as failure:
            vault.store("t123", [original])
    finally:
        vault.close()
    assert "parameters hidden" in str(failure.value)
    assert "p1_" not in str(failure.value)
