"""The kill drill: kill -9 of the door, the lander, or both at once, at random moments, again and again under load.

Settings are chosen so that a random moment is rarely an idle one: segments roll every 64 KiB or 0.3 s, the lander
lands 20 times a second, snapshots expire every third commit. What the lander was doing when it died is told by
what it left behind.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.drills.processes import ROLES, Stage
from benchmarks.drills.sender import Sender
from benchmarks.drills.verdict import judge, uncommitted_files
from ingest_api.event_log.protocol import LogPosition
from ingest_api.lander import EVENTS_TABLE, QUARANTINE_TABLE
from resources.lake import OFFSET_PREFIX, Lake

if TYPE_CHECKING:
    from resources.settings import Settings

SETTINGS: dict[str, Any] = {
    "segment_max_bytes": 64 * 1024,
    "segment_max_age_s": 0.3,
    "land_interval_s": 0.05,
    "snapshots_kept": 1,
    "snapshot_expire_every": 3,
}
TARGETS = (("door",), ("lander",), ROLES)
# A forked door answers after 0.15 s, a lander lands after 0.4 s: one kill in ten meets them starting.
RUN_MAX_S = 1.5
PROGRESS_EVERY = 10


@dataclass
class Tally:
    """What was killed, and what the lander left when it was."""

    kills: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


def run(home: Path, *, times: int, seed: int, say: Callable[[str], None], is_native: bool) -> dict[str, Any]:
    """Kill so often, then land everything and compare. `faults` are all 0 when nothing was lost or doubled."""
    rng = random.Random(seed)  # noqa: S311 - when to kill, not a secret
    tally = Tally()
    started_s = time.monotonic()
    with Stage(home, **SETTINGS, native_scan=is_native) as stage:
        stage.start(*ROLES)
        stage.wait_until_ready()
        with Sender(stage) as sender:
            for number in range(1, times + 1):
                time.sleep(rng.uniform(0, RUN_MAX_S))
                _kill(stage, rng.choice(TARGETS), tally)
                if number % PROGRESS_EVERY == 0 or number == times:
                    memory = sender.memory
                    say(f"{number} of {times} kills, {memory.accepted.total()} events acknowledged")
        stage.drain()
    figures, faults = judge(stage.settings, sender.memory)
    faults["ended_by_themselves"] = len(stage.crashes)
    return {
        "drill": "kill",
        "kills": times,
        "killed": dict(tally.kills),
        "lander_died": dict(tally.left),
        "uncommitted_data_files": uncommitted_files(stage.settings),
        "seconds": round(time.monotonic() - started_s, 1),
        **figures,
        "segments_left": len(stage.segments()),
        "torn_files": len(list(stage.settings.event_log_dir.glob("*/*.torn"))),
        "faults": faults,
        "details": [*stage.crashes, *sender.memory.surprises[:10]],
    }


def _kill(stage: Stage, target: tuple[str, ...], tally: Tally) -> None:
    stage.notice_crashes()
    tally.kills["+".join(target)] += 1
    stage.kill(*target)
    if "lander" in target:
        tally.left.update(_left_behind(stage.settings))
    stage.start(*(role for role in ROLES if role not in stage.pids))


def _left_behind(settings: Settings) -> list[str]:
    """Between which steps the lander died, as far as its tables and the log tell."""
    lake = Lake(settings)
    try:
        if not lake.catalog.table_exists(EVENTS_TABLE) or not lake.catalog.table_exists(QUARANTINE_TABLE):
            return ["before its tables were made"]
        events, quarantine = _position(lake, EVENTS_TABLE), _position(lake, QUARANTINE_TABLE)
    finally:
        lake.close()
    left = []
    if quarantine is not None and (events is None or quarantine > events):
        left.append("between quarantine and events")
    directory = settings.event_log_dir / "worker-0"
    if events is not None and any(int(path.stem) < events.segment for path in directory.glob("*.seg")):
        left.append("between events and release")
    return left


def _position(lake: Lake, table: str) -> LogPosition | None:
    text = lake.offsets(table).get(f"{OFFSET_PREFIX}worker-0")
    return LogPosition.parse(text) if text else None
