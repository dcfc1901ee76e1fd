"""Golden cases: a directory each, CSV in and CSV out. Reading and comparing is here; the cases are in tests/golden.

`events.csv` holds columns of clean.events; `expected_<mart>.csv` every row of the case in that mart, the columns that
decide. `rules.json`, where the defaults do not hold, is a list of versions, each
`{"effective_from", "rules", "blocked_ip_pseudonyms"}`. `tenant_id`, where there are two, holds a letter.

Cases under the same rules share a tenant, since a build costs the same for one case and for forty: each has apps of
its own there, with the same device and click ids as the others. Event ids get the case's name in front.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from benchmarks.mart_lab import as_clean_events
from resources.rules import DEFAULT_RULES, RuleSet
from tests.support.waterfall_reference import Rules

if TYPE_CHECKING:
    from benchmarks.mart_lab import MartLab

CASES = Path(__file__).parents[1] / "golden"
TIME = "%Y-%m-%d %H:%M:%S%.f"
TIMES = ("event_time", "received_at", "referrer_click_time", "install_begin_time")
FIRST_DAY = dt.date(1970, 1, 1)

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Version:
    """A rule set and since when it holds."""

    effective_from: dt.date
    rules: RuleSet
    blocked_ips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One golden case."""

    name: str
    directory: Path
    versions: tuple[Version, ...]

    @property
    def prefix(self) -> str:
        """What its apps and event ids begin with."""
        return f"{self.name}."

    @cached_property
    def events(self) -> pl.DataFrame:
        """Its rows of clean.events; the tenant is a letter, or empty."""
        rows = pl.read_csv(self.directory / "events.csv", infer_schema=False)
        times = [
            pl.col(name).str.to_datetime(TIME, time_unit="us", time_zone="UTC")
            for name in TIMES
            if name in rows.columns
        ]
        tenant = pl.col("tenant_id") if "tenant_id" in rows.columns else pl.lit("")
        names = [
            (pl.lit(self.prefix) + pl.col(name).fill_null("")).alias(name) for name in ("app_id", "event_id")
        ]
        return as_clean_events(rows.with_columns(*times, *names, tenant.alias("tenant_id")))

    @property
    def rules(self) -> Rules:
        """For the reference, which knows one set of blocked addresses."""
        blocked = frozenset(itertools.chain.from_iterable(version.blocked_ips for version in self.versions))
        return Rules(lambda date: version_on(self.versions, date).rules, blocked)

    @property
    def expected(self) -> dict[str, tuple[Cells, list[Cells]]]:
        """Mart → (columns, rows), rows in order."""
        marts = {}
        for file in sorted(self.directory.glob("expected_*.csv")):
            rows = pl.read_csv(file, infer_schema=False).fill_null("")
            marts[file.stem.removeprefix("expected_")] = (tuple(rows.columns), sorted(rows.rows()))
        return marts

    def own(self, rows: Sequence[dict[str, Any]], columns: Cells) -> list[Cells]:
        """The case's rows of a mart as the text that its CSV files hold, in order."""
        mine = [row for row in rows if row["app_id"].startswith(self.prefix)]
        return sorted(tuple(text.replace(self.prefix, "") for text in row) for row in cells(mine, columns))


@dataclass(frozen=True)
class Group:
    """The cases under the same versions of rules, in one tenant."""

    tenant_id: str
    cases: tuple[Case, ...]

    @cached_property
    def events(self) -> pl.DataFrame:
        """Their rows of clean.events."""
        together = pl.concat([case.events for case in self.cases])
        return together.with_columns((pl.lit(self.tenant_id) + pl.col("tenant_id")).alias("tenant_id"))

    def build(self, lab: MartLab) -> None:
        """Make the marts that the cases expect: a build per run of dates under one rule set, as in production."""
        marts = sorted({mart for case in self.cases for mart in case.expected})
        versions = self.cases[0].versions
        for (tenant,), own in self.events.group_by("tenant_id"):
            first, last = min(own["event_date"]), max(own["event_date"])
            days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
            for version, dates in itertools.groupby(days, lambda day: version_on(versions, day)):
                span = list(dates)
                ips = version.blocked_ips
                lab.build(str(tenant), span[0], span[-1], version.rules, marts, blocked_ip_pseudonyms=ips)

    def mart(self, lab: MartLab, name: str) -> list[dict[str, Any]]:
        """A mart's rows of the group, with the cases' letters as tenants."""
        rows = lab.mart(name).filter(pl.col("tenant_id").str.starts_with(self.tenant_id))
        return rows.with_columns(pl.col("tenant_id").str.strip_prefix(self.tenant_id)).to_dicts()


def golden_cases() -> list[Case]:
    """Every case, by name."""
    files = sorted(CASES.glob("*/case.md"))
    return [Case(file.parent.name, file.parent, tuple(_versions(file.parent))) for file in files]


def golden_groups(cases: Sequence[Case]) -> list[Group]:
    """The cases by their rules; tenant ids of which none begins another."""
    by_rules: dict[tuple[Version, ...], list[Case]] = {}
    for case in cases:
        by_rules.setdefault(case.versions, []).append(case)
    return [Group(f"golden_{n:02}_", tuple(group)) for n, group in enumerate(by_rules.values())]


def version_on(versions: Sequence[Version], date: dt.date) -> Version:
    """What holds on a date: the last version that began by then."""
    return [version for version in versions if version.effective_from <= date][-1]


def cells(rows: Sequence[dict[str, Any]], columns: Cells) -> list[Cells]:
    """Rows as the text that a CSV file would hold, in order."""
    return sorted(tuple(cell(row[column]) for column in columns) for row in rows)


def cell(value: object) -> str:
    """A value as text: lists joined by |, times to the millisecond, fractions to nine digits, null empty."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "|".join(map(str, value))
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    return str(value)


def untold(case: Case) -> Iterator[str]:
    """What a reader of the case must find in its case.md, and does not."""
    text = (case.directory / "case.md").read_text()
    for heading in ("# ", "Shows: ", "Source: "):
        if not any(line.startswith(heading) for line in text.splitlines()):
            yield f"{case.name}/case.md has no line that starts with {heading!r}"


def _versions(directory: Path) -> Iterator[Version]:
    """The defaults, then what the case names."""
    yield Version(FIRST_DAY, DEFAULT_RULES)
    file = directory / "rules.json"
    for version in json.loads(file.read_text()) if file.exists() else []:
        yield Version(
            dt.date.fromisoformat(version["effective_from"]),
            RuleSet.model_validate(version["rules"]),
            tuple(version.get("blocked_ip_pseudonyms", ())),
        )
