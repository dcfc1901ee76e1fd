"""`unmogrowp quarantine …` and `unmogrowp ledger`: the whole way of a refused event, as a person and as JSON."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from typer.testing import CliRunner

from cli import ledger, quarantine
from cli.main import app
from resources.errors import TenantNotFoundError, TenantStateError
from resources.registry import Registry, TenantState
from tests.support.door import TENANT, Landing, RunningDoor, click

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.settings import Settings

TODAY = dt.datetime.now(dt.UTC).date()
ESCAPE = "\x1b]0;owned\x07"


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a command over these settings; its stdout."""
    for module in (quarantine, ledger):
        monkeypatch.setattr(module, "load_settings", lambda: settings)

    def run_command(*arguments: str, exit_code: int = 0) -> str:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result.stdout

    return run_command


def refuse_one_of_two(settings: Settings) -> dict[str, Any]:
    """One accepted event, one that only a tighter door refuses, and one that is no JSON; landed."""
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.request(TENANT, "starter", "test")
    for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
        registry.transition(TENANT, state, actor="test")
    registry.close()
    event = click(metadata={"text": "x" * 200 + ESCAPE})
    with RunningDoor(settings.with_changes(event_max_bytes=260)) as door:
        assert door.send_batch(orjson.dumps([click(), event])).status_code == 202
        assert door.send_batch(b"\xff broken").status_code == 400
    with Landing(settings) as landing:
        landing.land_all()
    return event


def test_a_refused_event_is_listed_opened_replayed_and_accounted_for(settings: Settings, run: Any) -> None:
    event = refuse_one_of_two(settings)
    listed = json.loads(run("quarantine", "list", "--tenant", TENANT, "--json"))
    assert listed["total"] == 2
    assert "x" * 200 not in json.dumps(listed)
    [row] = [row for row in listed["rows"] if row["reason_code"] == "event_too_large"]
    assert row["event_id"] == event["eventId"]

    opened = json.loads(
        run("quarantine", "show", row["quarantine_id"], "--tenant", TENANT, "--why", "ticket 7", "--json")
    )
    assert json.loads(opened["body"]) == event
    registry = Registry(settings.registry_url)
    entry = registry.audit(TENANT)[-1]
    assert (entry.action, entry.reason) == ("quarantine.opened", "ticket 7")
    assert entry.after == {"quarantine_id": row["quarantine_id"]}

    dry = json.loads(run("quarantine", "replay", "--tenant", TENANT, "--dry-run", "--json"))
    assert (dry["dry_run"], dry["matched"], dry["replayed"], dry["still_refused"]) == (True, 2, 1, 1)
    assert registry.audit(TENANT)[-1] == entry
    done = json.loads(run("quarantine", "replay", "--tenant", TENANT, "--json"))
    assert (done["replayed"], done["reasons"]) == (1, {"not_json": 1})
    assert registry.audit(TENANT)[-1].action == "quarantine.replayed"
    registry.close()
    with Landing(settings) as landing:
        landing.land_all()
    again = json.loads(run("quarantine", "replay", "--tenant", TENANT, "--json"))
    assert (again["replayed"], again["replayed_before"]) == (0, 1)

    document = json.loads(run("ledger", "--tenant", TENANT, "--date", str(TODAY), "--json"))
    [day] = document["days"]
    assert day["balances"]
    total = day["total"]
    assert (total["received"], total["not_yet_clean"], total["quarantined"], total["replayed"]) == (
        3,
        2,
        1,
        1,
    )


def test_what_a_person_sees(settings: Settings, run: Any) -> None:
    refuse_one_of_two(settings)
    text = run("quarantine", "list")
    assert "2 refused" in text
    assert "event_too_large" in text
    rows = json.loads(run("quarantine", "list", "--json"))["rows"]
    assert all(row["quarantine_id"] in text for row in rows)
    shown = {
        row["reason_code"]: run("quarantine", "show", row["quarantine_id"], "--tenant", TENANT)
        for row in rows
    }
    assert "\x1b" not in shown["event_too_large"]
    assert base64.b64encode(b"\xff broken").decode() in shown["not_json"]
    assert "still refused 1 × not_json" in run("quarantine", "replay", "--tenant", TENANT)
    assert "balances: received = clean" in run("ledger", "--tenant", TENANT)
    by_hour = run("ledger", "--tenant", TENANT, "--date", str(TODAY))
    assert "total" in by_hour
    assert "not yet" in by_hour
    assert "…" not in by_hour


def test_the_empty_state_says_so(settings: Settings, run: Any) -> None:
    assert "nothing in quarantine matches" in run("quarantine", "list")
    assert json.loads(run("quarantine", "list", "--json")) == {
        "total": 0,
        "reasons": [],
        "rows": [],
        "next": None,
    }
    assert "nothing was received of t123" in run("ledger", "--tenant", TENANT)
    with pytest.raises(TenantNotFoundError):
        run("quarantine", "replay", "--tenant", TENANT)
    with pytest.raises(TenantNotFoundError):
        run("quarantine", "show", "0" * 32, "--tenant", TENANT)


def test_an_unknown_id_and_a_suspended_tenant_are_one_clear_sentence(settings: Settings, run: Any) -> None:
    refuse_one_of_two(settings)
    run("quarantine", "show", "0" * 32, "--tenant", TENANT, exit_code=1)
    registry = Registry(settings.registry_url)
    assert all(entry.action != "quarantine.opened" for entry in registry.audit(TENANT))
    registry.transition(TENANT, TenantState.SUSPENDED, actor="test")
    registry.close()
    with pytest.raises(TenantStateError, match="takes no events"):
        run("quarantine", "replay", "--tenant", TENANT)
    assert "2 refused" in run("quarantine", "list", "--tenant", TENANT)


def test_text_for_a_terminal_holds_no_control_characters() -> None:
    assert quarantine.printable("a\n\tż🙂") == "a\n\tż🙂"
    assert quarantine.printable("\x1b[2J\u202e\x00") == "\\x1b[2J\\u202e\\x00"
