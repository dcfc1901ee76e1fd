"""`unmogrowp import` of vendors' exports: rejected rows, resuming, repeating, and the whole way into the lake."""

from __future__ import annotations

import csv
import datetime as dt
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from cli.import_events import import_command, import_file
from cli.importers import file_sha256
from cli.importers.formats import NO_CHOICES, Choices, ImportFormat
from cli.importers.progress import load_progress, progress_path, save_progress
from cli.sending import ingest_token
from resources.errors import ContractError
from resources.registry import Registry, TenantState
from resources.settings import Settings
from tests.support.door import Landing
from tests.support.door import RunningDoor as DoorInProcess
from tests.support.imports import write_table

HEADER = [
    "Event Name", "Event Time", "Install Time", "Attributed Touch Type", "Attributed Touch Time", "Media Source",
    "Campaign", "AppsFlyer ID", "App ID", "IP", "Event Revenue", "Event Revenue Currency",
]  # fmt: skip
YESTERDAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)


def row(name: str, number: int, **columns: str) -> dict[str, str]:
    return {
        "Event Name": name,
        "Event Time": f"{YESTERDAY} 10:00:{number:02}",
        "Media Source": "net_int",
        "Campaign": "Spring",
        "AppsFlyer ID": f"1762700000000-{number}",
        "App ID": "com.example.game",
        "IP": "203.0.113.7",
        **{column.replace("_", " "): value for column, value in columns.items()},
    }


def install(number: int, touch_date: dt.date = YESTERDAY) -> dict[str, str]:
    touched = {"Attributed_Touch_Type": "click", "Attributed_Touch_Time": f"{touch_date} 09:00:00"}
    return row("install", number, **touched, Install_Time=f"{YESTERDAY} 10:00:{number:02}")


ROWS = [
    install(1),
    row("level_up", 2, Event_Time="never"),
    row("af_purchase", 3, Event_Revenue="4.99", Event_Revenue_Currency="EUR"),
    row("af_purchase", 4, Event_Revenue="4.99", Event_Revenue_Currency="euros"),  # the door's to refuse
    install(5, touch_date=YESTERDAY - dt.timedelta(days=90)),  # its click is too old for the door
    row("level_up", 6),
]


def rejected_rows(path: Path) -> dict[int, list[str]]:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [*HEADER, "rejected_row", "rejected_reason"]
    assert len({line[-2] for line in rows}) == len(rows)
    return {int(line[-2]): line for line in rows}


def test_what_cannot_be_taken_is_in_the_rejected_file_and_everything_else_arrives(
    door: Any, tmp_path: Path
) -> None:
    tenant_id = door.add_tenant("t_rejected")
    path = write_table(tmp_path / "raw.csv", HEADER, ROWS)
    report = import_file(door.settings, path, ImportFormat.APPSFLYER, tenant_id).document()
    assert (report["sent"], report["accepted"], report["quarantined"]) == (7, 5, 2)
    assert report["reasons"] == {"bad_format": 1, "timestamp_too_old": 1}
    rejected = tmp_path / "raw.rejected.csv"
    assert report["rejected"] == {
        "rows": 3, "unreadable": 1, "with_quarantined_events": 2, "file": str(rejected),
    }  # fmt: skip
    lines = rejected_rows(rejected)
    assert lines[2][-1] == "event_time is no time like 2026-11-02 08:30:00"
    assert lines[4][-1].startswith("quarantined purchase: bad_format /currency must match")
    assert lines[5][-1].startswith("quarantined click: timestamp_too_old /timestamp is more than 30 days ago")
    assert [lines[number][:-2] for number in (2, 4, 5)] == [
        [ROWS[at].get(name, "") for name in HEADER] for at in (1, 3, 4)
    ]


def test_repeating_an_import_sends_the_same_ids_and_doubles_no_rejected_row(
    door: Any, tmp_path: Path
) -> None:
    tenant_id = door.add_tenant("t_repeated")
    path = write_table(tmp_path / "raw.csv", HEADER, ROWS)
    import_file(door.settings, path, ImportFormat.APPSFLYER, tenant_id)
    once, rejected = door.lines(tenant_id), (tmp_path / "raw.rejected.csv").read_bytes()
    import_file(door.settings, path, ImportFormat.APPSFLYER, tenant_id)
    assert door.lines(tenant_id) == once * 2
    assert (tmp_path / "raw.rejected.csv").read_bytes() == rejected


@pytest.mark.parametrize("stopped_after", [0, 1, 3, 4, 5])
def test_after_a_crash_anywhere_the_rejected_file_is_that_of_one_whole_pass(
    door: Any, tmp_path: Path, stopped_after: int
) -> None:
    tenant_id = door.add_tenant(f"t_crash_{stopped_after}")
    path = write_table(tmp_path / "raw.csv", HEADER, ROWS)
    rejected = tmp_path / "raw.rejected.csv"
    import_file(door.settings, path, ImportFormat.APPSFLYER, tenant_id)
    whole, sent = rejected_rows(rejected), len(door.lines(tenant_id))
    record = progress_path(door.settings.home, tenant_id, file_sha256(path))
    progress = load_progress(record)
    assert progress is not None
    save_progress(record, progress.at_row(stopped_after))
    with rejected.open("ab") as file:
        file.write(b'torn,"wri')  # what a crash leaves behind the part known to be on disk
    report = import_file(door.settings, path, ImportFormat.APPSFLYER, tenant_id)
    assert report.resumed_after_row == stopped_after
    assert rejected_rows(rejected) == whole
    assert report.document()["rejected"]["rows"] == 3
    assert len(door.lines(tenant_id)) - sent == [7, 5, 5, 4, 3, 1][stopped_after]


def test_a_lost_rejected_file_or_another_time_zone_starts_the_pass_over(door: Any, tmp_path: Path) -> None:
    tenant_id = door.add_tenant("t_over")
    path = write_table(tmp_path / "raw.csv", HEADER, ROWS)
    record = progress_path(door.settings.home, tenant_id, file_sha256(path))

    def stop_and_go_on(choices: Choices = NO_CHOICES) -> int:
        progress = load_progress(record)
        assert progress is not None
        save_progress(record, progress.at_row(4))
        return import_file(door.settings, path, ImportFormat.APPSFLYER, tenant_id, choices).resumed_after_row

    import_file(door.settings, path, ImportFormat.APPSFLYER, tenant_id)
    assert stop_and_go_on() == 4
    assert stop_and_go_on(Choices(timezone="Etc/GMT+1")) == 0
    (tmp_path / "raw.rejected.csv").unlink()
    assert stop_and_go_on(Choices(timezone="Etc/GMT+1")) == 0
    assert sorted(rejected_rows(tmp_path / "raw.rejected.csv")) == [2, 4, 5]


def test_the_corrected_rejected_file_completes_the_import_and_is_not_written_over(
    door: Any, tmp_path: Path
) -> None:
    tenant_id = door.add_tenant("t_corrected")
    path = write_table(tmp_path / "raw.csv", HEADER, ROWS[:4])
    import_file(door.settings, path, ImportFormat.APPSFLYER, tenant_id)
    rejected = tmp_path / "raw.rejected.csv"
    rejected.write_text(
        rejected.read_text().replace("never", f"{YESTERDAY} 11:00:00").replace("euros", "EUR")
    )
    with pytest.raises(ContractError, match="move it away, or give another --rejected"):
        import_file(door.settings, path, ImportFormat.APPSFLYER, tenant_id)
    report = import_file(door.settings, rejected, ImportFormat.APPSFLYER, tenant_id).document()
    assert (report["accepted"], report["quarantined"], report["rejected"]["rows"]) == (2, 0, 0)
    types = [event["eventType"] for event in door.events(tenant_id)]
    assert sorted(set(types)) == ["click", "event", "install", "purchase"]


def test_plain_ndjson_leaves_its_refused_lines_too(door: Any, tmp_path: Path) -> None:
    tenant_id = door.add_tenant("t_lines")
    good = {"timestamp": f"{YESTERDAY}T10:00:00Z", "deviceId": "d", "campaign": "c"}
    path = tmp_path / "events.ndjson"
    path.write_bytes(orjson.dumps(good) + b"\nnot json\n" + orjson.dumps(good | {"color": "red"}) + b"\n")
    choices = Choices(rejected=tmp_path / "elsewhere.ndjson")
    report = import_file(door.settings, path, ImportFormat.NDJSON, tenant_id, choices)
    assert (report.sent.accepted, report.sent.quarantined) == (1, 2)
    not_json, unknown = map(orjson.loads, (tmp_path / "elsewhere.ndjson").read_bytes().splitlines())
    assert (not_json["rejectedRow"], not_json["rejectedLine"]) == (2, "not json")
    assert not_json["rejectedReason"].startswith("quarantined line: not_json")
    assert unknown["color"] == "red"
    assert unknown["rejectedReason"].startswith("quarantined install: unknown_field /color")


def test_the_command_speaks_json_and_tells_people_where_the_rejected_rows_are(
    door: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNMOGROWP_HOME", str(door.settings.home))
    monkeypatch.setenv("UNMOGROWP_INGEST_PORT", str(door.settings.ingest_port))
    tenant_id = door.add_tenant("t_spoken")
    app = typer.Typer()
    app.command()(import_command)
    header, line = "Order;When;Device", f"7;{YESTERDAY}T10:00:00+02:00;d-1"
    path = tmp_path / "orders.csv"
    path.write_text(f"{header}\n{line}\n8;;d-2\n")
    mapping = tmp_path / "orders.toml"
    arguments = [str(path), "--format", "csv", "--tenant", tenant_id, "--mapping", str(mapping)]
    missing = CliRunner().invoke(app, [*arguments, "--json"])
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "orders.toml" in missing.stderr.replace("\n", "")  # a terminal wraps long paths
    mapping.write_text(
        '[event_type]\nconstant = "event"\n[fields]\ndeviceId = {column = "Device"}\n'
        'timestamp = {column = "When"}\neventName = {constant = "order"}\n'
    )
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["accepted"], document["rejected"]["unreadable"]) == (1, 1)
    told = CliRunner().invoke(app, arguments).stdout
    assert "rejected rows, each with its reason" in told
    assert "orders.rejected.csv" in told.replace("\n", "")
    assert door.events(tenant_id)[0]["metadata"]["Order"] == "7"


def test_an_export_goes_through_door_and_lander_into_the_lake(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with closing(Registry(settings.registry_url)) as registry, DoorInProcess(settings) as door:
        registry.migrate()
        registry.request("t123", "starter", actor="test")
        registry.transition("t123", TenantState.PROVISIONING, actor="test")
        registry.transition("t123", TenantState.ACTIVE, actor="test")
        door.keys.tokens[ingest_token(settings, registry, "t123")] = "t123"
        here = settings.model_copy(update={"ingest_port": int(door.url.rpartition(":")[2])})
        path = write_table(tmp_path / "raw.csv", HEADER, [*ROWS, *ROWS[:1]])
        report = import_file(here, path, ImportFormat.APPSFLYER, "t123")
    assert (report.sent.accepted, report.sent.quarantined) == (7, 2)
    with Landing(settings) as landing:
        landing.land_all()
        rows = landing.rows()
        quarantined = landing.rows("raw.quarantine")
    assert len(rows) == 7
    assert len({line["event_id"] for line in rows}) == 5  # the repeated row's two events are the same ones
    assert sorted(line["reason_code"] for line in quarantined) == ["bad_format", "timestamp_too_old"]
    assert "203.0.113.7" not in str(rows)
    assert "1762700000000" not in str(rows)
