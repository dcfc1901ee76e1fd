"""Landers that share a topic: every event lands exactly once, whoever hangs, dies or is late."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ingest_api.event_log.kafka_reader import KafkaReader
from ingest_api.event_log.protocol import LogRecord
from ingest_api.lander import Lander
from ingest_api.lander_service import LanderService
from resources.errors import CommitConflictError
from resources.lake import Lake
from resources.lake_history import LAND_SEQ_KEY
from resources.vault import open_vault
from tests.support.door import RunningDoor, click, founding_event
from tests.support.kafka_cluster import BROKERS, DeleteRecordsProxy, KafkaCluster, kafka_settings
from tests.support.kafka_records import PATIENCE_S, append, record, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from resources.settings import Settings

ALL = 10**9


@pytest.fixture
def settings(cluster: KafkaCluster, tmp_path: Path) -> Settings:
    return kafka_settings(cluster, tmp_path)


@pytest.fixture
def proxy(cluster: KafkaCluster) -> Iterator[DeleteRecordsProxy]:
    with contextlib.closing(DeleteRecordsProxy(cluster)) as running:
        yield running


class GroupLander:
    """A lander over its own reader; `after_step` as the lander's. A context manager."""

    def __init__(
        self, settings: Settings, after_step: Callable[[str], None] = lambda _: None, **given: float
    ) -> None:
        self.lake = Lake(settings)
        self.lake.ensure_tables()
        self.reader = KafkaReader(settings, **given)
        self._vault = open_vault(settings)
        self.lander = Lander(settings, self.lake, self.reader, self._vault, after_step=after_step)

    def __enter__(self) -> GroupLander:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self._vault.close()
        self.lake.close()

    def land_all(self) -> int:
        """Rows landed; a commit that another lander won is tried again, as the service does."""
        rows = 0
        while True:
            with contextlib.suppress(CommitConflictError):
                report = self.lander.land_once()
                rows += report.rows
                if not report.commits:
                    return rows

    def rows(self, name: str = "raw.events") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.lake.table(name).scan().to_arrow().to_pylist()
        return found


def send(door: RunningDoor, count: int) -> list[str]:
    events = [click(deviceId=f"device-{number}") for number in range(count)]
    assert [door.send(event).status_code for event in events] == [202] * count
    assert door.send(founding_event(campaign="")).status_code == 422
    return [event["eventId"] for event in events]


def test_a_zombie_lander_is_refused_after_a_rebalance_and_every_event_lands_once(settings: Settings) -> None:
    """The first lander hangs between reading and committing until the group gave its partitions away."""
    sent: list[str] = []
    hangs = [True]

    def hang(step: str) -> None:
        if step == "read" and hangs[0]:
            hangs[0] = False
            until(lambda: len(second.reader.writers()) == 3)
            assert second.land_all() == len(sent)
            sent.extend(send(door, 3))  # and more comes before the zombie wakes

    patience = {"max_poll_interval_s": 2.0}
    with RunningDoor(settings) as door, GroupLander(settings, hang, **patience) as zombie:
        assert len(zombie.reader.writers()) == 3
        sent += send(door, 5)
        with GroupLander(settings) as second:
            with pytest.raises(CommitConflictError, match="another lander moved it"):
                zombie.lander.land_once()
            until(lambda: zombie.reader.writers() or second.reader.writers())
            deadline = time.monotonic() + PATIENCE_S
            while len(zombie.rows()) < len(sent) and time.monotonic() < deadline:
                zombie.land_all()
                second.land_all()
        assert sorted(row["event_id"] for row in zombie.rows()) == sorted(sent)
        quarantined = [row["quarantine_id"] for row in zombie.rows("raw.quarantine")]
        assert len(quarantined) == len(set(quarantined)) == 2
        assert zombie.lake.offsets("raw.events")[LAND_SEQ_KEY] == str(len(sent))


def test_two_landers_share_the_work_and_land_every_event_once(settings: Settings) -> None:
    tenants = [f"t{number}" for number in range(10, 16)]
    with GroupLander(settings) as first, GroupLander(settings) as second:
        until(lambda: first.reader.writers() and second.reader.writers())
        landed = [0, 0]
        for turn in range(3):
            bodies = [(tenant, click(tenantId=tenant)) for tenant in tenants]
            append(settings, *(_landable(turn, tenant, event) for tenant, event in bodies))
            _land(first, second, landed)
        deadline = time.monotonic() + PATIENCE_S
        while sum(landed) < 18 and time.monotonic() < deadline:  # the group may just be dividing its work
            _land(first, second, landed)
        assert sum(landed) == 18
        assert min(landed) > 0
        assert len({row["event_id"] for row in first.rows()}) == len(first.rows()) == 18


def _land(first: GroupLander, second: GroupLander, landed: list[int]) -> None:
    landed[0] += first.land_all()
    landed[1] += second.land_all()


def _landable(number: int, tenant_id: str, event: dict[str, Any]) -> LogRecord:
    return record(number, tenant_id, orjson.dumps(event))


def test_the_service_stays_up_and_says_so_while_kafka_is_away(
    cluster: KafkaCluster, settings: Settings
) -> None:
    cluster.take_down(*BROKERS)
    status_path = settings.home / "status" / "lander.json"
    with GroupLander(settings, join_wait_s=0.1, request_timeout_s=0.2) as lander:
        service = LanderService(settings, lander.lander, lag_s=lambda: 0.0)
        thread = threading.Thread(target=service.run)
        thread.start()
        try:
            until(status_path.exists)
            status = json.loads(status_path.read_text())
        finally:
            service.stop()
            thread.join()
    assert status["failures_in_a_row"] == 1
    assert status["backlog_bytes"] is None
    assert "does not answer" in status["error"]


def test_landed_bodies_are_deleted_from_the_topic(proxy: DeleteRecordsProxy, settings: Settings) -> None:
    behind_proxy = settings.with_changes(kafka_bootstrap=proxy.bootstrap)
    with RunningDoor(behind_proxy) as door, GroupLander(behind_proxy) as lander:
        sent = send(door, 4)
        assert lander.land_all() == 4
        [(topic, partition, upto)] = proxy.deleted  # once, however often the lander looked
        assert (topic, upto) == (settings.kafka_topic, 5)
        writer = f"{topic}-{partition}"
        assert lander.reader.backlog_bytes(writer, None) == 0
        assert list(lander.reader.read(writer, None, max_events=ALL)) == []  # no body is there any more
        sent += send(door, 2)
        assert lander.land_all() == 2
        assert sorted(row["event_id"] for row in lander.rows()) == sorted(sent)
        assert proxy.deleted[1:] == [(topic, partition, 8)]
