"""Partition definitions, and every helper that takes partition keys apart. No asset logic here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from resources.errors import MixedTenantsError
from resources.settings import load_settings

TENANT_DIMENSION = "tenant"
DATE_DIMENSION = "date"
TENANT_TAG = "unmogrowp/tenant"  # on every run that a sensor or a command asks for
PARTITION_TENANT_TAG = f"dagster/partition/{TENANT_DIMENSION}"  # Dagster's own, on runs of one partition
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

TENANT = dg.DynamicPartitionsDefinition(name=TENANT_DIMENSION)
# Today and tomorrow are partitions too: events arrive during their day, and a device clock may run ahead of
# midnight by `future_skew_s`.
DAY = dg.DailyPartitionsDefinition(start_date=load_settings().start_date.isoformat(), end_offset=2)
TENANT_DAY = dg.MultiPartitionsDefinition({DATE_DIMENSION: DAY, TENANT_DIMENSION: TENANT})


@dataclass(frozen=True)
class RunSlices:
    """The slices of one run: one tenant, its dates ascending."""

    tenant_id: str
    dates: tuple[dt.date, ...]

    def __str__(self) -> str:
        first, last = self.dates[0], self.dates[-1]
        return f"tenant {self.tenant_id}, {first}" + (f"..{last}" if last != first else "")


def slice_key(tenant_id: str, date: dt.date) -> dg.MultiPartitionKey:
    """The partition key of (tenant, date)."""
    return dg.MultiPartitionKey({DATE_DIMENSION: date.isoformat(), TENANT_DIMENSION: tenant_id})


def split_key(key: str) -> tuple[str, dt.date]:
    """(tenant, date) of a partition key `date|tenant`."""
    date, tenant_id = key.split("|", 1)
    return tenant_id, dt.date.fromisoformat(date)


def slices_of_keys(keys: Iterable[str]) -> RunSlices:
    """The one tenant and the dates of a run's partition keys.

    Raises:
        MixedTenantsError: the keys hold more than one tenant, or none.
    """
    pairs = [split_key(key) for key in keys]
    tenants = sorted({tenant for tenant, _ in pairs})
    if len(tenants) != 1:
        raise MixedTenantsError(
            f"a run holds the tenants {tenants}: launch one run per tenant (`unmogrowp backfill --tenant …`)"
        )
    return RunSlices(tenants[0], tuple(sorted(date for _, date in pairs)))


def run_slices(context: dg.AssetExecutionContext) -> RunSlices:
    """The slices this run was asked for; one tenant per run, asserted here."""
    return slices_of_keys(context.partition_keys)


def contiguous_ranges(dates: Iterable[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """Inclusive ranges that cover exactly these dates."""
    ranges: list[tuple[dt.date, dt.date]] = []
    for day in sorted(set(dates)):
        if ranges and day - ranges[-1][1] == dt.timedelta(days=1):
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def range_tags(tenant_id: str, first: dt.date, last: dt.date) -> dict[str, str]:
    """Run tags that ask for every date of first..last of one tenant in one run."""
    return {
        RANGE_START_TAG: str(slice_key(tenant_id, first)),
        RANGE_END_TAG: str(slice_key(tenant_id, last)),
        TENANT_TAG: tenant_id,
    }


def dates_of_tags(tags: Mapping[str, str]) -> tuple[str, list[dt.date]]:
    """(tenant, dates) that `range_tags` asked for."""
    tenant_id, first = split_key(tags[RANGE_START_TAG])
    _, last = split_key(tags[RANGE_END_TAG])
    return tenant_id, [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def retained_dates(dates: Sequence[dt.date], today: dt.date) -> list[dt.date]:
    """The dates that are partitions: from the start date to tomorrow."""
    start = load_settings().start_date
    return [day for day in dates if start <= day <= today + dt.timedelta(days=1)]
