"""Fixtures every room shares. Servers are real; one of each per session, on free ports of the loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.settings import Settings, silence_library_telemetry

silence_library_telemetry()
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty home."""
    return Settings(home=tmp_path / "home")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout."""
    if not SHARED_DATA.exists():
        pytest.skip("the shared data folder is not beside this checkout")
    return SHARED_DATA
