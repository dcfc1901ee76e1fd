"""kill -9 under load: what the door acknowledged is in the lake, once, whichever of door and lander died when.

The bounded form of `unmogrowp drill kill`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from benchmarks.drills import kill
from benchmarks.drills.memory import Memory, make_delivery
from benchmarks.drills.processes import ROLES, TENANTS, Stage
from benchmarks.drills.verdict import judge
from ingest_api.event_log.protocol import BodyFormat

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 10  # 200 in the full form


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "without-native"])
def test_nothing_is_lost_or_doubled_whoever_is_killed_whenever(tmp_path: Path, is_native: bool) -> None:
    told: list[str] = []
    found = kill.run(tmp_path / "home", times=KILLS, seed=20261120, is_native=is_native, say=told.append)
    assert sum(found["killed"].values()) == KILLS
    assert found["unanswered"] > 0  # requests were in flight
    assert found["acknowledged_events"] > 1_000
    assert found["raw_quarantine"] > 0
    assert found["clean_events"] == found["raw_events"] - found["duplicates"]
    assert found["vault_subjects_checked"] > 0
    assert not any(found["faults"].values()), found
    assert found["segments_left"] == 0
    assert f"{KILLS} of {KILLS} kills" in told[-1]


def test_processes_that_are_asked_to_stop_leave_nothing_behind(tmp_path: Path) -> None:
    memory = Memory()
    with Stage(tmp_path / "home", land_interval_s=0.05) as stage:
        stage.start(*ROLES)
        stage.wait_until_ready()
        delivery = next(made for part in range(10) if (made := make_delivery(TENANTS[0], part, 5)).good)
        assert delivery.format is BodyFormat.ARRAY
        memory.sending(delivery, is_retry=False)
        response = httpx.post(
            f"http://127.0.0.1:{stage.settings.ingest_port}{delivery.path}",
            content=delivery.body,
            headers={"Authorization": f"Bearer {stage.tokens[TENANTS[0]]}", "X-Tenant-ID": TENANTS[0]},
        )
        memory.heard(delivery, response.status_code, b"", response.content)
        stage.drain()
    figures, faults = judge(stage.settings, memory)
    assert figures["acknowledged_events"] == figures["raw_events"] + figures["raw_quarantine"] == 5
    assert not any(faults.values()), faults
    assert stage.crashes == []
    assert stage.segments() == []
