"""`unmogrowp status --watch`: looks every few seconds and shows what flows. Rates are `live_rates`'."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli.live_rates import Board
from cli.live_samples import DOWN, TIMEOUT_S, UP, sample
from cli.output import console, table
from resources.embedded.stack import running_stack

if TYPE_CHECKING:
    from resources.settings import Settings

    Tenants = Callable[[Settings], list[dict[str, Any]]]
    Show = Callable[[dict[str, Any]], None]

logger = logging.getLogger(__name__)
FRESHNESS_INTERVAL_S = 10.0  # it reads the lake's metadata: 50 ms with 20 tenants and no file yet
_COLOURS = {UP: "green", DOWN: "bold red"}


def watch_stack(settings: Settings, interval_s: float, *, as_json: bool, tenants: Tenants) -> None:
    """Show documents until Ctrl-C. A stack that is down is shown as down, and found when it comes."""
    try:
        with _shown(as_json) as show:
            for document in documents(settings, interval_s, tenants):
                show(document)
    except KeyboardInterrupt:
        return


def documents(settings: Settings, interval_s: float, tenants: Tenants) -> Iterator[dict[str, Any]]:
    """A document at once, then one every interval. Freshness comes with the second: it takes a second to load."""
    board = Board()
    freshness = _Freshness(tenants)
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        while True:
            began_s = time.monotonic()
            stack = running_stack(settings)
            current = settings.with_changes(**stack.ports) if stack else settings
            at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
            yield board.document(
                sample(current, client), at=at, is_running=stack is not None, tenants=freshness.rows
            )
            freshness.renew(current)
            time.sleep(max(0.0, interval_s - (time.monotonic() - began_s)))


class _Freshness:
    """Each tenant's newest days, as of a few seconds ago."""

    def __init__(self, tenants: Tenants) -> None:
        self.rows: list[dict[str, Any]] = []
        self._tenants = tenants
        self._renewed_at_s = float("-inf")

    def renew(self, settings: Settings) -> None:
        """Look again when it is time. A lake or registry that does not answer leaves what is known."""
        if time.monotonic() - self._renewed_at_s < FRESHNESS_INTERVAL_S or not settings.home.exists():
            return
        try:
            self.rows = self._tenants(settings)
        except Exception as error:  # whatever its stores raise: the rest of the view goes on
            logger.warning("freshness is not known now: %s", error)
        self._renewed_at_s = time.monotonic()


@contextmanager
def _shown(as_json: bool) -> Iterator[Show]:
    if as_json:
        yield _write_line
    elif not console.is_terminal:
        yield lambda document: console.print(view(document))
    else:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda document: live.update(view(document), refresh=True)


def _write_line(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def view(document: dict[str, Any]) -> RenderableType:
    """The document for a person."""
    door, lander = document["door"], document["lander"]
    services = [
        ("door", _state(door), _number(door["events_per_s"]), _log_fill(door), "–", door["error"] or ""),
        (
            "lander",
            _state(lander),
            _number(lander["events_per_s"]),
            _size(lander["backlog_bytes"]),
            _age(lander["lag_s"]),
            lander["error"] or "",
        ),
    ]
    tenants = [
        (
            row["tenant_id"],
            _number(row["events_per_s"]),
            _number(row["quarantined_last_minute"]),
            _share(row["quarantine_share_last_minute"]),
            row["raw_to"] or "–",
            row["clean_to"] or "–",
            row["scores_to"] or "–",
        )
        for row in document["tenants"]
    ]
    columns = ["tenant", "events/s", "refused, last minute", "share", "landed to", "clean to", "scored to"]
    title = f"{document['at'][11:19]} UTC · Ctrl-C ends"
    hint = "" if document["running"] else "no stack runs from this home: `unmogrowp up` starts it"
    return Group(
        table(title, ["service", "state", "events/s", "log / backlog", "lag", ""], services),
        table("Tenants", columns, tenants),
        Text(hint, style="yellow"),
    )


def _state(look: dict[str, Any]) -> str:
    colour = _COLOURS.get(look["state"], "yellow")
    return f"[{colour}]{look['state']}[/]"


def _log_fill(door: dict[str, Any]) -> str:
    if door["log_bytes"] is None or not door["log_budget_bytes"]:
        return "–"
    return f"{_size(door['log_bytes'])} ({door['log_bytes'] / door['log_budget_bytes']:.0%} of budget)"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _age(value_s: float | None) -> str:
    return "–" if value_s is None else f"{value_s:,.1f} s"


def _size(value_bytes: float | None) -> str:
    if value_bytes is None:
        return "–"
    in_mb = value_bytes >= 1e5  # noqa: PLR2004 - a tenth of a megabyte, the least that is shown as one
    return f"{value_bytes / 1e6:,.1f} MB" if in_mb else f"{value_bytes / 1e3:,.1f} kB"
