"""Metadata of the dbt marts for people: what `installs`, `fraud_daily` and `attribution_credits` say of a run's days.

dbt streams its results; each one's page is read from ClickHouse as it passes. The Markdown is made in `assets.pages`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from assets.pages import credit_markdown, fraud_markdown, installs_markdown
from assets.partitions import RunSlices
from resources.attribution_summaries import fraud_findings, installs_by_match
from resources.clickhouse import ClickHouse, ClickHouseRefusedError, ClickHouseUnavailableError
from resources.credit_marts import PERIOD, touch_sums

Metadata = dict[str, dg.MetadataValue]


def with_pages(events: Iterable[Any], clickhouse: ClickHouse, slices: RunSlices) -> Iterator[Any]:
    """The events of a dbt run; results of marts that have a page carry it as metadata.

    A page that ClickHouse does not answer says so instead: the mart itself is written, and stays so.
    """
    for event in events:
        page = PAGES.get(event.output_name) if isinstance(event, dg.Output) else None
        if page is None:
            yield event
            continue
        try:
            metadata = page(clickhouse, slices)
        except (ClickHouseRefusedError, ClickHouseUnavailableError) as error:
            metadata = {"page": dg.MetadataValue.text(f"could not be read: {error}")}
        yield event.with_metadata({**(event.metadata or {}), **metadata})


def installs_page(clickhouse: ClickHouse, slices: RunSlices) -> Metadata:
    """How many installs, CTIT histograms per match, and a table of tiers."""
    installs = installs_by_match(clickhouse, *_period(slices))
    histogram, tiers = installs_markdown(installs)
    return {
        "installs": dg.MetadataValue.int(int(installs["installs"].sum())),
        "click_to_install_time": dg.MetadataValue.md(histogram),
        "tiers": dg.MetadataValue.md(tiers),
    }


def fraud_page(clickhouse: ClickHouse, slices: RunSlices) -> Metadata:
    """What was rejected and flagged, by publisher, with reasons."""
    findings = fraud_findings(clickhouse, *_period(slices))
    return {
        "findings": dg.MetadataValue.int(findings.height),
        "publishers": dg.MetadataValue.md(fraud_markdown(findings)),
    }


def credits_page(clickhouse: ClickHouse, slices: RunSlices) -> Metadata:
    """Credit by channel under the models that weigh touches, per type of conversion."""
    sums = touch_sums(clickhouse, *_period(slices), PERIOD)
    pages = {
        f"{kind}_credit": dg.MetadataValue.md(credit_markdown(rows, f"{kind}s by channel"))
        for kind in sorted(sums["conversion_type"].unique())
        if not (rows := sums.filter(conversion_type=kind)).is_empty()
    }
    return {**pages} if pages else {"credit": dg.MetadataValue.md("no conversions on these days")}


PAGES: Mapping[str, Callable[[ClickHouse, RunSlices], Metadata]] = {
    "installs": installs_page,
    "fraud_daily": fraud_page,
    "attribution_credits": credits_page,
}


def _period(slices: RunSlices) -> tuple[str, Any, Any]:
    return slices.tenant_id, slices.dates[0], slices.dates[-1]
