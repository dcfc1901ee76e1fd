"""The stage of a drill: a home with tenants, and its door and lander, started, killed and asked how they are.

Forking is `zygote`'s, load is `sender`'s.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from benchmarks.harness import default_settings
from benchmarks.servers import activated_tenant_token, door_is_ready, environment_of, free_port
from resources.errors import ServiceUnavailableError
from resources.settings import APPLICATION_ROOT, Settings

TENANTS = ("drill_a", "drill_b", "drill_c")
ROLES = ("door", "lander")
POLL_S = 0.02
START_TIMEOUT_S = 60.0  # of a forked door or lander 0.1 s, on a machine with much else to do some seconds


class Stage:
    """Door and lander of one home. A context manager; leaving it ends every process."""

    def __init__(self, home: Path, **changes: Any) -> None:
        """Make the home, its registry and its tenants; nothing runs yet."""
        home.mkdir(parents=True, exist_ok=True)
        self.settings: Settings = default_settings(
            home, ingest_port=free_port(), lander_port=free_port(), **changes
        )
        self.tokens = {tenant: activated_tenant_token(self.settings, tenant) for tenant in TENANTS}
        self.settings.keys()  # made once, before two processes would
        self.pids: dict[str, int] = {}
        self.crashes: list[str] = []

    def __enter__(self) -> Self:
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.drills.zygote"],
            cwd=APPLICATION_ROOT,
            env=environment_of(self.settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.wait()
        self._zygote.stdout.close()

    def log(self, role: str) -> Path:
        """Where a role's processes write, one behind the other."""
        return self.settings.home.parent / f"{self.settings.home.name}.{role}.log"

    def start(self, *roles: str) -> None:
        """Start processes; they may not be ready when this returns."""
        for role in roles:
            self.pids[role] = self._asked({"do": "start", "role": role, "log": str(self.log(role))})["pid"]

    def kill(self, *roles: str) -> None:
        """End by kill -9, all of them at one moment; returns when they are gone."""
        self._end(roles, signal.SIGKILL)

    def stop(self, *roles: str) -> None:
        """Ask them to end in order, and wait for it."""
        self._end(roles, signal.SIGTERM)

    def notice_crashes(self) -> None:
        """Remember which processes ended though nobody killed them."""
        self._note(self._asked({"do": "poll"})["codes"], expected=set())

    def wait_for(self, what: str, is_so: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> float:
        """Seconds until something is so.

        Raises:
            ServiceUnavailableError: it was not in that time, or a process ended by itself meanwhile.
        """
        started_s = time.monotonic()
        while not is_so():
            self.notice_crashes()
            if self.crashes:
                raise ServiceUnavailableError(f"while waiting for {what}: {self.crashes[-1]}")
            if time.monotonic() - started_s > timeout_s:
                raise ServiceUnavailableError(f"{what} did not come in {timeout_s:g} s")
            time.sleep(POLL_S)
        return time.monotonic() - started_s

    def wait_until_ready(self) -> float:
        """Seconds until the door says that it takes events."""
        return self.wait_for("the door's readiness", lambda: door_is_ready(self.settings.ingest_port))

    def drain(self) -> None:
        """Land everything and end in order: the door first, so that its last segment is closed and can go.

        Raises:
            ServiceUnavailableError: the log did not become empty.
        """
        self.wait_until_ready()
        self.stop("door")
        self.wait_for("an empty event log", lambda: not self.segments(), timeout_s=120.0)
        self.stop("lander")

    def segments(self) -> list[Path]:
        """Segment files that are still in the log."""
        return sorted(self.settings.event_log_dir.glob("*/*.seg"))

    def _end(self, roles: Iterable[str], number: signal.Signals) -> None:
        pids = [self.pids[role] for role in roles if role in self.pids]
        codes = self._asked({"do": "signal", "pids": pids, "number": number})["codes"]
        self._note(codes, expected={0, -number} if number == signal.SIGTERM else {-number})

    def _note(self, codes: dict[str, int], expected: set[int]) -> None:
        """Processes that are gone; one that ended otherwise than it was told to has crashed."""
        roles = {pid: role for role, pid in self.pids.items()}
        for pid, code in codes.items():
            role = roles[int(pid)]
            del self.pids[role]
            if code not in expected:
                self.crashes.append(f"the {role} ended by itself with {code}: see {self.log(role)}")

    def _asked(self, command: dict[str, Any]) -> Any:
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(command) + "\n")
        self._zygote.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._zygote.stdout is not None
        line = self._zygote.stdout.readline()
        if not line:
            raise ServiceUnavailableError("the drill's zygote ended: see what it wrote above")
        return json.loads(line)
