"""`unmogrowp skan …`: verdicts on files of postbacks, and documents over a served control plane."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from cli import skan as command
from cli.main import app
from control_plane.app import create_app
from resources.errors import ContractError, ConversionSchemaError, TenantNotFoundError
from resources.registry import Registry
from resources.settings import Settings
from schemas import event_schemas
from tests.support.served_app import served

EVENTS = event_schemas("v1")["skan_postback"]["examples"]
FOUR, COARSE, THREE, LOSING, TWO_TWO, TWO_ONE = (event["postback"] for event in EVENTS)
APP = 525463029
TODAY = dt.datetime.now(dt.UTC).date()
DOCUMENT: dict[str, Any] = {
    "appId": APP,
    "currency": "USD",
    "windows": [
        {
            "sequenceIndex": 0,
            "fine": [
                {
                    "from": 20,
                    "to": 63,
                    "events": ["purchase"],
                    "revenueMicros": {"low": 990_000, "high": 9_990_000},
                }
            ],
            "lock": {"fine": 63},
        }
    ],
}
Run = Callable[..., str]


def outcome(*arguments: str, text: str | None = None, exit_code: int = 0) -> str:
    result = CliRunner(env={"COLUMNS": "220"}).invoke(app, ["skan", *arguments], input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result.stdout


def verdicts(text: str, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        outcome("verify", "-", *arguments, "--json", text=text, exit_code=exit_code)
    )
    return found


@pytest.fixture
def document_file(tmp_path: Path) -> Path:
    path = tmp_path / "conversions.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


def test_the_shared_files_verify_and_the_invalid_ones_do_not(shared_data: Path) -> None:
    folder = shared_data / "skan_postbacks" / "testdata"
    good, bad = sorted(folder.glob("*.json")), sorted((folder / "invalid").glob("*.json"))
    assert (len(good), len(bad)) == (6, 2)
    for path in good:
        assert json.loads(outcome("verify", str(path), "--json"))["verified"] == 1
    for path in bad:
        assert json.loads(outcome("verify", str(path), "--json", exit_code=1))["refused"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(json.dumps(event["postback"]) for event in EVENTS),
        json.dumps([event["postback"] for event in EVENTS], indent=2),
        "\n".join(json.dumps(event) for event in EVENTS) + "\n",
        "\ufeff" + "\n\n".join(json.dumps(event, indent=2) for event in EVENTS),
    ],
    ids=["ndjson", "array", "events", "objects over several lines"],
)
def test_postbacks_are_found_however_the_file_holds_them(text: str) -> None:
    found = verdicts(text)
    assert (found["verified"], found["refused"]) == (6, 0)
    assert [one["postback"]["version"] for one in found["postbacks"]] == [
        "4.0",
        "4.0",
        "3.0",
        "3.0",
        "2.2",
        "2.1",
    ]


def test_a_value_means_what_the_document_says(document_file: Path) -> None:
    (found,) = verdicts(json.dumps(FOUR), "--schema", str(document_file))["postbacks"]
    meaning = found["meaning"]
    assert (meaning["basis"], meaning["events"], meaning["is_at_lock"]) == ("fine", ["purchase"], True)
    assert meaning["revenue_micros"] == {
        "low_micros": 990_000,
        "high_micros": 9_990_000,
        "expected_micros": 5_490_000,
    }
    assert (meaning["window"]["last_day"], meaning["currency"]) == (2, "USD")


def test_people_read_a_sentence_for_each(document_file: Path) -> None:
    text = "\n".join(json.dumps(one) for one in (FOUR, COARSE, LOSING))
    shown = " ".join(outcome("verify", "-", "--schema", str(document_file), text=text).split())
    assert "1 verified postback of version 4.0: com.example, campaign 5239, app 525463029, install" in shown
    assert "value 63: purchase; 0.99 to 9.99 USD, expected 5.49; the app ended the window here" in shown
    assert "value high: the document does not mention it" in shown
    assert "another network won" in shown
    assert "no document of the app says what it means" in outcome("verify", "-", text=json.dumps(FOUR))


def test_a_forged_one_among_good_ones_is_named_and_the_command_fails() -> None:
    forged = FOUR | {"source-identifier": "5238"}
    found = verdicts(json.dumps([FOUR, forged, {"version": "5.0"}]), exit_code=1)
    assert (found["verified"], found["refused"]) == (1, 2)
    assert found["postbacks"][1]["error"]["code"] == "bad_signature"
    assert found["postbacks"][2]["error"]["pointer"] == "/version"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no postback"),
        ("[]", "holds no postback"),
        (f"{json.dumps(FOUR)}\n{{broken", "no JSON from line 2 on"),
        ("[1]", "item 1 is no JSON object"),
    ],
)
def test_what_holds_no_postback_is_told_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        outcome("verify", "-", text=text)


def test_a_missing_file_and_a_wrong_document_are_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="cannot be read as text"):
        outcome("verify", str(tmp_path / "nowhere.json"))
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(DOCUMENT | {"currency": "dollars"}))
    with pytest.raises(ConversionSchemaError, match="/currency is not valid"):
        outcome("verify", "-", "--schema", str(wrong), text=json.dumps(FOUR))


@pytest.fixture
def stack(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A served control plane with one tenant, which the commands talk to."""
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.request("t1", "starter", "test")
    with served(create_app(settings, registry)) as url:
        here = settings.with_changes(control_plane_port=urlsplit(url).port)
        monkeypatch.setattr(command, "load_settings", lambda: here)
        yield registry
    registry.close()


def test_a_document_is_set_listed_and_shown(stack: Registry, document_file: Path) -> None:
    assert "skan schema set FILE --tenant t1" in outcome("schema", "list", "--tenant", "t1")
    arguments = ("schema", "set", str(document_file), "--tenant", "t1", "--effective-from", "2026-01-01")
    shown = outcome(*arguments, "--reason", "release 4.2")
    assert f"unmogrowp backfill --tenant t1 --from 2026-01-01 --to {TODAY} --select marts" in shown
    (version,) = stack.skan_schemas("t1")
    assert (version.effective_from, version.reason) == (dt.date(2026, 1, 1), "release 4.2")
    listed = json.loads(outcome("schema", "list", "--tenant", "t1", "--json"))["schemas"]
    assert [(one["storeAppId"], one["version"]) for one in listed] == [(APP, 1)]
    assert "release 4.2" in outcome("schema", "list", "--tenant", "t1")
    one = json.loads(outcome("schema", "show", str(APP), "--tenant", "t1", "--version", "1", "--json"))
    assert one["document"] == DOCUMENT
    assert "purchase" in outcome("schema", "show", str(APP), "--tenant", "t1")


def test_a_document_holds_from_today_on_unless_said_otherwise(stack: Registry, document_file: Path) -> None:
    added = json.loads(outcome("schema", "set", str(document_file), "--tenant", "t1", "--json"))
    assert (added["effectiveFrom"], added["createdBy"]) == (TODAY.isoformat(), "user:admin")
    assert "--select marts" in outcome("schema", "set", str(document_file), "--tenant", "t1")
    assert len(stack.skan_schemas("t1")) == 1
    later = (TODAY + dt.timedelta(days=1)).isoformat()
    other = document_file.with_name("other.json")
    other.write_text(json.dumps(DOCUMENT | {"windows": [{"sequenceIndex": 1}]}))
    assert "backfill" not in outcome("schema", "set", str(other), "--tenant", "t1", "--effective-from", later)


def test_validating_changes_nothing_and_needs_no_stack(document_file: Path) -> None:
    arguments = ("schema", "set", str(document_file), "--tenant", "t1", "--validate")
    assert json.loads(outcome(*arguments, "--json"))["storeAppId"] == APP


def test_an_unknown_tenant_app_or_version_says_what_to_do(stack: Registry, document_file: Path) -> None:
    with pytest.raises(TenantNotFoundError, match="ghost"):
        outcome("schema", "set", str(document_file), "--tenant", "ghost")
    stack.add_skan_schema("t1", DOCUMENT, TODAY, "test")
    for arguments in (("7",), (str(APP), "--version", "9")):
        result = CliRunner().invoke(app, ["skan", "schema", "show", *arguments, "--tenant", "t1"])
        assert result.exit_code == 1
        assert "skan schema list --tenant t1" in " ".join(result.stderr.split())
