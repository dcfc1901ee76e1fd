"""`unmogrowp bench`: every figure of the contract is there and positive, and no real store is touched."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import lake_append
from benchmarks.harness import Result, Size, cpu_seconds, default_settings, document, measured, resident_mb
from benchmarks.servers import TENANT, running_door, running_noop
from benchmarks.traffic import make_events, requests_of, send_all
from cli.bench import bench_command, figure_rows
from resources.errors import ServiceUnavailableError
from resources.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

TINY = ("--scale", "0.003")  # 300 events where the usual run takes 100,000
FIGURES = {
    "ingest": {
        "door_cpu_us_per_event_1": "us",
        "door_cpu_us_per_event_100": "us",
        "door_cpu_us_per_event_500": "us",
        "noop_cpu_us_per_request": "us",
        "acked_events_per_s_500": "events/s",
        "sustained_events_per_s_iceberg": "events/s",
        "p99_ms_half_load": "ms",
        "rss_mb": "MB",
        "lander_cpu_us_per_event": "us",
        "duckdb_cpu_us_per_event": "us",
        "dlt_cpu_us_per_event": "us",
    },
    "lake": {"append_ms_commit_10": "ms", "parquet_write_ms": "ms", "slice_read_ms": "ms"},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who also has a registry elsewhere."""
    monkeypatch.setenv("UNMOGROWP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UNMOGROWP_DATABASE_URL", f"sqlite:///{tmp_path / 'precious.db'}")
    monkeypatch.setenv("UNMOGROWP_CATALOG_URI", f"sqlite:///{tmp_path / 'precious.db'}")
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Any:
    command_line = typer.Typer()
    command_line.command()(bench_command)
    return lambda *arguments: CliRunner().invoke(command_line, arguments)


@pytest.mark.parametrize("name", FIGURES)
def test_a_bench_prints_every_figure_as_one_json_document(run: Any, home: Path, name: str) -> None:
    result = run(name, *TINY, "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert set(printed) == {"bench", "machine", "results"}
    assert printed["bench"] == name
    assert {row["name"]: row["unit"] for row in printed["results"]} == FIGURES[name]
    for row in printed["results"]:
        assert set(row) == {"name", "value", "unit"}
        assert row["value"] > 0, row
    assert list(home.iterdir()) == []
    assert not (home.parent / "precious.db").exists()


def test_a_full_run_also_says_what_an_append_costs_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_append, "LATE_COMMIT", 16)  # 3,000 take up to an hour
    results = lake_append.run(tmp_path, Size(0.003, is_full=True))
    assert [result.name for result in results] == [
        "append_ms_commit_10",
        "append_ms_commit_3000",
        "parquet_write_ms",
    ]
    assert all(result.value > 0 for result in results)


def test_people_see_each_figure_beside_its_yardstick() -> None:
    door = Result("door_cpu_us_per_event_1", 55.0, "us", "noop_cpu_us_per_request")
    noop = Result("noop_cpu_us_per_request", 40.0, "us")
    assert [row[-1] for row in figure_rows([door, noop])] == ["1.4 × noop", ""]
    assert figure_rows([door])[0][-1] == ""


def test_a_wrong_name_ends_with_exit_code_2_and_the_list(run: Any) -> None:
    result = run("ingestion")
    assert result.exit_code == 2
    assert "'ingest'" in result.stderr
    assert "'lake'" in result.stderr


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert measured("a", [9.0, 1.0, 2.0004], "ms") == Result("a", 2.0, "ms")
    assert Size(0.003).of(100) == 1


def test_the_machine_is_described_without_telling_whose_it_is() -> None:
    described = document("ingest", [])["machine"]
    known = {"system", "architecture", "processor", "cores", "memory_gib", "load_1m", "python"}
    assert set(described) == known
    assert described["cores"] >= 1
    assert described["memory_gib"] > 0


def test_cpu_of_a_process_is_what_it_worked_and_not_what_it_slept() -> None:
    code = (
        "import time, sys\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(0.2)
        assert 0.3 <= cpu_seconds(worker.pid) < 0.45
        assert resident_mb(worker.pid) > 1
        worker.communicate()
    with pytest.raises(ProcessLookupError):
        cpu_seconds(worker.pid)


def test_settings_of_a_benchmark_are_the_defaults_whatever_the_environment_says(home: Path) -> None:
    settings = default_settings(home / "bench", ingest_port=1)
    assert settings.registry_url == f"sqlite:///{home / 'bench' / 'registry.db'}"
    assert settings.lake_catalog_uri == f"sqlite:///{home / 'bench' / 'catalog.db'}"
    assert settings.ingest_port == 1


def test_load_that_is_not_accepted_is_an_error_and_not_a_figure(home: Path, tmp_path: Path) -> None:
    with running_door(tmp_path / "door") as door:
        registry = Registry(door.settings.registry_url)
        assert registry.get(TENANT).state == "active"
        registry.close()
        good, foreign = make_events(TENANT, 8), make_events("t456", 1)
        assert 300 < sum(map(len, good)) / len(good) < 400  # the size that published figures are of
        port, token = door.server.port, door.token
        send_all(port, requests_of(good, 1, TENANT, token) + requests_of(good, 3, TENANT, token))
        for refused in (
            requests_of([*good, *foreign], 100, TENANT, token),
            requests_of(foreign, 1, TENANT, token),
            requests_of(good, 1, TENANT, "umg_ingest_unknown"),
        ):
            with pytest.raises(ServiceUnavailableError, match="did not accept the load"):
                send_all(port, refused)


def test_the_noop_takes_the_same_requests(tmp_path: Path) -> None:
    with running_noop(tmp_path) as noop:
        send_all(noop.port, requests_of(make_events(TENANT, 20), 1, TENANT, "any"))
        assert cpu_seconds(noop.pid) > 0
    with pytest.raises(ConnectionRefusedError):
        send_all(noop.port, requests_of(make_events(TENANT, 1), 1, TENANT, "any"))
