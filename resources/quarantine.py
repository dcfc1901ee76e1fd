"""Reads `raw.quarantine` and `raw.replays`: what was refused, why, and what a replay has taken. Never a body.

Opening bodies and sending them again are `ingest_api`'s; how the two tables add up is `ledger`'s.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from resources.errors import ContractError
from resources.lake_filters import all_of, at_least, below, day_shifted, equals, received_between

if TYPE_CHECKING:
    from resources.lake import Lake

# what may be seen of a refused delivery without opening it
COLUMNS = (
    "quarantine_id",
    "tenant_id",
    "received_at",
    "received_date",
    "event_id",
    "event_date",
    "reason_code",
    "pointer",
    "reason",
)
AFTER_PATTERN = r"^(\d{1,17})/(\w{1,64})$"
_ID = "quarantine_id"
_NEWEST = ["received_at", _ID]


@dataclass(frozen=True)
class QuarantineFilter:
    """Which rows: of one tenant or of all, received on days `first`..`last` (inclusive, UTC), of one reason."""

    tenant_id: str | None = None
    first: dt.date | None = None
    last: dt.date | None = None
    reason_code: str | None = None

    def __post_init__(self) -> None:
        """Refuse a range that holds no day.

        Raises:
            ContractError: it ends before it begins.
        """
        if self.first is not None and self.last is not None and self.last < self.first:
            raise ContractError(f"the range {self.first}..{self.last} holds no day: swap its ends")

    def row_filter(self, received_column: str = "received_at") -> str:
        """As `resources.lake.Lake.read` takes it."""
        conditions = []
        if self.tenant_id is not None:
            conditions.append(equals("tenant_id", self.tenant_id))
        if self.first is not None:
            conditions.append(at_least(received_column, f"{self.first}T00:00:00+00:00"))
        if self.last is not None:
            conditions.append(below(received_column, f"{day_shifted(self.last, 1)}T00:00:00+00:00"))
        if self.reason_code is not None:
            conditions.append(equals("reason_code", self.reason_code))
        return all_of(*conditions) if conditions else "true"


@dataclass(frozen=True)
class ReasonCount:
    """How many refusals of one tenant have this reason, and how many of them a replay has taken."""

    tenant_id: str
    reason_code: str
    rows: int
    replayed: int


@dataclass(frozen=True)
class QuarantineList:
    """What matches a filter: counts of all, and a page of rows; `replayed_at` is null where none was taken.

    `next` is the `after` of the following page, or None behind the last one.
    """

    total: int
    reasons: Sequence[ReasonCount]
    rows: Sequence[dict[str, Any]]
    next: str | None = None


def list_quarantine(lake: Lake, wanted: QuarantineFilter, limit: int, after: str = "") -> QuarantineList:
    """Counts by tenant and reason, most first, and up to `limit` rows behind `after`, newest first.

    Only what is counted is read of all: after a night of refusals that is a third of the bytes.
    """
    found = lake.read("raw.quarantine", wanted.row_filter(), ("tenant_id", _ID, "reason_code", "received_at"))
    if found.is_empty():
        return QuarantineList(0, (), ())
    rows = found.join(_taken_at(lake, wanted), on=["tenant_id", _ID], how="left")
    counted = (
        rows.group_by("tenant_id", "reason_code")
        .agg(pl.len().alias("rows"), pl.col("replayed_at").count().alias("replayed"))
        .sort(["rows", "tenant_id", "reason_code"], descending=[True, False, False])
    )
    reasons = [ReasonCount(**row) for row in counted.iter_rows(named=True)]
    behind = _behind(rows.sort(_NEWEST, descending=[True, False]), after)
    page = behind.head(limit)
    following = _cursor(page) if 0 < limit < behind.height else None
    return QuarantineList(rows.height, reasons, _whole(lake, wanted, page), following)


def _cursor(page: pl.DataFrame) -> str:
    """Where a page ends: `<µs since 1970>/<quarantine id>` of its last row."""
    received_us, quarantine_id = page.tail(1).select(pl.col("received_at").dt.epoch("us"), _ID).row(0)
    return f"{received_us}/{quarantine_id}"


def _behind(newest_first: pl.DataFrame, after: str) -> pl.DataFrame:
    """The rows behind where a page ended, also when rows have come or gone since.

    Raises:
        ContractError: that is no end of a page.
    """
    if not after:
        return newest_first
    found = re.fullmatch(AFTER_PATTERN, after)
    if found is None:
        raise ContractError("`after` is not the `next` of a page before; leave it out for the first page")
    received_us = pl.col("received_at").dt.epoch("us")
    at_us, last_id = int(found[1]), found[2]
    return newest_first.filter((received_us < at_us) | ((received_us == at_us) & (pl.col(_ID) > last_id)))


def _whole(lake: Lake, wanted: QuarantineFilter, newest: pl.DataFrame) -> list[dict[str, Any]]:
    """These rows with all that may be seen of them."""
    oldest = newest["received_at"].min()
    if not isinstance(oldest, dt.datetime):
        return []
    seen = lake.read("raw.quarantine", replace(wanted, first=oldest.date()).row_filter(), COLUMNS)
    whole = seen.join(newest.select("tenant_id", _ID, "replayed_at"), on=["tenant_id", _ID], how="inner")
    return list(whole.sort(_NEWEST, descending=[True, False]).iter_rows(named=True))


def _taken_at(lake: Lake, wanted: QuarantineFilter) -> pl.DataFrame:
    """(tenant_id, quarantine_id, replayed_at) of what replays took in the filter's days."""
    same_days = replace(wanted, reason_code=None).row_filter("quarantined_at")
    claims = lake.read("raw.replays", same_days, ["tenant_id", _ID, "claimed_at"])
    return claims.group_by("tenant_id", _ID).agg(pl.col("claimed_at").max().alias("replayed_at"))


def received_range(lake: Lake, wanted: QuarantineFilter) -> tuple[dt.datetime, dt.datetime] | None:
    """When the first and the last matching row were received; None when nothing matches."""
    received = lake.read("raw.quarantine", wanted.row_filter(), ["received_at"])["received_at"]
    first, last = received.min(), received.max()
    return (first, last) if isinstance(first, dt.datetime) and isinstance(last, dt.datetime) else None


def sealed_rows(lake: Lake, wanted: QuarantineFilter) -> Iterator[dict[str, Any]]:
    """Matching rows with their sealed bodies, a file's worth in memory at a time."""
    columns = (*COLUMNS, "body_sealed")
    scan = lake.table("raw.quarantine").scan(row_filter=wanted.row_filter(), selected_fields=columns)
    for batch in scan.to_arrow_batch_reader():
        yield from batch.to_pylist()


def sealed_row(lake: Lake, tenant_id: str, quarantine_id: str) -> dict[str, Any] | None:
    """One row of the tenant with its sealed body; None when the tenant has no such row."""
    mine = all_of(equals("tenant_id", tenant_id), equals(_ID, quarantine_id))
    days = lake.read("raw.quarantine", mine, ["received_date"])["received_date"]
    if days.is_empty():
        return None  # found without its body first: bodies of one day are read instead of all
    day = days[0]
    exact = all_of(received_between(tenant_id, day, day + dt.timedelta(days=1)), equals(_ID, quarantine_id))
    rows = lake.read("raw.quarantine", exact, (*COLUMNS, "body_sealed"))
    return rows.row(0, named=True)
