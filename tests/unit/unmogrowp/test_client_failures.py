"""Tracking against a server that fails on request: slow, refusing, asking for patience; and processes that end."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from ingest_api.bodies import parsed, unpacked
from resources.settings import Settings, child_environment
from tests.support.door import TENANT, TOKEN, RunningDoor, click, logged
from tests.support.scripted_door import Script, scripted_door
from tests.support.sdk_events import FAST
from tests.unit.tenant_plane.plane_process import free_port
from unmogrowp.client import BufferLockedError, ProtocolError, RefusedBody, RefusedError

ROOT = Path(__file__).resolve().parents[3]
KILLS = 20


def ids_in(lines: list[bytes]) -> list[str]:
    return [orjson.loads(line)["eventId"] for line in lines]


def arrived_ids(settings: Settings) -> list[str]:
    return [
        event["eventId"]
        for record in logged(settings)
        for event in parsed(unpacked(record.body, record.encoding, 10**9), record.format).events
    ]


@pytest.mark.parametrize("failure", [503, "hang up", 0.5])
def test_a_slow_or_failing_door_gets_the_same_bytes_again(
    make_client: Any, where: dict[str, Any], failure: float | str
) -> None:
    script = Script(failures=[failure, failure], retry_after=None)
    with (
        scripted_door(script) as url,
        make_client(url, TENANT, TOKEN, timeout_s=0.2, **where) as client,
    ):
        ids = client.track_many([click() for _ in range(5)])
        client.flush()
        assert client.stats().failed_requests == 2
    assert script.refused_bodies == script.bodies * 2
    assert ids_in(script.lines) == ids


@pytest.mark.parametrize("status", [429, 503])
def test_a_door_that_says_when_to_come_back_is_not_asked_before(make_client: Any, status: int) -> None:
    script = Script(failures=[status], retry_after="1")
    with scripted_door(script) as url, make_client(url, TENANT, TOKEN, **FAST) as client:
        client.track(click())
        client.flush()
    assert script.times_s[1] - script.times_s[0] >= 1.0


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_door_refuses_for_good_is_kept_for_the_caller(
    make_client: Any, where: dict[str, Any], status: int
) -> None:
    told: list[RefusedBody] = []
    script = Script(failures=[status])
    with (
        scripted_door(script) as url,
        make_client(url, TENANT, TOKEN, on_refused=told.append, **where) as client,
    ):
        bad = client.track(click())
        with pytest.raises(RefusedError, match="tenant t123: the door refused 1 events"):
            client.flush()
        good = client.track(click())
        client.flush()  # it says so once
        if "buffer_dir" in where:
            (kept,) = (where["buffer_dir"] / "refused.ndjson").read_text().splitlines()
            assert orjson.loads(orjson.loads(kept)["body"])["eventId"] == bad
            assert (where["buffer_dir"] / "refused.ndjson").stat().st_mode & 0o777 == 0o600
        refused = client.take_refused()
        assert client.take_refused() == []
        assert client.stats().refused == 1
    assert [(each.status, ids_in([each.body]), "not today" in each.answer) for each in refused] == [
        (status, [bad], True)
    ]
    assert told == refused
    assert ids_in(script.lines) == [good]


def test_a_wrong_address_is_an_error_and_throws_nothing_away(make_client: Any, where: dict[str, Any]) -> None:
    script = Script(failures=[404] * 99)
    with scripted_door(script) as url, make_client(url, TENANT, TOKEN, **where) as client:
        event_id = client.track(click())
        with pytest.raises(ProtocolError, match="404 not today; check its address"):
            client.flush()
        script.failures.clear()
        client.flush()
    assert ids_in(script.lines) == [event_id]


def test_two_clients_never_share_a_directory(make_client: Any, tmp_path: Path) -> None:
    with (
        make_client("http://127.0.0.1:9", TENANT, TOKEN, buffer_dir=tmp_path),
        pytest.raises(BufferLockedError, match=r"tenant t123: .*belongs to a running client"),
    ):
        make_client("http://127.0.0.1:9", TENANT, TOKEN, buffer_dir=tmp_path)


CLICK = {"eventType": "click", "deviceId": "device-1", "campaign": "spring", "source": "net_alpha"}
TRACKER = f"""
import os, sys
from unmogrowp.client import Client

client = Client(sys.argv[1], {TENANT!r}, {TOKEN!r}, buffer_dir=sys.argv[2], flush_interval_s=0.01)
while True:
    ids = client.track_many([{CLICK}] * 3)
    os.write(1, "".join(one + chr(10) for one in ids).encode())
"""


def test_every_tracked_event_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    settings, port = Settings(home=tmp_path / "door"), free_port()
    moments = random.Random(7)  # noqa: S311 - moments, no secret
    tracked: list[str] = []
    for kill in range(KILLS):
        door = RunningDoor(settings, port=port) if kill % 3 else None  # every third runs while it is away
        if door is not None:
            door.__enter__()
        command = [sys.executable, "-c", TRACKER, f"http://127.0.0.1:{port}", str(tmp_path / "buffer")]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.2))
            process.kill()
            said = first + process.stdout.read()
        tracked.extend(said[: said.rfind(b"\n") + 1].decode().split())
        if door is not None:
            door.__exit__()
    with RunningDoor(settings, port=port):
        finish = TRACKER[: TRACKER.index("while True")] + "client.flush(); print(client.stats().lost_frames)"
        command[2] = finish
        lost = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    assert lost.stdout.strip() == b"0"
    arrived = arrived_ids(settings)
    assert len(tracked) > KILLS * 3
    assert len(set(tracked)) == len(tracked)
    unique = set(arrived)
    assert set(tracked) <= unique
    assert (
        len(unique) - len(tracked) <= 3 * KILLS
    )  # committed, killed before their ids were told: one call each


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = child_environment(PYTHONWARNINGS="ignore::DeprecationWarning")
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, timeout=60)


def test_a_program_that_ends_without_closing_still_sends(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "door")
    script = (
        "import sys; from unmogrowp.client import Client;"
        f"print(Client(sys.argv[1], {TENANT!r}, {TOKEN!r}, flush_interval_s=60).track({CLICK}))"
    )
    with RunningDoor(settings) as door:
        ended = run_script(script, door.url)
    assert ended.returncode == 0, ended.stderr
    assert arrived_ids(settings) == [ended.stdout.decode().strip()]


def test_a_client_made_before_a_fork_says_so_in_the_child() -> None:
    script = """
import os, sys
from unmogrowp.client import Client, ClosedError
client = Client("http://127.0.0.1:9", "t123", "x")
if os.fork() == 0:
    try:
        client.track({"deviceId": "d"})
    except ClosedError as error:
        os.write(1, str(error).encode())
    os._exit(0)
os.wait()
"""
    assert b"tenant t123: this client was made before the fork" in run_script(script).stdout


def test_the_user_guides_example_runs_as_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guide = (ROOT / "docs" / "user-guide.md").read_text()
    sync_example, async_example = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)[:2]
    settings = Settings(home=tmp_path / "door")
    monkeypatch.setitem(os.environ, "TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    with RunningDoor(settings) as door:
        for example in (sync_example, async_example):
            assert "http://127.0.0.1:9080" in example
            exec(example.replace("http://127.0.0.1:9080", door.url), {"__name__": "__main__"})  # noqa: S102 - ours
    assert "quarantined=0" in capsys.readouterr().out
    counts = [record.event_count - len(record.rejections) for record in logged(settings)]
    assert counts == [2, 1]
