"""`unmogrowp import`: real clicks and installs through the real door, repeatable and resumable."""

from __future__ import annotations

import datetime as dt
import hashlib
import stat
from pathlib import Path
from typing import Any

import pytest
import typer
from jsonschema import Draft202012Validator, FormatChecker
from typer.testing import CliRunner

from cli.import_events import import_command, import_file
from cli.importers import Record, Survey, file_sha256
from cli.importers.batches import whole_rows
from cli.importers.formats import Choices, ImportFormat
from cli.importers.ndjson import Ndjson
from cli.importers.progress import load_progress, progress_path, save_progress
from cli.importers.shift import DoorWindow, choose_shift_days
from cli.importers.talkingdata import HEADER, TalkingData, row_events
from cli.sending import ingest_token
from resources.errors import ContractError, ServiceUnavailableError, TenantNotFoundError
from resources.registry import Registry, TenantState, key_id_of
from resources.settings import Settings
from schemas import event_schemas
from simulator.simulation import simulate

SAMPLE = Path(__file__).parents[3].parent / "shared/data/talkingdata/train_sample.csv"
ROW = ["87540", "12", "1", "13", "497", "2017-11-07 09:30:38", "2017-11-07 09:33:56", "1"]
CLICK_ONLY = [*ROW[:6], "", "0"]
SHA256 = hashlib.sha256(b"any file").hexdigest()


def write_csv(path: Path, rows: list[list[str]]) -> Path:
    path.write_text("\n".join(",".join(row) for row in [HEADER, *rows]) + "\n")
    return path


def app() -> typer.Typer:
    command_line = typer.Typer()
    command_line.command()(import_command)
    return command_line


def moment(event: dict[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(event["timestamp"])


def test_a_row_is_a_click_and_its_install_joined_by_the_click_id_alone() -> None:
    click, install = row_events(7, ROW, "t123", SHA256, shift_days=10)
    assert click["timestamp"] == "2017-11-17T09:30:38Z"
    assert install["timestamp"] == "2017-11-17T09:33:56Z"
    assert (click["source"], click["campaign"], click["appId"]) == ("channel_497", "app_12", "td.app.12")
    assert install["referrer"] == {"clickId": click["clickId"], "clickTime": click["timestamp"]}
    assert click["clickId"] == click["deviceId"] == install["deviceId"] == f"td-{SHA256[:12]}-7"
    assert install["campaign"] == "unknown"
    for event in (click, install):
        schema = event_schemas("v1")[str(event["eventType"])]
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(event)


def test_equal_rows_are_two_events_and_the_same_row_is_always_the_same_event() -> None:
    first, again, second = (row_events(number, CLICK_ONLY, "t123", SHA256, 0)[0] for number in (1, 1, 2))
    assert first == again
    assert first["eventId"] != second["eventId"]
    other_file = row_events(1, CLICK_ONLY, "t123", hashlib.sha256(b"other").hexdigest(), 0)[0]
    assert other_file["eventId"] != first["eventId"]


def test_a_file_of_another_format_is_refused_with_the_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ContractError, match="header"):
        TalkingData().survey(tmp_path / "a.csv", "t1")
    with pytest.raises(ContractError, match="row 2: 3 fields"):
        TalkingData().survey(write_csv(tmp_path / "c.csv", [ROW, ["1", "2", "3"]]), "t1")
    with pytest.raises(ContractError, match="no rows"):
        TalkingData().survey(write_csv(tmp_path / "d.csv", []), "t1")
    with pytest.raises(ContractError, match="no day"):
        TalkingData().survey(write_csv(tmp_path / "e.csv", [[*ROW[:5], "yesterday", "", "0"]]), "t1")


TODAY = dt.date(2026, 11, 20)
WINDOW = DoorWindow.of(dt.datetime(2026, 11, 20, 9, tzinfo=dt.UTC), late_days=30)
OLD = Survey(2, {"click": 2}, {dt.date(2017, 11, 6): 1, dt.date(2017, 11, 9): 1})


def test_auto_moves_the_last_day_to_yesterday_and_a_recorded_shift_stays() -> None:
    days = choose_shift_days("auto", None, OLD, WINDOW, 0.0)
    assert OLD.last_date + dt.timedelta(days=days) == TODAY - dt.timedelta(days=1)
    for wanted in ("auto", None, str(days - 3)):
        assert choose_shift_days(wanted, days - 3, OLD, WINDOW, 0.0) == days - 3
    with pytest.raises(ContractError, match="cannot have two times"):
        choose_shift_days("none", days, OLD, WINDOW, 0.0)


@pytest.mark.parametrize(
    ("wanted", "way_out"), [(None, "--shift auto"), ("none", "--shift auto"), ("3301", "--shift auto")]
)
def test_a_shift_that_leaves_events_outside_the_window_is_refused(wanted: str | None, way_out: str) -> None:
    with pytest.raises(ContractError, match=way_out):
        choose_shift_days(wanted, None, OLD, WINDOW, 0.0)


def test_a_file_longer_than_the_window_is_not_told_to_shift() -> None:
    long = Survey(2, {"click": 2}, {dt.date(2017, 1, 6): 1, dt.date(2017, 11, 9): 1})
    with pytest.raises(ContractError, match="UNMOGROWP_LATE_DAYS"):
        choose_shift_days("auto", None, long, WINDOW, 0.0)
    assert choose_shift_days("auto", None, long, WINDOW, 0.5) > 0  # a replay may hold single old events


def test_batches_end_with_a_row() -> None:
    records = [Record(row, b"", (b"x", b"x")) for row in range(1, 6)]
    batches = list(whole_rows(records, rejected=pytest.fail, max_events=3))
    assert [(len(batch.lines), batch.mark) for batch in batches] == [(4, 2), (4, 4), (2, 5)]


def test_without_a_shift_old_data_is_refused_before_anything_is_sent(
    door: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id = door.add_tenant("t_unshifted")
    monkeypatch.setenv("UNMOGROWP_HOME", str(door.settings.home))
    monkeypatch.setenv("UNMOGROWP_INGEST_PORT", str(door.settings.ingest_port))
    path = write_csv(tmp_path / "old.csv", [ROW])
    arguments = [str(path), "--format", "talkingdata", "--tenant", tenant_id]
    result = CliRunner().invoke(app(), arguments)
    assert result.exit_code == 1
    assert "quarantines" in result.stderr
    assert "--shift auto" in " ".join(result.stderr.split())
    assert door.lines(tenant_id) == []
    assert CliRunner().invoke(app(), [*arguments, "--shift", "auto", "--json"]).exit_code == 0
    assert len(door.lines(tenant_id)) == 2


def test_importing_again_sends_the_same_bytes_and_an_interrupted_import_resumes(
    door: Any, tmp_path: Path
) -> None:
    tenant_id = door.add_tenant("t_again")
    path = write_csv(tmp_path / "some.csv", [ROW, CLICK_ONLY, ROW, CLICK_ONLY, ROW])

    def run(shift: str | None) -> Any:
        return import_file(door.settings, path, ImportFormat.TALKINGDATA, tenant_id, Choices(shift=shift))

    first = run("auto")
    assert (first.sent.sent, first.sent.accepted, first.sent.quarantined) == (8, 8, 0)
    once = door.lines(tenant_id)
    assert len(set(once)) == len(once) == 8
    run(None)
    assert door.lines(tenant_id) == once * 2

    record = progress_path(door.settings.home, tenant_id, file_sha256(path))
    progress = load_progress(record)
    assert progress is not None
    assert progress.is_complete
    save_progress(record, progress.at_row(3))  # as a crash after the third row leaves it
    resumed = run("auto")
    assert resumed.resumed_after_row == 3
    assert door.lines(tenant_id)[16:] == once[5:]


@pytest.mark.skipif(not SAMPLE.exists(), reason="the TalkingData sample is not beside the checkout")
def test_the_real_sample_arrives_whole_with_every_interval_kept(door: Any) -> None:
    tenant_id = door.add_tenant("t_talkingdata")
    report = import_file(door.settings, SAMPLE, ImportFormat.TALKINGDATA, tenant_id, Choices(shift="auto"))
    assert report.document()["events"] == {"click": 100_000, "install": 227}
    assert (report.sent.sent, report.sent.accepted, report.sent.quarantined) == (100_227, 100_227, 0)
    events = door.events(tenant_id)
    assert len({event["eventId"] for event in events}) == 100_227
    clicks = {event["clickId"]: event for event in events if event["eventType"] == "click"}
    assert len(clicks) == 100_000
    rows = [line.split(",") for line in SAMPLE.read_text().splitlines()[1:]]
    for install in (event for event in events if event["eventType"] == "install"):
        click = clicks[install["referrer"]["clickId"]]
        row = rows[install["metadata"]["row"] - 1]
        clicked, attributed = (dt.datetime.fromisoformat(text) for text in row[5:7])
        assert moment(install) - moment(click) == attributed - clicked
        assert click["source"] == f"channel_{row[4]}"
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    assert max(moment(event).date() for event in events) == yesterday


def test_a_simulated_file_arrives_line_by_line_with_its_faults_quarantined(door: Any, tmp_path: Path) -> None:
    tenant_id = door.add_tenant("t_replay")
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    world = simulate([tenant_id], end_date=yesterday, days=3, seed=4, events_total=3_000)
    world.write(tmp_path)
    path = tmp_path / "events" / f"{tenant_id}.ndjson.zst"
    report = import_file(door.settings, path, ImportFormat.NDJSON, tenant_id)
    totals = world.tenants[0].totals
    assert (report.sent.sent, report.sent.quarantined) == (3_000, totals["malformed"])
    assert report.sent.accepted == totals["unique_valid"] + totals["duplicates"]
    assert sorted(door.lines(tenant_id)) == sorted(world.tenants[0].deliveries)


def test_ndjson_gets_what_is_missing_and_only_its_dates_move(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(
        b'{"timestamp":"2017-11-07T23:30:38.123+02:00","referrer":{"clickId":"c","clickTime":"2017-11-07T23:00:00Z"}}'
        b'\n\nnot json\n{"timestamp":"soon","tenantId":"t1","eventId":"e"}\n'
    )
    survey = Ndjson().survey(path, "t1")
    assert (survey.rows, survey.events) == (4, {"install": 2, "unreadable": 1})
    assert survey.per_day == {dt.date(2017, 11, 7): 1}
    records = Ndjson().records(path, "t1", SHA256, shift_days=1, after_row=0)
    sent = [(record.row, line) for record in records for line in record.lines]
    assert b'"timestamp":"2017-11-08T23:30:38.123+02:00"' in sent[0][1]
    assert b'"clickTime":"2017-11-08T23:00:00Z"' in sent[0][1]
    assert b'"tenantId":"t1","eventId":"' in sent[0][1]
    assert sent[1:] == [(3, b"not json"), (4, b'{"timestamp":"soon","tenantId":"t1","eventId":"e"}')]
    with pytest.raises(ContractError, match="line 4 belongs to another tenant"):
        Ndjson().survey(path, "t2")


def test_the_token_is_kept_private_and_made_anew_once_revoked(door: Any) -> None:
    tenant_id = door.add_tenant("t_token")
    registry = Registry(door.settings.registry_url)
    token = ingest_token(door.settings, registry, tenant_id)
    assert ingest_token(door.settings, registry, tenant_id) == token
    kept = door.settings.secrets_dir / f"ingest_{tenant_id}.token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    registry.revoke_key(tenant_id, key_id_of(token), actor="test")
    assert ingest_token(door.settings, registry, tenant_id) != token
    registry.transition(tenant_id, TenantState.SUSPENDED, actor="test")
    with pytest.raises(Exception, match="t_token is suspended and takes no events"):
        ingest_token(door.settings, registry, tenant_id)
    with pytest.raises(TenantNotFoundError):
        ingest_token(door.settings, registry, "t_nobody")
    registry.close()


def test_a_door_that_is_away_is_said_at_once(door: Any, tmp_path: Path) -> None:
    tenant_id = door.add_tenant("t_away")
    away = Settings(home=door.settings.home, ingest_port=1)
    path = write_csv(tmp_path / "some.csv", [ROW])
    with pytest.raises(ServiceUnavailableError, match=r"t_away.*unmogrowp up"):
        import_file(away, path, ImportFormat.TALKINGDATA, tenant_id, Choices(shift="auto"))
