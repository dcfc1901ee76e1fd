"""`unmogrowp simulate`: into files, and through the real door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
import zstandard
from typer.testing import CliRunner

from cli.simulate import simulate_command


@pytest.fixture
def run(door: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("UNMOGROWP_HOME", str(door.settings.home))
    monkeypatch.setenv("UNMOGROWP_INGEST_PORT", str(door.settings.ingest_port))
    command_line = typer.Typer()
    command_line.command()(simulate_command)
    return lambda *arguments: CliRunner().invoke(command_line, arguments)


def test_files_hold_as_many_events_and_installs_as_the_report_says(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "world"
    result = run("--tenants", "2", "--days", "3", "--users", "50", "--seed", "1", "--out", str(out), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    installs = pq.read_table(out / "truth" / "installs.parquet").to_pylist()
    for one in report["tenants"]:
        lines = zstandard.decompress((out / "events" / f"{one['tenant_id']}.ndjson.zst").read_bytes())
        assert len(lines.splitlines()) == one["sent"]
        assert sum(row["tenant_id"] == one["tenant_id"] for row in installs) == one["installs"]
        assert one["door"] is None


def test_the_full_world_is_written_with_the_truth_about_fraud_and_returns(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "world"
    chosen = ("--tenants", "1", "--days", "9", "--users", "150", "--seed", "1", "--world", "full")
    result = run(*chosen, "--out", str(out), "--json")
    assert result.exit_code == 0, result.output
    [one] = json.loads(result.stdout)["tenants"]
    tables = {path.stem: pq.read_table(path) for path in (out / "truth").glob("*.parquet")}
    assert set(tables) == {"installs", "conversions", "touches", "publishers", "counts", "totals"}
    assert tables["installs"].num_rows == one["installs"] > 100
    assert {"match_kind", "fraud_kind", "is_reinstall"} <= set(tables["installs"].column_names)
    assert run(*chosen[:-1], "round", "--out", str(out)).exit_code == 2


def test_sent_worlds_arrive_in_their_order_and_malformed_events_are_quarantined(run: Any, door: Any) -> None:
    for tenant_id in ("t_sim_a", "t_sim_b"):
        door.add_tenant(tenant_id)
    chosen = ("--tenant", "t_sim_a", "--tenant", "t_sim_b")
    arguments = ("--days", "2", "--users", "60", "--seed", "2", *chosen, "--send")
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    for one in report["tenants"]:
        assert one["door"]["sent"] == one["sent"] == len(door.lines(one["tenant_id"]))
        assert one["door"]["quarantined"] == one["malformed"]
        assert {event["tenantId"] for event in door.events(one["tenant_id"])} == {one["tenant_id"]}
    totals = pq.read_table(Path(report["out"]) / "truth" / "totals.parquet").to_pylist()
    assert {(row["tenant_id"], row["deliveries"]) for row in totals if row["kind"] == "sent"} == {
        (one["tenant_id"], one["sent"]) for one in report["tenants"]
    }
    assert run(*arguments).exit_code == 0  # for people, without --json


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "either --out DIR or --send"),
        (("--send", "--out", "x"), "either --out DIR or --send"),
        (("--send", "--tenant", "t_unknown"), "t_unknown"),
        (("--send", "--tenants", "99"), "active tenants, not 99"),
        (("--send", "--tenant", "t_unknown", "--days", "30"), "older than 30 days"),
        (("--out", "x", "--users", "1", "--events", "9"), "not both"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    run: Any, arguments: tuple[str, ...], sentence: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert sentence in " ".join(result.stderr.split())
    assert result.stdout == ""
