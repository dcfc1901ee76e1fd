"""A door and its settings for this folder's tests, one that is quickly out of patience, and a Kafka cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.settings import Settings
from tests.support.door import RunningDoor
from tests.support.kafka_cluster import KafkaCluster
from tests.support.raw_http import TIMEOUT_S

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


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[RunningDoor]:
    """A door that is quickly out of patience."""
    settings = Settings(
        home=tmp_path,
        head_timeout_s=TIMEOUT_S,
        body_timeout_s=TIMEOUT_S,
        keep_alive_s=1,
        head_max_bytes=8_192,
    )
    with RunningDoor(settings) as door:
        yield door


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster() as running:
        yield running
