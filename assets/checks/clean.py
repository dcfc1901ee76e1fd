"""Blocking checks of `clean_events`: the ledger balances; the rows meet a Great Expectations suite.

Both count again from the lake: nothing here trusts what the asset reported.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
import polars as pl
from dagster import ResourceParam

from assets.clean import clean_events, read_raw
from assets.partitions import RunSlices, slices_of_keys
from resources.lake import RAW_SNAPSHOT_KEY, Lake
from resources.settings import Settings
from schemas import event_schemas


@dataclass(frozen=True)
class LedgerLine:
    """One date of one tenant: accepted deliveries, clean rows, repeats, ids that clean should hold and does not."""

    date: str
    raw: int
    clean: int
    duplicates: int
    missing: int
    twice: int

    @property
    def balances(self) -> bool:
        """Received = clean + duplicates, with the very same ids."""
        return self.raw == self.clean + self.duplicates and self.missing == 0 and self.twice == 0


def clean_checks() -> list[dg.AssetChecksDefinition]:
    """The blocking checks of clean_events."""
    return [ledger_balances, clean_suite]


@dg.asset_check(
    asset=clean_events, blocking=True, description="received = clean + duplicates, id by id, per date"
)
def ledger_balances(
    context: dg.AssetCheckExecutionContext, lake: ResourceParam[Lake], settings: ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Compares raw and clean deliveries of the run's slices."""
    slices = check_slices(context)
    snapshot_id = cleaned_raw_snapshot(lake, slices)
    raw, ids = read_raw(lake, slices.tenant_id, slices.dates, settings.late_days, snapshot_id)
    clean = lake.read_slices("clean.events", slices.tenant_id, slices.dates, ["event_id", "event_date"])
    lines = ledger(raw, ids, clean, slices.dates)
    unbalanced = [line for line in lines if not line.balances]
    return dg.AssetCheckResult(
        passed=not unbalanced,
        description=f"{slices}: {len(unbalanced)} of {len(lines)} dates do not balance"
        if unbalanced
        else None,
        metadata={"ledger": dg.MetadataValue.json([asdict(line) for line in lines])},
    )


@dg.asset_check(
    asset=clean_events, blocking=True, description="Great Expectations suite over the clean slice"
)
def clean_suite(context: dg.AssetCheckExecutionContext, lake: ResourceParam[Lake]) -> dg.AssetCheckResult:
    """Runs the suite over the run's slices; an empty slice has nothing to break."""
    slices = check_slices(context)
    events = lake.read_slices("clean.events", slices.tenant_id, slices.dates)
    failures = suite_failures(events, slices)
    return dg.AssetCheckResult(
        passed=not failures,
        description=f"{slices}: {'; '.join(failures)}" if failures else None,
        metadata={"rows": events.height, "failures": dg.MetadataValue.json(failures)},
    )


def check_slices(context: dg.AssetCheckExecutionContext) -> RunSlices:
    """The slices of the run that this check belongs to."""
    return slices_of_keys(context.op_execution_context.partition_keys)


def cleaned_raw_snapshot(lake: Lake, slices: RunSlices) -> int | None:
    """The snapshot of raw.events that the newest commit of these slices was made from.

    What landed since then is the next run's; counting it here would fail the slice for having been on time.
    None (the newest) when the commit says none.
    """
    changes, _ = lake.changes_since("clean.events", None)
    for change in reversed(changes):
        if set(slices.dates) <= set(change.slices.get(slices.tenant_id, ())):
            return int(change.summary.get(RAW_SNAPSHOT_KEY) or 0) or None
    return None


def ledger(
    raw: pl.DataFrame, ids: pl.DataFrame, clean: pl.DataFrame, dates: Sequence[dt.date]
) -> list[LedgerLine]:
    """One line per date, counted by set operations on ids rather than by the asset's own join."""
    first_date = dict(ids.sort("land_seq", descending=True).select("event_id", "event_date").iter_rows())
    lines = []
    for date in dates:
        delivered = raw.filter(pl.col("event_date") == date)["event_id"].to_list()
        kept = clean.filter(pl.col("event_date") == date)["event_id"].to_list()
        due = {event_id for event_id in delivered if first_date[event_id] == date}
        lines.append(
            LedgerLine(
                date=str(date),
                raw=len(delivered),
                clean=len(kept),
                duplicates=len(delivered) - len(due),
                missing=len(due.symmetric_difference(kept)),
                twice=len(kept) - len(set(kept)),
            )
        )
    return lines


def suite_failures(events: pl.DataFrame, slices: RunSlices) -> list[str]:
    """The expectations that the rows do not meet, as sentences; Great Expectations does the judging."""
    if events.is_empty():
        return []
    result = _validate(events, slices)
    return [_failure(outcome) for outcome in result["results"] if not outcome["success"]]


def _failure(outcome: dict[str, Any]) -> str:
    expectation = outcome["expectation_config"]
    column = expectation["kwargs"].get("column", "the table")
    return f"{expectation['type']} on {column}: {outcome['result'].get('unexpected_count', '?')} rows"


def _validate(events: pl.DataFrame, slices: RunSlices) -> dict[str, Any]:
    import great_expectations as gx  # noqa: PLC0415 - 6.4 CPU s of import
    from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: PLC0415

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    columns = ["tenant_id", "event_id", "event_date", "event_type", "revenue_micros", "currency", "device_id"]
    frame = events.select(columns).with_columns(pl.col("event_date").cast(pl.String)).to_pandas()
    batch = (
        context.data_sources.add_pandas("clean")
        .add_dataframe_asset("events")
        .add_batch_definition_whole_dataframe("slice")
        .get_batch(batch_parameters={"dataframe": frame})
    )
    return batch.validate(_suite(slices)).to_json_dict()  # type: ignore[no-any-return]


def _suite(slices: RunSlices) -> Any:
    import great_expectations as gx  # noqa: PLC0415 - 6.4 CPU s of import

    expect: Any = gx.expectations  # its names are not re-exported for type checkers
    is_purchase = 'event_type=="purchase"'
    return gx.ExpectationSuite(
        name="clean_events",
        expectations=[
            expect.ExpectColumnValuesToBeUnique(column="event_id"),
            expect.ExpectColumnValuesToMatchRegex(column="event_id", regex=r"^[0-9a-f-]{36}$"),
            expect.ExpectColumnValuesToBeInSet(column="tenant_id", value_set=[slices.tenant_id]),
            expect.ExpectColumnValuesToBeInSet(
                column="event_date", value_set=[str(day) for day in slices.dates]
            ),
            expect.ExpectColumnValuesToBeInSet(column="event_type", value_set=sorted(event_schemas())),
            expect.ExpectColumnValuesToNotBeNull(
                column="revenue_micros", row_condition=is_purchase, condition_parser="pandas"
            ),
            expect.ExpectColumnValuesToNotBeNull(
                column="currency", row_condition=is_purchase, condition_parser="pandas"
            ),
        ],
    )
