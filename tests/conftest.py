"""Fixtures every room shares. Servers are real; one of each per session, on free ports of the loopback."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from resources.library_environment import silence_library_telemetry
from resources.settings import Settings

silence_library_telemetry()
os.environ["UNMOGROWP_HOME"] = tempfile.mkdtemp(prefix="unmogrowp-tests-")  # never the person's own home
os.environ["COLUMNS"] = "240"  # what people read is wrapped alike wherever the tests run
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stack-home", type=Path, help="run the end-to-end tests against the kept demo stack of this home"
    )


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
