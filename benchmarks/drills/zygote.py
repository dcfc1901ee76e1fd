"""A process that has imported everything and forks doors and landers on demand, so that a restart takes 0.1 s.

Started by `processes.Stage`, as `python -m benchmarks.drills.zygote`. It reads one JSON command per line and
answers each with one line; when its input ends it kills what it started. It alone waits for its children, so no
signal can hit a process that is not one of them. What is started when, the drills say.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from resources.lean_process import leave_out

IMPORTED = (
    "ingest_api.__main__",
    "ingest_api.lander_service",
    "ingest_api.app",
    "resources.lake_files",
    "pyiceberg.io.pyarrow",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)


def main() -> None:
    """Serve until the input ends."""
    roles = _roles()
    living: dict[int, str] = {}
    _answer({"ready": True})
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "start":
            pid = _forked(roles[command["role"]], Path(command["log"]))
            living[pid] = command["role"]
            _answer({"pid": pid})
        elif command["do"] == "signal":
            _answer({"codes": _signalled(living, command["pids"], command["number"])})
        else:
            _answer({"codes": _ended(living)})
    _signalled(living, list(living), signal.SIGKILL)


def _roles() -> dict[str, Callable[[], None]]:
    """What a child can become, with everything imported that either would import while it runs."""
    leave_out("pandas")  # as the lander does
    door, lander, *_ = map(import_module, IMPORTED)
    return {"door": door.main, "lander": lander.main}


def _forked(become: Callable[[], None], log: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _take_output(log)
        become()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback  # noqa: PLC0415 - only where a process fails

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # nothing of the parent's may run at this exit


def _take_output(log: Path) -> None:
    """The child's own files: nothing to read, both outputs to its log."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(output)


def _signalled(living: dict[int, str], pids: list[int], number: int) -> dict[int, int]:
    """Signal those of the pids that live, all before any is waited for; exit codes, negative for a signal."""
    mine = [pid for pid in pids if pid in living]
    for pid in mine:
        os.kill(pid, number)
    return {pid: _waited(living, pid, os.waitpid(pid, 0)[1]) for pid in mine}


def _ended(living: dict[int, str]) -> dict[int, int]:
    """Exit codes of children that ended by themselves since the last question."""
    ended = {}
    for pid in list(living):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended[pid] = _waited(living, pid, status)
    return ended


def _waited(living: dict[int, str], pid: int, status: int) -> int:
    del living[pid]
    return os.waitstatus_to_exitcode(status)


def _answer(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
