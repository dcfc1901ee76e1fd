"""Conversions of every kind with their marts, made by the project's SQL and put into a real ClickHouse. No assertions.

Ids say what they are: `i_won` an install with a winner and an assist, `i_refused` one whose only click was injected,
`i_organic` one without a candidate, `i_again` a reinstall, `s_back` a re-engagement, `s_alone` a session that came back
without a click, `i_crowded` one with more candidates than a trace holds.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.mart_lab import MartLab
from benchmarks.mart_rendering import tables
from resources.clickhouse import EMBEDDED_PASSWORD_FILE, ClickHouse
from resources.embedded.clickhouse_process import ClickHouseProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.settings import Settings

TENANT, OTHER = "t_traced", "t_other"
START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
LAST = dt.date(2026, 3, 20)
READ = ("installs", "reengagements", "returning_sessions", "touch_decisions")
CROWD = 507
Event = tuple[str, str, float, str, str]  # type, id, hours since START, device, source
EVENTS: tuple[Event, ...] = (
    ("click", "c_assist", 10, "d1", "net_a"),
    ("impression", "v_assist", 130, "d1", "net_c"),
    ("click", "c_won", 128, "d1", "net_[b]"),
    ("install", "i_won", 130.5, "d1", ""),
    ("install", "i_again", 300, "d1", ""),
    ("click", "c_injected", 50, "d2", "net_a"),
    ("install", "i_refused", 50 + 2 / 3600, "d2", ""),
    ("session", "s_alone", 400, "d2", ""),
    ("install", "i_organic", 60, "d3", ""),
    ("click", "c_back", 410, "d3", "net_a"),
    ("session", "s_back", 410.5, "d3", ""),
    *(("impression", f"v{n:03d}", 70 + n / 1000, "d5", "net_a") for n in range(CROWD)),
    ("install", "i_crowded", 72, "d5", ""),
)


def events_frame(tenant: str, events: tuple[Event, ...], mark: str = "") -> pl.DataFrame:
    """Rows of clean.events in one app; `mark` stands in front of texts that are not ids."""
    rows = [
        {
            "tenant_id": tenant,
            "app_id": f"{mark}app",
            "event_type": kind,
            "event_id": event_id,
            "event_time": START + dt.timedelta(milliseconds=round(at_h * 3_600_000)),
            "device_id": f"{mark}{device}",
            "source": f"{mark}{source}" if source else None,
        }
        for kind, event_id, at_h, device, source in events
    ]
    return pl.DataFrame(rows, schema_overrides={"event_time": pl.Datetime("us", "UTC")})


def marts_of(events: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What the models make of these events of any tenants, under the default rules."""
    with tempfile.TemporaryDirectory(prefix="trace-world-") as directory, MartLab(Path(directory)) as lab:
        lab.put(events)
        for tenant in events["tenant_id"].unique().sort():
            lab.build(tenant, START.date(), LAST, models=READ)
        return {name: lab.mart(name) for name in READ}


@functools.cache
def world() -> dict[str, pl.DataFrame]:
    """The marts of EVENTS, of the tenant alone: the other has only an install with ids of its own."""
    other = (("install", "i_theirs", 60.0, "d1", ""),)
    return marts_of(pl.concat([events_frame(TENANT, EVENTS), events_frame(OTHER, other)]))


def put(clickhouse: ClickHouse, marts: dict[str, pl.DataFrame]) -> None:
    """Make these tables with these rows."""
    for name, frame in marts.items():
        table = tables()[name]
        columns = ", ".join(f"{column} {kind}" for column, kind in table.columns)
        clickhouse.command(
            f"CREATE TABLE {name} ({columns}) ENGINE = {table.engine} "
            f"PARTITION BY ({table.partition_by}) ORDER BY {table.order_by}"
        )
        clickhouse.insert_arrow(name, frame.to_arrow(compat_level=pl.CompatLevel.oldest()))


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[ClickHouse]:
    """The embedded ClickHouse of these settings on their port, as the stack would start it."""
    settings.first_run_secret(EMBEDDED_PASSWORD_FILE)
    password_file = settings.secrets_dir / EMBEDDED_PASSWORD_FILE
    directory = settings.home / "clickhouse"
    with (
        ClickHouseProcess(directory, settings.clickhouse_port, password_file=password_file),
        contextlib.closing(ClickHouse.from_settings(settings)) as clickhouse,
    ):
        yield clickhouse
