"""`unmogrowp rules …` against a served control plane: show, list, set, validate, diff, and what goes wrong."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from cli import rules as command
from cli.main import app
from control_plane.app import create_app
from resources.errors import ContractError, PermanentError, ServiceUnavailableError, TenantNotFoundError
from resources.registry import Registry
from resources.rules import DAY_MS, DEFAULT_RULES, HOUR_MS, RuleSet
from resources.settings import Settings
from tests.support.served_app import served

TODAY = dt.datetime.now(dt.UTC).date()
TOMORROW = TODAY + dt.timedelta(days=1)
LAST_WEEK = TODAY - dt.timedelta(days=7)
Run = Callable[..., str]


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.request("t1", "starter", "test")
    yield registry
    registry.close()


@pytest.fixture
def run(settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command over a served control plane; its stdout."""
    with served(create_app(settings, registry)) as url:
        here = settings.with_changes(control_plane_port=urlsplit(url).port)
        monkeypatch.setattr(command, "load_settings", lambda: here)

        def run_command(*arguments: str, exit_code: int = 0) -> str:
            result = CliRunner(env={"COLUMNS": "220"}).invoke(app, ["rules", *arguments])
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            assert result.exit_code == exit_code, result.output
            return result.stdout if exit_code == 0 else result.stderr

        yield run_command


def document(run: Run, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json"))
    return found


def test_a_tenant_without_rules_has_the_defaults_and_is_told_how_to_change_them(run: Run) -> None:
    shown = document(run, "show", "--tenant", "t1")
    assert (shown["version"], shown["effectiveFrom"]) == (0, None)
    assert RuleSet.model_validate(shown["rules"]) == DEFAULT_RULES
    assert document(run, "list", "--tenant", "t1") == {"tenantId": "t1", "inForce": 0, "versions": []}
    assert "unmogrowp rules set --tenant t1" in run("list", "--tenant", "t1")
    text = run("show", "--tenant", "t1")
    for part in ("click_window", "7 d", "1 h to 30 d", "off, or 1 h to 2 d", "registration_event"):
        assert part in text


def test_rules_are_set_with_units_and_hold_from_tomorrow(run: Run, registry: Registry) -> None:
    edits = [
        "click_window=3d",
        "view_window=off",
        "channels[net_a/video].view_window=6h",
        "click_cap_per_day=9",
    ]
    options = [part for edit in edits for part in ("--set", edit)]
    done = document(run, "set", "--tenant", "t1", *options, "--reason", "a test")
    assert (done["version"], done["changed"], done["effectiveFrom"]) == (1, True, TOMORROW.isoformat())
    assert done["restate"] is None, "nothing that has begun is affected"
    [kept] = registry.rule_versions("t1")
    assert (kept.rules.click_window_ms, kept.rules.view_window_ms) == (3 * DAY_MS, 0)
    assert kept.rules.windows_for("net_a", "video").view_window_ms == 6 * HOUR_MS
    assert (kept.rules.click_cap_per_day, kept.reason, kept.created_by) == (9, "a test", "user:admin")
    assert {one["rule"] for one in done["differences"]} >= {
        "click_window",
        "channels[net_a/video].view_window",
    }
    assert document(run, "show", "--tenant", "t1")["version"] == 0, "today"
    assert document(run, "show", "--tenant", "t1", "--on", TOMORROW.isoformat())["version"] == 1
    assert "channels[net_a/video].view_window" in run("show", "--tenant", "t1", "--version", "1")


def test_rules_for_past_dates_say_how_to_compute_those_again(run: Run) -> None:
    options = ["--set", "click_window=3d", "--effective-from", LAST_WEEK.isoformat()]
    text = run("set", "--tenant", "t1", *options)
    assert f"unmogrowp backfill --tenant t1 --select marts --from {LAST_WEEK} --to {TODAY}" in text
    assert "nothing to do" in run("set", "--tenant", "t1", *options)


def test_an_edit_starts_from_the_rules_of_its_date_and_a_file_from_the_defaults(
    run: Run, registry: Registry, tmp_path: Path
) -> None:
    registry.add_rules("t1", RuleSet(click_cap_per_day=7), TOMORROW, "test")
    run("set", "--tenant", "t1", "--set", "click_window=3d")
    assert registry.rule_version("t1", 2).rules == RuleSet(click_cap_per_day=7, click_window_ms=3 * DAY_MS)
    file = tmp_path / "rules.json"
    file.write_text('{"viewWindowMs": 0}')
    run("set", str(file), "--tenant", "t1", "--set", "min_ctit=2s")
    assert registry.rule_version("t1", 3).rules == RuleSet(view_window_ms=0, min_ctit_ms=2000)
    shown = document(run, "diff", "2", "3", "--tenant", "t1")
    assert {one["rule"] for one in shown["differences"]} == {
        "click_window",
        "click_cap_per_day",
        "view_window",
        "min_ctit",
    }
    assert "are the same rules" in run("diff", "2", "2", "--tenant", "t1")


def test_a_dry_run_shows_what_would_change_and_changes_nothing(run: Run, registry: Registry) -> None:
    registry.add_rules("t1", RuleSet(click_cap_per_day=7), TOMORROW + dt.timedelta(days=30), "test")
    options = ("set", "--tenant", "t1", "--set", "click_window=3d", "--validate")
    done = document(run, *options)
    assert (done["changed"], done["overruled"]) == (False, [1])
    assert done["differences"] == [{"rule": "click_window", "before": "7 d", "after": "3 d"}]
    assert "version 1, which begins later, would apply no more" in run(*options)
    assert len(registry.rule_versions("t1")) == 1


def test_a_file_is_checked_without_a_stack(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"click_window_ms": 86400000}')
    result = CliRunner().invoke(app, ["rules", "validate", str(file), "--json"])
    assert json.loads(result.stdout)["contentHash"] == RuleSet(click_window_ms=DAY_MS).content_hash
    assert "these rules are valid" in CliRunner().invoke(app, ["rules", "validate", str(file)]).stdout
    file.write_text('{"clickWindowMs": 5, "channels": [{"source": "a", "viewWindowMs": 7}]}')
    refused = CliRunner().invoke(app, ["rules", "validate", str(file)])
    assert isinstance(refused.exception, ContractError)
    assert "/clickWindowMs must be 1 h to 30 d" in str(refused.exception)
    assert "/channels/0/viewWindowMs must be off, or 1 h to 2 d" in str(refused.exception)
    for content, told in ((b"{", "is not JSON"), (b"\xff", "is not JSON"), (None, "cannot be read")):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        failed = CliRunner().invoke(app, ["rules", "validate", str(file)])
        assert (failed.exit_code, told in " ".join(failed.stderr.split())) == (1, True), failed.stderr


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ("click_window=40d", "must be 1 h to 30 d"),
        ("click_window=off", "must be 1 h to 30 d"),
        ("click_window=3", "whole number with its unit"),
        ("click_window=-3d", "whole number with its unit"),
        ("click_window", "name=value"),
        ("clickwindow=3d", "there is no rule 'clickwindow'"),
        ("channels=3d", "there is no rule 'channels'"),
        ("channels[a].window=3d", "has no 'window'"),
        ("channels[a]=3d", "a channel has click_window"),
        ("channels[a]=", "there is none"),
        ("click_cap_per_day=many", "whole number"),
        ("blocked_networks=10.0.0.0/8", "/16 to /24"),
    ],
)
def test_an_edit_that_is_not_allowed_says_what_is(run: Run, registry: Registry, edit: str, told: str) -> None:
    with pytest.raises(ContractError) as refused:
        run("set", "--tenant", "t1", "--set", edit)
    assert told in str(refused.value)
    assert registry.rule_versions("t1") == ()


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        (["click_window_ms=3600000"], RuleSet(click_window_ms=HOUR_MS)),
        (["probabilistic_click_window=0"], RuleSet(probabilistic_click_window_ms=0)),
        (["conversion_events=b, a"], RuleSet(conversion_events=("a", "b"))),
        (["conversion_events=b", "conversion_events="], RuleSet()),
        (["blocked_networks=198.51.100.0/24"], RuleSet(blocked_networks=("198.51.100.0/24",))),
        (["reinstall_without_touch=organic"], RuleSet(reinstall_without_touch="organic")),
        (["registration_event=signup"], RuleSet(registration_event="signup")),
        (["channels[a].view_window=off", "channels[a]="], RuleSet()),
        (
            ["channels[a].view_window=off", "channels[a].view_window=inherit"],
            RuleSet.model_validate({"channels": [{"source": "a"}]}),
        ),
    ],
)
def test_edits_of_every_kind_are_understood(edits: list[str], expected: RuleSet) -> None:
    options = [part for edit in edits for part in ("--set", edit)]
    result = CliRunner().invoke(app, ["rules", "validate", *options, "--json"])
    assert RuleSet.model_validate(json.loads(result.stdout)["rules"]) == expected


def test_failures_are_one_sentence(run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TenantNotFoundError, match="ghost"):
        run("show", "--tenant", "ghost")
    assert "no version 7" in run("show", "--tenant", "t1", "--version", "7", exit_code=1)
    assert "not both" in run("show", "--tenant", "t1", "--version", "0", "--on", "2026-01-01", exit_code=1)
    assert "say what to set" in run("set", "--tenant", "t1", exit_code=1)
    monkeypatch.setattr(command.ControlPlaneClient, "call", raced(registry))
    with pytest.raises(PermanentError, match="version 1, not 0"):
        run("set", "--tenant", "t1", "--set", "click_window=3d")


def raced(registry: Registry) -> Callable[..., Any]:
    """The client's call, with somebody else's version right before ours is written."""
    call = command.ControlPlaneClient.call

    def racing(self: Any, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        if method == "POST":
            registry.add_rules("t1", RuleSet(view_window_ms=0), TOMORROW, "somebody else")
        return call(self, method, path, body)

    return racing


def test_without_a_control_plane_it_says_how_to_start_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "load_settings", lambda: settings.with_changes(control_plane_port=1))
    result = CliRunner().invoke(app, ["rules", "list", "--tenant", "t1"])
    assert isinstance(result.exception, ServiceUnavailableError)
    assert "unmogrowp up" in str(result.exception)
