"""`unmogrowp trace …` over a real ClickHouse: what people read, what machines get, what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner

from cli import trace as command
from cli.main import app
from cli.trace import age_text
from control_plane.trace_messages import TraceOut
from resources.embedded.stack import free_port
from resources.errors import TenantNotFoundError, TraceNotFoundError
from resources.registry import Registry
from resources.rules import DEFAULT_RULES
from resources.settings import Settings
from tests.support.trace_world import TENANT, put, served, world

Run = Callable[..., str]


@pytest.fixture(scope="module")
def settings_of_the_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = Settings(
        home=tmp_path_factory.mktemp("home"), clickhouse_port=free_port("127.0.0.1", 0, set())
    )
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.request(TENANT, "starter", "test")
    registry.close()
    with served(settings) as clickhouse:
        put(clickhouse, world())
        yield settings


@pytest.fixture
def run(settings_of_the_world: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command; its stdout, or its stderr where it is to fail."""
    monkeypatch.setattr(command, "load_settings", lambda: settings_of_the_world)

    def run_command(*arguments: str, tenant: str = TENANT, exit_code: int = 0) -> str:
        result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["trace", *arguments, "--tenant", tenant])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result.stdout if exit_code == 0 else result.stderr

    return run_command


def test_people_read_the_winner_the_rules_and_every_candidate(run: Run) -> None:
    text = run("install", "i_won")
    for part in (
        "install i_won of t_traced in app app",
        "net_[b] won: click c_won by device_id (tier 1, deterministic click), 2 h 30 min before",
        f"rules {DEFAULT_RULES.content_hash}, the defaults",
        "within the window of 604800000 ms: number 1 in order",
        " 5 d ",
        "30 min",
        "assist",
    ):
        assert part in text
    assert run("conversion", "i_won") == text


def test_people_read_why_an_install_is_organic(run: Run) -> None:
    refused = run("install", "i_refused")
    assert "organic: no touch has the credit" in refused
    assert "injection" in refused
    assert "1 of 1 were refused as fraud" in refused
    assert "no click or impression is a candidate" in run("install", "i_organic")
    assert "net_[b] keeps the credit, by device_id" in run("install", "i_again")


def test_machines_get_the_control_plane_s_document_and_nothing_else(run: Run) -> None:
    document = json.loads(run("conversion", "s_back", "--json"))
    trace = TraceOut.model_validate(document)
    assert (trace.conversion_type, trace.touch_id, trace.candidates_total) == ("re_engagement", "c_back", 1)
    assert document["candidates"][0]["touchTime"].startswith("2026-03-18T02:00:00")


def test_what_is_no_install_or_not_there_is_one_sentence(run: Run) -> None:
    assert "unmogrowp trace conversion s_back" in " ".join(run("install", "s_back", exit_code=1).split())
    with pytest.raises(TraceNotFoundError, match="may not be computed yet"):
        run("install", "i_theirs")
    with pytest.raises(TraceNotFoundError, match="no click was eligible"):
        run("conversion", "s_alone")
    with pytest.raises(TenantNotFoundError, match="nobody"):
        run("install", "i_won", tenant="nobody")


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (2_000, "2 s"),
        (90_061_000, "1 d 1 h"),
        (86_400_001, "1 d"),
        (-3_599_999, "59 min 59 s after"),
    ],
)
def test_ages_have_their_two_largest_units(age_ms: int, text: str) -> None:
    assert age_text(age_ms) == text
