"""What every benchmark shares: results, sizes, clocks of processes, this machine. No benchmark lives here."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from resources.errors import SettingsError
from resources.settings import Settings

if TYPE_CHECKING:
    import psutil


class Result(NamedTuple):
    """One figure, the median of its rounds; `yardstick` names the figure of the same run it is read against."""

    name: str
    value: float
    unit: str
    yardstick: str | None = None


@dataclass(frozen=True)
class Size:
    """How much a benchmark does: a fraction of the usual amounts, and whether the long parts run too."""

    scale: float = 1.0
    is_full: bool = False

    def of(self, usual: int) -> int:
        """This share of a usual amount, at least one."""
        return max(1, round(usual * self.scale))


def measured(name: str, values: Sequence[float], unit: str, yardstick: str | None = None) -> Result:
    """The result of several rounds: their median, to a thousandth."""
    return Result(name, round(median(values), 3), unit, yardstick)


def document(bench: str, results: Sequence[Result]) -> dict[str, Any]:
    """What `unmogrowp bench NAME --json` prints."""
    rows = [{"name": result.name, "value": result.value, "unit": result.unit} for result in results]
    return {"bench": bench, "machine": machine(), "results": rows}


def machine() -> dict[str, str | int | float]:
    """What the figures depend on; nothing that tells whose machine it is."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1m": round(os.getloadavg()[0], 2),  # other work on the machine makes every figure worse
        "python": platform.python_version(),
    }


def default_settings(home: Path, **changes: Any) -> Settings:
    """Every setting at its default, whatever the environment says: a benchmark touches no real store."""
    defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
    return Settings(**{**defaults, "home": home, **changes})


def cpu_seconds(pid: int) -> float:
    """CPU seconds a process has used, all its threads, in user and system mode.

    psutil reads ticks of 10 ms; the process's own CPU clock (Linux) counts nanoseconds.
    """
    if sys.platform != "linux":
        times = _process(pid).cpu_times()
        return float(times.user + times.system)
    clock = ctypes.c_int()
    status = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if status != 0:
        raise ProcessLookupError(status, f"process {pid}: {os.strerror(status)}")
    return time.clock_gettime(clock.value)


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    return float(_process(pid).memory_info().rss / 1e6)


def _process(pid: int) -> psutil.Process:
    try:
        import psutil  # noqa: PLC0415 - of the development group: absent where only the platform is installed
    except ImportError as error:
        raise SettingsError(
            "the benchmarks need psutil, which is not installed: `make setup` installs it"
        ) from error
    return psutil.Process(pid)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
