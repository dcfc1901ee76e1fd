"""A lander that dies inside a commit or an expiry, or whose disk is in trouble: exactly once all the same.

Deaths between the steps of a landing are in `test_lander`; random ones of real processes in the kill drill.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from ingest_api.lander_service import LanderService
from resources import lake_expiry, lake_files
from tests.support.door import Landing, RunningDoor, click, founding_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


from resources.settings import Settings

STEPS = ("read", "vault", "quarantine", "events", "release")
INSIDE = (
    "data file written",
    "before the commit",
    "after the commit",
    "expired log written",
    "after the expiry",
)


class PowerCutError(BaseException):
    """Ends a landing like a crash: nothing catches it."""


@pytest.fixture(params=[True, False], ids=["native", "without-native"])
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    return Settings(
        home=tmp_path,
        native_scan=request.param,
        snapshots_kept=1,
        snapshot_expire_every=1,  # every commit expires the one before
        event_log_reserve_bytes=0,
    )


@pytest.fixture
def door(settings: Settings) -> Iterator[RunningDoor]:
    with RunningDoor(settings) as running:
        yield running


def send_some(door: RunningDoor) -> list[str]:
    """A batch without fault, which the native scan takes, and one with a bad event, which it does not."""
    good = [click(deviceId=f"device-{number}") for number in range(4)]
    assert door.send_batch(orjson.dumps(good[:3])).status_code == 202
    assert door.send_batch(orjson.dumps([good[3], founding_event(campaign="")])).status_code == 202
    return sorted(event["eventId"] for event in good)


def cut_after(step: str) -> Callable[[str], None]:
    def cut(name: str) -> None:
        if name == step:
            raise PowerCutError

    return cut


def cut_inside(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Make the next pass of that place end the process, once its own work is done."""
    owner: Any
    owner, name, is_before = {
        "data file written": (lake_files, "write_data_files", False),
        "before the commit": (SqlCatalog, "commit_table", True),
        "after the commit": (SqlCatalog, "commit_table", False),
        "expired log written": (lake_expiry, "write_expired", False),
        "after the expiry": (lake_expiry, "expire_snapshots", False),
    }[place]
    real = getattr(owner, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if not is_before:
            real(*arguments, **named)
        raise PowerCutError

    monkeypatch.setattr(owner, name, dying)


def check_all_landed(settings: Settings, sent: list[str], refused: int) -> None:
    with Landing(settings) as landing:
        landing.land_all()
        rows, quarantined = landing.rows(), landing.rows("raw.quarantine")
        vault_keeps = {item.value for row in rows for item in originals(landing, row)}
    assert sorted(row["event_id"] for row in rows) == sorted(sent)
    assert sorted(row["land_seq"] for row in rows) == list(range(len(sent)))
    assert len({row["quarantine_id"] for row in quarantined}) == len(quarantined) == refused
    assert {f"device-{number}" for number in range(4)} <= vault_keeps


def originals(landing: Landing, row: dict[str, Any]) -> list[Any]:
    return landing.vault.reveal(row["tenant_id"], json.loads(row["body"])["deviceId"])


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_between_steps_repeats_nothing(settings: Settings, door: RunningDoor, step: str) -> None:
    sent = send_some(door)
    with Landing(settings, cut_after(step)) as landing, pytest.raises(PowerCutError):
        landing.lander.land_once()
    check_all_landed(settings, sent + send_some(door), refused=2)


@pytest.mark.parametrize("place", INSIDE)
def test_a_crash_inside_a_step_repeats_nothing(
    settings: Settings, door: RunningDoor, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    sent = send_some(door)
    with Landing(settings) as landing:
        landing.land_all()  # so that there is a snapshot to expire
    sent += send_some(door)
    cut_inside(monkeypatch, place)
    with Landing(settings) as landing, pytest.raises(PowerCutError):
        landing.lander.land_once()
    monkeypatch.undo()
    check_all_landed(settings, sent + send_some(door), refused=3)


def test_a_failed_write_leaves_no_half_file(
    settings: Settings, door: RunningDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = send_some(door)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Landing(settings) as landing:
        monkeypatch.setattr(lake_files._DayFile, "data_file", full)
        monkeypatch.setattr(lake_files._DayFile, "write", full)
        with pytest.raises(OSError, match="No space left"):
            landing.lander.land_once()
        monkeypatch.undo()
        assert list((settings.home / "warehouse").rglob("*.parquet")) == []
    check_all_landed(settings, sent, refused=1)


def test_a_status_that_cannot_be_written_does_not_end_the_lander(
    settings: Settings, door: RunningDoor, caplog: pytest.LogCaptureFixture
) -> None:
    sent = send_some(door)
    settings.status_dir.rename(settings.home / "elsewhere")
    settings.status_dir.write_text("where the directory should be")

    def stop(name: str) -> None:
        if name == "release":
            service.stop()

    with Landing(settings, stop) as landing:
        service = LanderService(settings, landing.lander, lambda: 0.0)
        service.run()
        assert sorted(row["event_id"] for row in landing.rows()) == sent
    assert "the status file cannot be written" in caplog.text
    settings.status_dir.unlink()
    (settings.home / "elsewhere").rename(settings.status_dir)


def test_the_status_says_what_a_failing_disk_says(
    settings: Settings, door: RunningDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_some(door)

    def full(*_: object) -> None:
        service.stop()
        raise OSError(28, "No space left on device")

    with Landing(settings) as landing:
        monkeypatch.setattr(landing.lander, "land_once", full)
        service = LanderService(settings, landing.lander, lambda: 0.0)
        service.run()
    status = json.loads((settings.status_dir / "lander.json").read_text())
    assert "No space left on device" in status["error"]
    assert status["failures_in_a_row"] == 1
