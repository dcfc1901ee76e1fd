"""The disk drill: the door and the lander while their disk is full, or read-only, and after it.

Small file systems in memory stand for disks (see `private_mounts`), so that every error is the kernel's own:

- `full-log`: the log has a disk of its own and no reserve, so that writes fail in the middle of a record;
- `full-home`: one disk for everything; the log stops at its reserve, with which the lander makes room; then
  something else fills the disk to the last byte;
- `full-lake`: the warehouse alone is full; the door must not care;
- `read-only`: everything that is opened is refused.

Each counts faults as `verdict` does, and these besides: what the door must answer meanwhile, that neither process
ends, and that both go on by themselves once there is room, without a request that would push them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from benchmarks.drills import private_mounts
from benchmarks.drills.private_mounts import MIB
from benchmarks.drills.processes import ROLES, Stage
from benchmarks.drills.sender import Sender
from benchmarks.drills.verdict import judge, uncommitted_files
from resources.errors import ServiceUnavailableError
from resources.settings import APPLICATION_ROOT

EVENTS_PER_DELIVERY = 200  # 70 KB: a disk of 8 MiB is full after a hundred
# Sent unpacked, 42,000 events; landed they are 4 MiB of Parquet and, every device being a new one, 4 MiB of the vault's
# journal. Packed, 98,000 events would be as many bytes in the lake and the vault as in the log: no room would be made.
LOG_BYTES = 16 * MIB
LOAD: dict[str, Any] = {"pause_s": 0.005}  # each connection's rest between two requests
UNPACKED_LOAD = {**LOAD, "packs": False}
STEADY_LOAD = {"pause_s": 0.25}  # it only has to go on: 4,800 events a second, not 30,000 to land and compare
OUTAGE_S = 1.5  # the disk stays full: both processes try, and fail, more than once
RECOVERY_MAX_S = 120.0  # the lander itself waits up to 60 s between two attempts
ANSWERS = 5  # that many answers of a kind, then the drill goes on
SETTINGS: dict[str, Any] = {
    "segment_max_bytes": MIB,
    "segment_max_age_s": 0.5,
    "land_interval_s": 0.2,
    "land_retry_s": 0.25,
}

Say = Callable[[str], None]


class Scene:
    """A stage under load on which one disk gets into trouble. A context manager."""

    def __init__(
        self, name: str, home: Path, say: Say, *, load: Mapping[str, Any] = LOAD, **changes: Any
    ) -> None:
        self.name, self._say = name, say
        self.stage = Stage(home, **{**SETTINGS, **changes})
        self.home = self.stage.settings.home
        self.sender = Sender(self.stage, size=EVENTS_PER_DELIVERY, **load)
        self.seconds: dict[str, float] = {}
        self.faults: dict[str, int] = {}
        self.details: list[str] = []

    def __enter__(self) -> Scene:
        self.stage.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.sender.stop()
        self.stage.__exit__(*error)

    def begin(self, *roles: str) -> None:
        """Start processes and, once the door is ready, the load."""
        self.stage.start(*roles)
        self.stage.wait_until_ready()
        self.sender.__enter__()

    def take(self, step: str, is_so: Callable[[], bool], timeout_s: float = RECOVERY_MAX_S) -> None:
        """Wait for a step of the drill, and remember how long it took; a fault when it does not come."""
        self._say(f"{self.name}: {step}")
        try:
            self.seconds[step] = round(self.stage.wait_for(step, is_so, timeout_s), 2)
            self.faults[f"not: {step}"] = 0
        except ServiceUnavailableError as error:
            self.faults[f"not: {step}"] = 1
            self.details.append(f"{error}; the door says {self._answer('/health/ready')}")

    def more(self, status: int) -> Callable[[], bool]:
        """Whether the door has answered so some times more than now."""
        statuses = self.sender.memory.statuses
        wanted = statuses[status] + ANSWERS
        return lambda: statuses[status] >= wanted

    def more_failures(self) -> Callable[[], bool]:
        """Whether the lander has said that a landing failed, twice more than now. Its status may be unwritable."""
        wanted = self._failures() + 2
        return lambda: self._failures() >= wanted

    def is_ready(self) -> bool:
        """What `/health/ready` says."""
        return self._answer("/health/ready")[0] == 200

    def check_refusal(self) -> None:
        """While the disk is in trouble the door refuses as it should, and lives."""
        head, body = self.sender.memory.problems.get(503, (b"", b"{}"))
        problem = json.loads(body)
        is_right = (
            b"content-type: application/problem+json" in head.lower()
            and b"\r\nretry-after: " in head.lower()
            and (problem.get("status"), problem.get("code")) == (503, "not_durable")
        )
        self.faults["refusals that are no problem document"] = int(not is_right)
        self.faults["not ready is not said"] = int(self._answer("/health/ready")[0] != 503)
        self.faults["not live"] = int(self._answer("/health/live")[0] != 200)

    def hold(self) -> None:
        """Let the trouble last, and see that nobody dies of it."""
        deadline_s = time.monotonic() + OUTAGE_S
        while time.monotonic() < deadline_s:
            self.stage.notice_crashes()
            time.sleep(0.1)

    def lander_status(self) -> dict[str, Any]:
        """What the lander says of itself."""
        path = self.home / "status" / "lander.json"
        status: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return status

    def end(self) -> dict[str, Any]:
        """Stop the load, land everything, compare."""
        self.sender.stop()
        self.take("all landed and every segment gone", self._drained, timeout_s=0)
        figures, faults = judge(self.stage.settings, self.sender.memory)
        self.faults["ended by themselves"] = len(self.stage.crashes)
        statuses = {str(status): count for status, count in sorted(self.sender.memory.statuses.items())}
        return {
            "drill": self.name,
            "answers": statuses,
            "seconds": self.seconds,
            **figures,
            "faults": {**self.faults, **faults},
            "details": [*self.details, *self.stage.crashes, *self.sender.memory.surprises[:10]],
        }

    def _drained(self) -> bool:
        self.stage.drain()
        return True

    def _answer(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.stage.settings.ingest_port}{path}"
        try:
            response = httpx.get(url, trust_env=False, timeout=5)
        except httpx.TransportError as error:
            return 0, str(error)
        return response.status_code, response.text

    def _failures(self) -> int:
        log = self.stage.log("lander")
        return log.read_text().count("landing failed") if log.exists() else 0


def full_log(home: Path, say: Say) -> dict[str, Any]:
    """The log's own disk is full in the middle of a record; the lander, started then, makes room."""
    home.mkdir(parents=True)
    private_mounts.mount_small(home / "event_log", 8 * MIB)
    with Scene("full-log", home, say, event_log_reserve_bytes=0) as scene:
        scene.begin("door")
        scene.take("the log's disk is full", scene.more(503))
        scene.hold()
        scene.check_refusal()
        scene.sender.pause()
        scene.stage.start("lander")
        scene.take("ready again with nothing sent", scene.is_ready)
        scene.sender.resume()
        scene.take("takes events again", scene.more(202))
        return scene.end()


def full_home(home: Path, say: Say) -> dict[str, Any]:
    """One disk: first the log comes to its reserve, then something else takes the last byte."""
    private_mounts.mount_small(home, 128 * MIB)
    reserve_bytes = 24 * MIB
    with Scene("full-home", home, say, load=UNPACKED_LOAD, event_log_reserve_bytes=reserve_bytes) as scene:
        ballast = home / "ballast"
        private_mounts.fill(ballast, leave_bytes=reserve_bytes + LOG_BYTES)
        scene.begin("door")
        scene.take("the log comes to its reserve", scene.more(503))
        scene.check_refusal()
        scene.faults["the reserve is not kept"] = int(private_mounts.free_bytes(home) < reserve_bytes - MIB)
        scene.sender.pause()
        scene.stage.start("lander")
        scene.take("the lander makes room with the reserve", scene.is_ready)
        scene.sender.resume()
        scene.take("takes events again", scene.more(202))
        private_mounts.fill(ballast, leave_bytes=0)
        scene.take("the disk is full", scene.more(503))
        scene.take("the lander meets the full disk", scene.more_failures())
        scene.hold()
        scene.check_refusal()
        scene.sender.pause()
        ballast.unlink()
        scene.take("ready again once there is room", scene.is_ready)
        scene.sender.resume()
        scene.take("takes events once more", scene.more(202))
        return scene.end()


def full_lake(home: Path, say: Say) -> dict[str, Any]:
    """The warehouse is full: the door goes on, the lander says why it does not."""
    warehouse = home / "warehouse"
    private_mounts.mount_small(warehouse, MIB)
    # it rests long enough after its second failure to be looked at between two attempts
    with Scene("full-lake", home, say, load=STEADY_LOAD, land_retry_s=1.0) as scene:
        scene.begin(*ROLES)
        scene.take("the lander meets the full warehouse", scene.more_failures())
        status = scene.lander_status()
        scene.faults["its status does not say so"] = int("No space left" not in str(status.get("error")))
        scene.take("the door goes on", scene.more(202))
        scene.faults["the door refused"] = scene.sender.memory.statuses[503]
        scene.faults["half-written files are left"] = uncommitted_files(scene.stage.settings)
        private_mounts.resize(warehouse, 64 * MIB)
        scene.take("the lander goes on", lambda: scene.lander_status().get("error") is None)
        return scene.end()


def read_only(home: Path, say: Say) -> dict[str, Any]:
    """Nothing can be opened for writing, as after a kernel's remount."""
    private_mounts.mount_small(home, 96 * MIB)
    small = {"event_log_reserve_bytes": 0, "segment_max_bytes": 64 * 1024}
    with Scene("read-only", home, say, load=STEADY_LOAD, **small) as scene:
        scene.begin(*ROLES)
        scene.take("takes events", scene.more(202))
        private_mounts.mount_read_only(home)
        scene.take("the door refuses", scene.more(503))
        scene.take("the lander meets it", scene.more_failures())
        scene.hold()
        scene.check_refusal()
        scene.sender.pause()
        private_mounts.unmount(home)
        scene.take("ready again once it is writable", scene.is_ready)
        scene.sender.resume()
        scene.take("takes events again", scene.more(202))
        return scene.end()


SCENES = {"full-log": full_log, "full-home": full_home, "full-lake": full_lake, "read-only": read_only}


def run(name: str, home: Path, say: Say) -> dict[str, Any]:
    """One scene, in a process with mounts of its own.

    Raises:
        SettingsError: the kernel gives no such mounts here.
    """
    python = sys.executable
    command = [python, "-m", "benchmarks.drills.private_mounts", python, "-m", "benchmarks.drills.disk", name]
    with subprocess.Popen(  # noqa: S603 - our own interpreter and modules
        [*command, str(home)],
        cwd=APPLICATION_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        last = ""
        for line in process.stderr:
            last = line.rstrip()
            say(last)
        output = process.stdout.read()
    if process.returncode != 0:
        raise ServiceUnavailableError(f"the drill {name} ended early: {last}")
    document: dict[str, Any] = json.loads(output)
    return document


def main() -> None:
    """The scene of the first argument at the home of the second; the document on stdout."""
    name, home = sys.argv[1:]

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    sys.stdout.write(json.dumps(SCENES[name](Path(home), say)))


if __name__ == "__main__":
    main()
