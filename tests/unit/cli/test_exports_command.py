"""`unmogrowp destination …` and `exports …` against a served control plane and a real receiver."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from assets.export_contract import MARTS
from assets.export_files import ExportSlice, publish
from benchmarks.drills.export_house import rows_of
from benchmarks.drills.receivers import Receiver, receiving
from cli import destinations, exports
from cli.main import app
from control_plane.app import create_app
from resources.errors import PermanentError, TenantNotFoundError
from resources.object_store import LocalObjectStore
from resources.registry import Registry, TenantState
from resources.registry.delivery_store import DeliveryKey, Failure
from resources.registry.destination_store import PLANE
from resources.settings import Settings
from tests.support.served_app import served

Run = Callable[..., str]
DAY = dt.date(2026, 11, 3)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = Registry.from_settings(Settings(home=tmp_path))
    registry.migrate()
    registry.request("t1", "starter", "test")
    for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
        registry.transition("t1", state, actor="test")
    yield registry
    registry.close()


@pytest.fixture
def run(
    tmp_path: Path, registry: Registry, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Runs a command over a served control plane; its stdout, or its stderr when it is to fail."""
    monkeypatch.setenv("UNMOGROWP_DESTINATIONS_ALLOWED_HOSTS", json.dumps([receiver.host]))
    settings = Settings(home=tmp_path)
    with served(create_app(settings, registry)) as url:
        here = settings.with_changes(control_plane_port=urlsplit(url).port)
        for module in (destinations, exports):
            monkeypatch.setattr(module, "load_settings", lambda: here)

        def run_command(*arguments: str, exit_code: int = 0, stdin: str = "") -> str:
            result = CliRunner(env={"COLUMNS": "250"}).invoke(app, arguments, input=stdin)
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            assert result.exit_code == exit_code, result.output
            return result.stdout if exit_code == 0 else " ".join(result.stderr.split())

        yield run_command


def document(run: Run, *arguments: str, stdin: str = "") -> Any:
    return json.loads(run(*arguments, "--json", stdin=stdin))


def kill_delivery(registry: Registry, mart: str) -> None:
    key = DeliveryKey("t1", PLANE, mart, DAY)
    registry.delivery_failed(Failure(key, "aa", 0, f"t1:{mart}", "run-1", "column is missing", is_final=True))


def test_a_webhook_is_added_tested_rotated_and_removed(run: Run, receiver: Receiver) -> None:
    assert "to its plane alone" in run("destination", "list", "--tenant", "t1")
    added = document(run, "destination", "add", "--tenant", "t1", "--webhook", receiver.url)
    mine = added["destinationId"]
    assert added["secret"].startswith("whsec_")
    listed = run("destination", "list", "--tenant", "t1")
    assert mine in listed
    assert added["secret"] not in listed
    assert "it was taken" in run("destination", "test", mine, "--tenant", "t1")
    receiver.mood = "500"
    told = run("destination", "test", mine, "--tenant", "t1", exit_code=1)
    assert "did not take the test" in told
    rotated = run("destination", "rotate", mine, "--tenant", "t1")
    assert "shown once: whsec_" in rotated
    run("destination", "remove", mine, "--tenant", "t1")
    assert document(run, "destination", "list", "--tenant", "t1") == {"destinations": []}


def test_a_bucket_s_secret_comes_from_stdin_or_is_typed_never_from_an_argument(run: Run) -> None:
    common = (
        "destination",
        "add",
        "--tenant",
        "t1",
        "--s3",
        "s3://own-bucket/a/b",
        "--endpoint",
        "https://1.1.1.1",
    )
    typed = (*common, "--access-key-id", "AKIA1")
    made = document(run, *typed, "--secret-file", "-", stdin="of-the-bucket\n")
    assert made["config"]["prefix"] == "a/b"
    assert "of-the-bucket" not in json.dumps(made)
    shown = run(*typed, stdin="of-the-bucket\n")
    assert "s3://own-bucket/a/b at https://1.1.1.1" in shown
    assert "of-the-bucket" not in shown
    assert "--access-key-id" in run(*common, exit_code=1)


def test_what_is_no_destination_is_told_in_one_sentence(run: Run) -> None:
    assert "either --webhook" in run("destination", "add", "--tenant", "t1", exit_code=1)
    assert "names no bucket" in run("destination", "add", "--tenant", "t1", "--s3", "https://x", exit_code=1)
    with pytest.raises(PermanentError, match="not public"):
        run("destination", "add", "--tenant", "t1", "--webhook", "https://169.254.169.254/")
    with pytest.raises(TenantNotFoundError):
        run("destination", "list", "--tenant", "ghost")


@pytest.mark.parametrize("kind", ["parquet", "json", "csv"])
def test_an_export_is_pulled_into_a_file_in_the_format_asked_for(run: Run, tmp_path: Path, kind: str) -> None:
    slice_ = ExportSlice("t1", MARTS["kpi_daily"], DAY)
    table = rows_of(slice_.dataset, "t1", DAY, 5)
    publish(LocalObjectStore(tmp_path / "exports"), slice_, table, source_snapshots={}, run_id="r")
    out = tmp_path / f"kpi.{kind}"
    pull = ("exports", "pull", "kpi_daily", str(DAY), "--tenant", "t1", "--format")
    told = document(run, *pull, kind, "--out", str(out))
    content = out.read_bytes()
    assert told == {"file": str(out), "bytes": len(content), "format": kind}
    rows = {
        "parquet": lambda: pq.read_table(io.BytesIO(content)).to_pylist(),
        "json": lambda: json.loads(content),
        "csv": lambda: list(csv.DictReader(io.StringIO(content.decode()))),
    }[kind]()
    assert [int(row["events"]) for row in rows] == table["events"].to_pylist()
    assert run(*pull, "csv").startswith('"tenant_id"')


def test_a_pull_that_fails_leaves_no_file(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "nothing.csv"
    with pytest.raises(TenantNotFoundError, match="no such export"):
        run("exports", "pull", "kpi_daily", str(DAY), "--tenant", "t1", "--format", "csv", "--out", str(out))
    assert list(tmp_path.glob("nothing*")) == []
    assert "one of parquet" in run(
        "exports", "pull", "x", str(DAY), "--tenant", "t1", "--format", "xml", exit_code=1
    )


def test_the_operator_sees_dead_deliveries_and_replays_them(run: Run, registry: Registry) -> None:
    assert "every export that was made is delivered" in run("exports", "status")
    assert "nothing of t1 is dead" in run("exports", "dead", "list", "--tenant", "t1")
    for mart in ("installs", "cohorts"):
        kill_delivery(registry, mart)
    registry.circuit_failed("t1", PLANE, "status 500")
    (status,) = document(run, "exports", "status")["receivers"]
    assert (status["circuit"], status["failures"], status["dead"]) == ("closed", 1, 2)
    assert document(run, "exports", "status", "--tenant", "t1")["receivers"] == [status]
    dead = document(run, "exports", "dead", "list", "--tenant", "t1")["deliveries"]
    assert {one["mart"] for one in dead} == {"installs", "cohorts"}
    first = dead[0]["deliveryId"]
    assert "column is missing" in run("exports", "dead", "show", first, "--tenant", "t1")
    assert document(run, "exports", "dead", "replay", first, "--tenant", "t1")["replayed"] == [first]
    assert len(registry.due_deliveries("t1")) == 1
    assert "say which" in run("exports", "dead", "replay", "--tenant", "t1", exit_code=1)
    registry.delivery_done(DeliveryKey("t1", PLANE, dead[1]["mart"], DAY))  # the stack delivered it
    with pytest.raises(TenantNotFoundError, match="no such delivery"):
        run("exports", "dead", "replay", dead[1]["deliveryId"], "--tenant", "t1")


def test_a_replay_that_is_waited_for_says_what_is_still_not_delivered(run: Run, registry: Registry) -> None:
    kill_delivery(registry, "installs")
    told = run(
        "exports", "dead", "replay", "--all", "--tenant", "t1", "--wait", "1", exit_code=1
    )  # no stack runs
    assert "is not delivered after 1 s: column is missing" in told
    waiting = document(run, "exports", "dead", "list", "--tenant", "t1", "--waiting")["deliveries"]
    assert [one["state"] for one in waiting] == ["waiting"]
