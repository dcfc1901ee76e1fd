"""Blocking checks of `clean_events`: the ledger balances; the rows meet a Great Expectations suite.

Both count again from the lake: nothing here trusts what the asset reported.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import polars as pl
from dagster import ResourceParam

from assets.clean import clean_events
from assets.partitions import RunSlices, slices_of_keys
from resources.lake import Lake
from resources.ledger import LedgerDay
from resources.ledger_reader import ledger_of_run
from resources.settings import Settings
from schemas import event_schemas


def clean_checks() -> list[dg.AssetChecksDefinition]:
    """The blocking checks of clean_events."""
    return [ledger_balances, clean_suite]


@dg.asset_check(
    asset=clean_events,
    blocking=True,
    description="received = clean + duplicates + quarantined, delivery by delivery, per date and hour",
)
def ledger_balances(
    context: dg.AssetCheckExecutionContext, lake: ResourceParam[Lake], settings: ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Counts the run's slices again from the lake, from the snapshot of raw that clean was made from."""
    slices = check_slices(context)
    return ledger_result(slices, ledger_of_run(lake, slices.tenant_id, slices.dates, settings.late_days))


def ledger_result(slices: RunSlices, days: Sequence[LedgerDay]) -> dg.AssetCheckResult:
    """Fails when an hour of a date does not balance, and says which and by how much."""
    unbalanced = [day for day in days if not day.balances]
    return dg.AssetCheckResult(
        passed=not unbalanced,
        description=f"{slices}: {'; '.join(map(_imbalance, unbalanced))}: look with `unmogrowp ledger "
        f"--tenant {slices.tenant_id} --date {unbalanced[0].date}`, then run the slice again"
        if unbalanced
        else None,
        metadata={
            "ledger": dg.MetadataValue.json([{"date": str(day.date), **day.total.document()} for day in days])
        },
    )


def _imbalance(day: LedgerDay) -> str:
    total = day.total
    return (
        f"{day.date} does not balance: received {total.received}, clean {total.clean}, duplicate {total.duplicate}, "
        f"quarantined {total.quarantined}; {total.missing} missing from clean, {total.unexpected} that should not "
        "be there"
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
    from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: PLC0415 - as above

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
    result: dict[str, Any] = batch.validate(_suite(slices)).to_json_dict()
    return result


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
