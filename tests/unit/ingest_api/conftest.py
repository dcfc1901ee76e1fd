"""A door and its settings for this folder's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.settings import Settings
from tests.support.door import RunningDoor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def door(settings: Settings) -> Iterator[RunningDoor]:
    with RunningDoor(settings) as running:
        yield running
