"""`unmogrowp rules restate` up to the launch, and what it shows: the run itself is in tests/integration."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from io import StringIO
from urllib.parse import urlsplit

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli import restate as command
from cli import rules as rules_command
from cli.main import app
from cli.restate import outcome, render
from control_plane.app import create_app
from resources.errors import ServiceUnavailableError
from resources.registry import Registry
from resources.restatements import ChannelInstalls, RestatementSummary
from resources.rules import DAY_MS, DEFAULT_RULES, RuleSet, RuleVersion
from resources.settings import Settings
from tests.support.served_app import served

SINCE = dt.date(2026, 3, 10)
NARROW = RuleSet(click_window_ms=DAY_MS)
Run = Callable[..., str]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the command over a served control plane, with no Dagster: what it says on stderr."""
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.request("t1", "starter", "test")
    registry.add_rules("t1", NARROW, SINCE, "test")
    with served(create_app(settings, registry)) as url:
        here = settings.with_changes(control_plane_port=urlsplit(url).port, dagster_port=1)
        for module in (command, rules_command):
            monkeypatch.setattr(module, "load_settings", lambda: here)

        def run_command(version: int, first: str, last: str, *more: str) -> str:
            options = ("--tenant", "t1", "--version", str(version), "--from", first, "--to", last, *more)
            result = CliRunner(env={"COLUMNS": "220"}).invoke(app, ["rules", "restate", *options])
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            assert result.exit_code == 1, result.output
            return " ".join(result.stderr.split())

        yield run_command
    registry.close()


def test_what_cannot_be_compared_is_told_before_anything_runs(run: Run) -> None:
    assert "is before --from 2026-03-02" in run(1, "2026-03-02", "2026-03-01")
    assert "more than one restatement holds (92)" in run(1, "2026-01-01", "2026-04-03")
    assert "have no version 7" in run(7, "2026-03-01", "2026-03-02")
    assert "have no version 7" in run(1, "2026-03-01", "2026-03-02", "--against", "7")
    assert "are the same rules" in run(0, "2026-03-01", "2026-03-02"), "the defaults are in force there"
    assert "are the same rules" in run(1, "2026-03-10", "2026-03-11")
    assert "(0, 1): name one with --against" in run(1, "2026-03-09", "2026-03-10")


def test_without_dagster_it_says_that_it_does_not_answer(run: Run) -> None:
    with pytest.raises(ServiceUnavailableError, match="Dagster webserver"):
        run(1, "2026-03-09", "2026-03-10", "--against", "0")


def shown(found: RestatementSummary) -> str:
    before = RuleVersion("t1", 0, DEFAULT_RULES.content_hash, DEFAULT_RULES, None, None, None, None)
    after = RuleVersion("t1", 1, NARROW.content_hash, NARROW, SINCE, None, None, None)
    text = StringIO()
    render(Console(file=text, width=200), outcome(before, after, [SINCE], found))
    return text.getvalue()


def test_people_see_channels_before_and_after_and_where_the_reasons_are() -> None:
    credit = (ChannelInstalls("net_[a]", 12, 9), ChannelInstalls("organic", 3, 6))
    text = shown(RestatementSummary({"now organic": 3}, credit))
    for part in ("net_[a]", "-3", "now organic", "version 1 beside version 0", DEFAULT_RULES.content_hash):
        assert part in text
    assert "unmogrowp sql" in text


def test_people_see_that_nothing_would_change_or_nothing_is_there() -> None:
    assert "no install would be credited otherwise" in shown(
        RestatementSummary({}, (ChannelInstalls("net", 2, 2),))
    )
    assert "no install on these dates" in shown(RestatementSummary({}, ()))
