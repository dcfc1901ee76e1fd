"""Writers of one lake at the same moment, on every backend: processes, threads, zombies."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import closing
from multiprocessing.synchronize import Barrier

import pytest

from resources.errors import CommitConflictError
from resources.lake import Lake
from resources.settings import Settings
from schemas import table_schemas
from tests.support.lake_rows import DAY, append, score_rows

GATE_TIMEOUT_S = 60  # spawned processes import for seconds when both cores are taken
ROUNDS = 4
GATES: list[Barrier] = []  # in a process of the pool: where it meets the other one


@pytest.fixture(scope="module")
def two_processes() -> Iterator[Executor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, keep_gate, (context.Barrier(2),)) as pool:
        yield pool


def keep_gate(gate: Barrier) -> None:
    GATES.append(gate)


def replace_in_step(settings: Settings, tenant: str, writes: list[tuple[dt.date, float]]) -> list[str]:
    """In a process of the pool: write slice after slice, each together with the other process."""
    outcomes = []
    with closing(Lake(settings)) as lake:
        for date, score in writes:
            rows = score_rows(tenant, (date,), score)
            GATES[0].wait(GATE_TIMEOUT_S)
            try:
                lake.replace_slice("ml.scores", rows, tenant_id=tenant, date=date, run_id="r")
                outcomes.append("written")
            except CommitConflictError:
                outcomes.append("refused")
    return outcomes


def in_threads(count: int, work: Callable[[], None]) -> list[BaseException]:
    """Run `work` in threads that start together; what they raised."""
    gate = threading.Barrier(count)
    raised: list[BaseException] = []

    def run() -> None:
        gate.wait(GATE_TIMEOUT_S)
        try:
            work()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_of_two_landers_racing_from_one_offset_exactly_one_commits(
    lake_settings: Settings, lake: Lake
) -> None:
    def land() -> None:
        with closing(Lake(lake_settings)) as own:
            append(own, ["a"], "7", None)

    (refused,) = in_threads(2, land)
    assert isinstance(refused, CommitConflictError)
    assert lake.read("raw.events", "tenant_id = 't1'").height == 1


def test_a_commit_made_after_the_offsets_were_compared_refuses_the_append(
    lake_settings: Settings, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Lake(lake_settings)) as zombie:
        stale = zombie.table("raw.events")
        append(lake, ["a"], "7", None)
        monkeypatch.setattr(zombie, "table", lambda _name: stale)  # loaded before the other's commit
        with pytest.raises(CommitConflictError, match="a concurrent commit won"):
            append(zombie, ["a"], "7", None)
    assert lake.read("raw.events", "tenant_id = 't1'").height == 1


def test_slices_of_two_tenants_replaced_by_two_processes_at_once_both_survive(
    lake_settings: Settings, lake: Lake, two_processes: Executor
) -> None:
    writes = [(DAY, float(n)) for n in range(ROUNDS)]
    tenants = ("t1", "t2")
    writers = [two_processes.submit(replace_in_step, lake_settings, tenant, writes) for tenant in tenants]
    assert [writer.result() for writer in writers] == [["written"] * ROUNDS] * 2
    for tenant in tenants:
        assert lake.read_slices("ml.scores", tenant, [DAY])["score"].to_list() == [ROUNDS - 1] * 2


def test_one_slice_replaced_by_two_processes_at_once_is_one_of_the_two_whole(
    lake_settings: Settings, lake: Lake, two_processes: Executor
) -> None:
    dates = [DAY + dt.timedelta(days=n) for n in range(2 * ROUNDS)]
    has_rows = dates[:ROUNDS]  # the other slices are empty before
    lake.replace_slices(
        "ml.scores", score_rows(dates=tuple(has_rows)), tenant_id="t1", dates=has_rows, run_id="r"
    )
    writers = [
        two_processes.submit(replace_in_step, lake_settings, "t1", [(date, own) for date in dates])
        for own in (1.0, 2.0)
    ]
    outcomes = [writer.result() for writer in writers]
    assert all("written" in pair for pair in zip(*outcomes, strict=True))
    for date in dates:
        left = lake.read_slices("ml.scores", "t1", [date])["score"].to_list()
        assert left in ([1.0, 1.0], [2.0, 2.0])


def test_lakes_opened_together_on_an_empty_catalog_all_find_every_table(
    lake_settings: Settings,
) -> None:
    def start() -> None:
        with closing(Lake(lake_settings)) as own:
            own.ensure_tables()
            assert all(own.table(name).current_snapshot() is None for name in table_schemas())

    assert in_threads(6, start) == []
