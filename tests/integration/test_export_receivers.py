"""One tenant's exports at a real plane, a real S3 server and a webhook at once, through an outage of each."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from standardwebhooks import Webhook

from assets.export_delivery import Doors
from assets.redelivery import redeliver_due
from benchmarks.drills.export_house import (
    DATES,
    HANG_TIMEOUT_S,
    SLICES,
    House,
    LaterRegistry,
    export_once,
    shelf,
)
from benchmarks.drills.receivers import HANG, OK, Receiver, receiving
from resources.destinations.buckets import Bucket
from resources.registry import TenantState
from tests.support.servers import S3Server, s3_server
from tests.unit.resources.served import served_plane


@dataclass
class World:
    """A tenant `t1` with three receivers, and where what they got lies."""

    doors: Doors
    hook: Receiver
    secret: str
    bucket_dir: Path
    plane_home: Path
    house: House

    def bucket_holds(self) -> dict[str, str]:
        """Key below the prefix → digest; of manifests as `shelf` does."""
        found = {}
        for path in sorted(self.bucket_dir.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                if path.name == "manifest.json":
                    kept = {name: value for name, value in json.loads(content).items() if name != "run_id"}
                    content = json.dumps(kept, sort_keys=True).encode()
                key = path.relative_to(self.bucket_dir / "own").as_posix()
                found[f"t1/{key}"] = hashlib.sha256(content).hexdigest()
        return found

    def later(self) -> None:
        """An hour passes, and what is due is sent."""
        registry = self.doors.registry
        assert isinstance(registry, LaterRegistry)
        registry.later = dt.timedelta(hours=1)
        while "t1" in registry.due_tenants():
            assert redeliver_due(self.doors, "t1", "redelivery").delivered
        registry.later = dt.timedelta()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, Path]]:
    directory = tmp_path_factory.mktemp("s3")
    with s3_server(directory) as server:
        yield server, directory / "s3" / server.bucket


@pytest.fixture
def world(tmp_path: Path, store: tuple[S3Server, Path]) -> Iterator[World]:
    server, bucket_dir = store
    with receiving() as hook:
        house = House(tmp_path / "home", frozenset({hook.host, urlsplit(server.endpoint).netloc}))
        doors = house.doors()
        doors.registry.migrate()
        doors.registry.request("t1", "standard", "test")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            doors.registry.transition("t1", state, actor="test")
        secret = doors.book.add_webhook("t1", hook.url, "test").secret
        bucket = Bucket(
            server.endpoint, server.bucket, "own", "us-east-1", server.access_key_id, server.secret_access_key
        )
        doors.book.add_bucket("t1", bucket, "test")
        yield World(doors, hook, secret, bucket_dir, tmp_path / "plane", house)
        doors.registry.close()


def rows_at_plane(world: World, mart: str, date: dt.date) -> list[dict[str, Any]]:
    path = world.plane_home / "marts" / mart / f"date={date}" / "data.parquet"
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def test_every_receiver_has_everything_whatever_failed_on_the_way(world: World) -> None:
    with served_plane(world.house.settings.tenants_dir, "t1", world.plane_home):
        first = export_once(world.doors, "t1", 1)
        assert len(first.delivered) == 3 * SLICES
        assert not export_once(world.doors, "t1", 1).delivered, "the same again is no news"
        world.hook.mood = HANG
        impatient = world.house.doors(HANG_TIMEOUT_S)
        second = export_once(impatient, "t1", 2)
        assert {where for where, _ in second.waiting} == {
            one.destination_id for one in world.doors.registry.destinations("t1") if one.kind == "webhook"
        }
        assert len(second.delivered) == 2 * SLICES
    third = export_once(impatient, "t1", 3)  # the plane is down, the webhook hangs, the bucket takes it
    assert (len(third.delivered), len(third.waiting)) == (SLICES, 2 * SLICES)
    impatient.registry.close()
    world.hook.mood = OK
    with served_plane(world.house.settings.tenants_dir, "t1", world.plane_home):
        outcome = export_once(world.doors, "t1", 3)  # another address: the plane is tried anew
        assert not outcome.dead
        world.later()
    assert world.doors.registry.undelivered("t1") == []
    assert world.bucket_holds() == shelf(world.doors.store, "t1")
    for date in DATES:
        assert {row["events"] for row in rows_at_plane(world, "kpi_daily", date)} == {3, 4, 5}
    newest = {
        (one["data"]["mart"], one["data"]["date"], one["data"]["restatement"])
        for one in world.hook.messages()
    }
    assert {(mart, date) for mart, date, restatement in newest if restatement == 2} == {
        (mart, str(date)) for date in DATES for mart in ("installs", "kpi_daily", "ltv_scores")
    }
    assert all(count == 1 for count in world.hook.effects.values())
    for arrival in world.hook.arrived:
        assert Webhook(world.secret).verify(arrival.body, arrival.headers)["data"]["tenantId"] == "t1"
