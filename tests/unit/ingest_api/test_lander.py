"""The lander: exactly once whatever breaks when, pseudonyms in the lake, originals in the vault."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
import zstandard

from ingest_api.event_log.segment_files import segment_ids
from ingest_api.lander_service import LanderService
from ingest_api.quarantine import unseal_body
from resources.errors import ArtifactCorruptError, CommitConflictError
from resources.lake_history import LAND_SEQ_KEY
from resources.pii import Keyring
from tests.support.door import (
    OTHER_TENANT,
    OTHER_TOKEN,
    TENANT,
    Landing,
    RunningDoor,
    click,
    founding_event,
    headers_of,
    now_text,
)

if TYPE_CHECKING:
    from resources.settings import Settings

STEPS = ["read", "vault", "quarantine", "events", "release"]


class PowerCutError(BaseException):
    """Ends a landing like a crash: nothing catches it."""


def sorted_ids(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["event_id"] for row in rows)


def send_some(door: RunningDoor, count: int = 4) -> list[str]:
    """Good events and as many bad ones, in batches; the ids of the good ones."""
    good = [click(deviceId=f"device-{number}") for number in range(count)]
    bad = [founding_event(campaign="") for _ in range(count)]
    for pair in zip(good, bad, strict=True):
        assert door.send_batch(orjson.dumps(pair)).status_code == 202
    return sorted(event["eventId"] for event in good)


def test_landed_rows_say_what_was_sent(settings: Settings, door: RunningDoor) -> None:
    event = founding_event(
        eventId="6F1C2B9E-0F5D-4C6E-9A57-1D1F0C0A7E01",
        timestamp=now_text(dt.timedelta(hours=-1)),
        metadata={"nul": "a\u0000b", "deep": [[1.5, None, True]], "big": 2**64 - 1, "text": "żółć 🙂\u2028"},
    )
    assert door.send(event).status_code == 202
    with Landing(settings) as landing:
        landing.land_all()
        [row] = landing.rows()
        [change], is_unbroken = landing.lake.changes_since("raw.events", None)
    assert (row["tenant_id"], row["event_type"], row["schema_version"]) == (TENANT, "install", "v1")
    assert row["event_id"] == event["eventId"].lower()
    assert row["event_time"] == dt.datetime.fromisoformat(event["timestamp"])
    assert row["event_date"] == row["event_time"].date()
    assert row["received_at"] > row["event_time"]
    body = json.loads(row["body"])
    assert body.pop("deviceId").startswith("p1_")
    assert body == {name: value for name, value in event.items() if name != "deviceId"}
    assert is_unbroken
    assert change.slices == {TENANT: (row["event_date"],)}
    assert change.summary["unmogrowp.rows"] == "1"


def test_personal_values_are_pseudonyms_in_the_lake_and_originals_in_the_vault(
    settings: Settings, door: RunningDoor
) -> None:
    personal = {"deviceId": "device-1", "userId": "jane", "ip": "192.0.2.77", "userAgent": "Mozilla/5.0"}
    door.send(click(**personal))
    door.send(click(**{**personal, "ip": "192.0.2.99"}))
    httpx.post(
        door.url + "/v1/events/ingest",
        headers=headers_of(OTHER_TENANT, OTHER_TOKEN),
        json=click(tenantId=OTHER_TENANT, **personal),
    )
    with Landing(settings) as landing:
        landing.land_all()
        rows = landing.rows()
        bodies = {(row["tenant_id"], row["land_seq"]): json.loads(row["body"]) for row in rows}
        mine, same_network, other = (bodies[key] for key in sorted(bodies))
        originals = landing.vault.reveal(TENANT, mine["deviceId"])
        assert landing.vault.reveal(OTHER_TENANT, mine["deviceId"]) == []
    for name, value in personal.items():
        assert all(value not in row["body"] for row in rows)
        assert mine[name] == same_network[name]
        assert mine[name] != other[name]
    found = sorted((item.kind, item.value, item.pseudonym) for item in originals)
    assert found == [
        ("device_id", "device-1", mine["deviceId"]),
        ("ip", "192.0.2.77", mine["ip"]),
        ("ip", "192.0.2.99", mine["ip"]),
        ("user_agent", "Mozilla/5.0", mine["userAgent"]),
        ("user_id", "jane", mine["userId"]),
    ]
    vault_bytes = b"".join(path.read_bytes() for path in settings.home.glob("vault.db*"))
    assert b"Mozilla" not in vault_bytes


@pytest.mark.parametrize("encoding", ["identity", "zstd"])
def test_what_was_refused_is_sealed_as_it_came_and_opens_for_its_tenant_alone(
    settings: Settings, door: RunningDoor, encoding: str
) -> None:
    odd = b'{ "eventId":"6f1c2b9e-0f5d-4c6e-9a57-1d1f0c0a7e01","n":18446744073709551616, "a":1, "a":2}'
    body = b"[" + orjson.dumps(click()) + b", " + odd + b"]"
    packed = zstandard.compress(body) if encoding == "zstd" else body
    assert door.send_batch(packed, Content_Encoding=encoding).json()["quarantined"] == 1
    assert door.send_batch(b"[broken").status_code == 400
    with Landing(settings) as landing:
        landing.land_all()
        rows = sorted(landing.rows("raw.quarantine"), key=lambda row: row["reason_code"])
    broken, refused = rows
    assert (refused["event_id"], refused["reason_code"]) == (json.loads(odd)["eventId"], "number_too_large")
    assert broken["reason_code"] == "not_json"
    keyring = Keyring(settings.keys())
    assert unseal_body(keyring, TENANT, refused["quarantine_id"], refused["body_sealed"]) == odd
    assert unseal_body(keyring, TENANT, broken["quarantine_id"], broken["body_sealed"]) == b"[broken"
    for tenant, quarantine_id in (
        (OTHER_TENANT, refused["quarantine_id"]),
        (TENANT, broken["quarantine_id"]),
    ):
        with pytest.raises(ArtifactCorruptError):
            unseal_body(keyring, tenant, quarantine_id, refused["body_sealed"])


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_after_any_step_lands_everything_exactly_once(
    settings: Settings, door: RunningDoor, step: str
) -> None:
    def cut(name: str) -> None:
        if name == step:
            raise PowerCutError

    sent = send_some(door)
    with Landing(settings, cut) as landing, pytest.raises(PowerCutError):
        landing.lander.land_once()
    sent = sorted(sent + send_some(door))  # more comes before the next lander starts
    with Landing(settings) as landing:
        landing.land_all()
        assert sorted_ids(landing.rows()) == sent
        quarantined = landing.rows("raw.quarantine")
        assert len({row["quarantine_id"] for row in quarantined}) == len(quarantined) == len(sent)
        assert [row["land_seq"] for row in sorted(landing.rows(), key=lambda row: row["land_seq"])] == list(
            range(len(sent))
        )


def test_a_lander_that_crashes_goes_on_by_itself(settings: Settings, door: RunningDoor) -> None:
    steps = iter([*STEPS, *STEPS])
    pending = [next(steps)]

    def cut(name: str) -> None:
        if pending and name == pending[0]:
            pending[0] = next(steps, "")
            raise PowerCutError

    sent: list[str] = []
    with Landing(settings, cut) as landing:
        for _ in range(12):
            sent += send_some(door, 1)
            try:
                landing.lander.land_once()
            except PowerCutError:
                continue
        landing.land_all()
        assert sorted_ids(landing.rows()) == sorted(sent)
        assert len(landing.rows("raw.quarantine")) == len(sent)


def test_a_second_lander_is_fenced_off(settings: Settings, door: RunningDoor) -> None:
    sent = send_some(door, 1)
    with Landing(settings) as first, Landing(settings) as zombie:
        first.land_all()
        zombie.land_all()
        sent += send_some(door, 1)
        first.land_all()
        door_event = send_some(door, 1)
        with pytest.raises(CommitConflictError, match="another lander moved it"):
            zombie.lander.land_once()
        zombie.land_all()  # it read the positions again
        assert sorted_ids(first.rows()) == sorted(sent + door_event)
        assert first.lake.offsets("raw.events")[LAND_SEQ_KEY] == "3"
        assert len(first.rows("raw.quarantine")) == 3


def test_a_small_batch_limit_lands_all_in_several_commits(settings: Settings, door: RunningDoor) -> None:
    small = settings.model_copy(update={"land_max_rows": 3})
    sent = send_some(door, 5)
    with Landing(small) as landing:
        reports = [landing.lander.land_once() for _ in range(6)]
        assert sorted_ids(landing.rows()) == sent
    assert max(report.rows for report in reports) <= 3
    assert sum(report.commits for report in reports) > 3


def test_bodies_leave_the_log_once_they_have_landed(settings: Settings) -> None:
    with RunningDoor(settings) as door:
        send_some(door)
    with Landing(settings) as landing:
        assert landing.lander.backlog_bytes() > 0
        landing.land_all()
        assert landing.lander.backlog_bytes() == 0
    assert segment_ids(settings.event_log_dir / "worker-0") == []
    with RunningDoor(settings) as door, Landing(settings) as landing:
        sent = send_some(door)
        landing.land_all()
        assert set(sent) <= set(sorted_ids(landing.rows()))


def test_the_service_lands_and_says_how_it_stands(settings: Settings, door: RunningDoor) -> None:
    send_some(door, 2)

    def stop(name: str) -> None:
        if name == "release":
            service.stop()

    with Landing(settings, stop) as landing:
        service = LanderService(settings, landing.lander, landing.reader.lag_s)
        service.run()
    status = json.loads((settings.home / "status" / "lander.json").read_text())
    assert (status["rows_total"], status["quarantined_total"], status["backlog_bytes"]) == (2, 2, 0)
    assert status["error"] is None


def test_originals_of_an_erased_subject_are_gone_and_do_not_come_back(
    settings: Settings, door: RunningDoor
) -> None:
    door.send(click(deviceId="device-9", userId="jane"))
    with Landing(settings) as landing:
        landing.land_all()
        subject = json.loads(landing.rows()[0]["body"])["deviceId"]
        assert len(landing.vault.reveal(TENANT, subject)) == 2
        landing.vault.destroy(TENANT, subject)
        assert landing.vault.reveal(TENANT, subject) == []
        door.send(click(deviceId="device-9", userId="jane", ip="192.0.2.1"))
        landing.land_all()
        assert landing.vault.reveal(TENANT, subject) == []
        assert len(landing.rows()) == 2
