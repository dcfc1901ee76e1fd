"""Runs the local tenants' planes: `python -m resources.embedded.tenant_supervisor`.

Once a second it reads every `tenants_dir/*/plane.json` and makes the processes agree with it: starts what
should run, restarts what crashed (waiting longer each time) or whose settings changed, ends what should not
run or is gone. A plane gets its own `plane.env` and nothing of the global plane's environment. Planes end
when the supervisor does, however it ends. What `plane.json` says is not decided here.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from types import FrameType

from resources.embedded.directory_lock import DirectoryLock
from resources.errors import ContractError, DirectoryLockedError
from resources.plane_files import PlaneFiles, hold_running_lock, planes_in
from resources.settings import APPLICATION_ROOT, Settings, load_settings

LOOK_INTERVAL_S = 1.0
STOP_GRACE_S = 10.0  # uvicorn finishes its requests in this time; then the process is killed
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
STEADY_AFTER_S = 30.0  # a plane that ran this long starts its backoff anew
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

log = logging.getLogger("tenant_supervisor")


@dataclass
class Plane:
    """One plane that should run: its process, and when it may be started again."""

    files: PlaneFiles
    fingerprint: str = ""
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    not_before_s: float = 0.0
    backoff_s: float = BACKOFF_FIRST_S

    @property
    def runs(self) -> bool:
        """Whether its process is alive."""
        return self.process is not None and self.process.poll() is None


@dataclass
class TenantSupervisor:
    """Keeps the processes of `settings.tenants_dir` as their `plane.json` wants them."""

    settings: Settings
    planes: dict[str, Plane] = field(default_factory=dict)

    def look(self) -> None:
        """One round: end, restart and start what `plane.json` and `plane.env` ask for."""
        wanted = self._wanted()
        gone = [plane for tenant_id, plane in self.planes.items() if tenant_id not in wanted]
        self._end(gone)
        changed = [
            plane for plane in self.planes.values() if plane.fingerprint != wanted[plane.files.tenant_id]
        ]
        self._end(changed)
        for tenant_id, fingerprint in wanted.items():
            plane = self.planes.setdefault(
                tenant_id, Plane(PlaneFiles(self.settings.tenants_dir, tenant_id), fingerprint)
            )
            if not plane.runs:
                self._start_when_due(plane)

    def end_all(self) -> None:
        """End every plane; returns when they are gone."""
        self._end(list(self.planes.values()))

    def _wanted(self) -> dict[str, str]:
        wanted: dict[str, str] = {}
        for files in planes_in(self.settings.tenants_dir):
            try:
                described = files.read_description()
                if described is not None and described.desired == "running":
                    wanted[files.tenant_id] = _fingerprint(files, described.revision)
            except (ContractError, OSError) as error:  # one tenant's damage is not the others'
                log.error("tenant %s stays as it is: %s", files.tenant_id, error)
                if files.tenant_id in self.planes:
                    wanted[files.tenant_id] = self.planes[files.tenant_id].fingerprint
        return wanted

    def _start_when_due(self, plane: Plane) -> None:
        now_s = time.monotonic()
        if plane.process is not None:  # it ended by itself
            code, ran_s = plane.process.returncode, now_s - plane.started_s
            plane.backoff_s = next_backoff_s(plane.backoff_s, ran_s)
            plane.not_before_s, plane.process = now_s + plane.backoff_s, None
            log.warning(
                "tenant %s: its plane ended with code %s after %.0f s; starting again in %.0f s",
                plane.files.tenant_id,
                code,
                ran_s,
                plane.backoff_s,
            )
        if now_s >= plane.not_before_s:
            try:
                plane.process, plane.started_s = _spawn(plane.files), now_s
                log.info("tenant %s: plane started, pid %d", plane.files.tenant_id, plane.process.pid)
            except OSError as error:  # its directory was removed just now, or the machine is out of processes
                plane.not_before_s = now_s + plane.backoff_s
                log.error("tenant %s: its plane could not be started: %s", plane.files.tenant_id, error)

    def _end(self, planes: list[Plane]) -> None:
        """End these planes side by side, so that many take no longer than one."""
        for plane in planes:
            if plane.process is not None and plane.runs:
                plane.process.terminate()
        deadline_s = time.monotonic() + STOP_GRACE_S
        for plane in planes:
            if plane.process is not None:
                try:
                    plane.process.wait(timeout=max(0.0, deadline_s - time.monotonic()))
                except subprocess.TimeoutExpired:
                    plane.process.kill()
                    plane.process.wait()
                log.info("tenant %s: plane ended", plane.files.tenant_id)
            self.planes.pop(plane.files.tenant_id, None)


def next_backoff_s(last_s: float, ran_s: float) -> float:
    """How long to wait before starting a plane again that ended after `ran_s` seconds."""
    return BACKOFF_FIRST_S if ran_s >= STEADY_AFTER_S else min(last_s * 2, BACKOFF_MAX_S)


def _fingerprint(files: PlaneFiles, revision: int) -> str:
    """Changes when the process has to be restarted to see its settings."""
    return f"{revision}:{hashlib.sha256(files.env.read_bytes()).hexdigest()}"


def _spawn(files: PlaneFiles) -> subprocess.Popen[bytes]:
    """Start the plane's process, which holds the plane's running lock until it ends."""
    lock = hold_running_lock(files)  # fails while an orphan of a killed supervisor is still ending
    try:
        output = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        os.close(lock)
        raise
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "tenant_plane"],
            env=files.process_environment(),
            cwd=APPLICATION_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor, which ends them in order
            preexec_fn=partial(_die_with_parent, os.getpid()),  # noqa: PLW1509 - this process has one thread
        )
    finally:
        os.close(output)
        os.close(lock)


_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent(parent_pid: int) -> None:
    """In the child, before it becomes the plane: ask Linux for SIGTERM when the supervisor is killed."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died before we asked
            os._exit(1)


def main() -> int:
    """Run until SIGTERM or SIGINT; 1 when another supervisor already has this directory."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    settings = load_settings()
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    settings.tenants_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = DirectoryLock(settings.tenants_dir)
    except DirectoryLockedError as error:
        log.error("%s", error)
        return 1
    supervisor = TenantSupervisor(settings)
    with lock:
        try:
            while not stopping:
                supervisor.look()
                time.sleep(LOOK_INTERVAL_S)
        finally:
            supervisor.end_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
