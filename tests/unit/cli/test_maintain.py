"""`unmogrowp maintain`: one document, one sentence on failure, nothing changed on a dry run."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.maintain import maintain_command
from resources.errors import SettingsError
from resources.lake import Lake
from resources.lake_compaction import MIN_SMALL_FILES
from resources.settings import Settings
from schemas import table_schemas
from tests.support.lake_rows import land

app = typer.Typer()
app.command()(maintain_command)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNMOGROWP_HOME", str(tmp_path))
    monkeypatch.setenv("UNMOGROWP_SNAPSHOTS_KEPT", "2")
    with closing(Lake(Settings(home=tmp_path))) as lake:
        lake.ensure_tables()
        for number in range(1, MIN_SMALL_FILES + 1):
            land(lake, number)
    return tmp_path


def test_it_prints_one_document_of_every_table_and_repeats_to_nothing() -> None:
    runner = CliRunner()
    dry = json.loads(runner.invoke(app, ["--dry-run", "--json"]).stdout)
    done = json.loads(runner.invoke(app, ["--json"]).stdout)
    again = json.loads(runner.invoke(app, ["--json"]).stdout)
    assert [table["table"] for table in done["tables"]] == list(table_schemas())
    raw = [
        next(t for t in document["tables"] if t["table"] == "raw.events") for document in (dry, done, again)
    ]
    assert [table["snapshots_expired"] for table in raw] == [MIN_SMALL_FILES - 2, MIN_SMALL_FILES - 1, 0]
    assert [len(table["compactions"]) for table in raw] == [0, 1, 0]
    assert raw[0]["partitions_to_compact"] == 1


def test_a_table_for_people() -> None:
    result = CliRunner().invoke(app, ["raw.events"])
    assert result.exit_code == 0
    assert f"{MIN_SMALL_FILES} → 1" in result.stdout


def test_a_table_that_cannot_be_read_ends_with_a_sentence_after_the_others(home: Path) -> None:
    with closing(Lake(Settings(home=home))) as lake:
        Path(lake.table("clean.events").metadata_location.removeprefix("file://")).unlink()
    result = CliRunner().invoke(app, ["--json"])
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert not document["ok"]
    assert len(document["tables"]) == len(table_schemas())
    assert "clean.events" in result.stderr


def test_an_unknown_table_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"no table is called raw.event: there are"):
        CliRunner().invoke(app, ["raw.event"], catch_exceptions=False)
