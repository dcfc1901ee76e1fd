"""The past under other rules, beside the marts: two versions of a tenant's dates, and what differs between them.

`unmogrowp rules restate` asks for it; no sensor does. Both versions are made each time, from one snapshot of the lake:
a version of last week beside one of today would differ by the events that came since. The marts in force are only read.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster import ResourceParam
from dagster_dbt import DbtCliResource

from assets.marts import blocked_for, contiguous, dbt_vars
from assets.partitions import TENANT_DAY, RunSlices, run_slices
from resources.clickhouse import ClickHouse
from resources.dbt_files import dbt_dir
from resources.errors import PermanentError
from resources.file_lock import exclusive_file_lock
from resources.lake import Lake
from resources.registry import Registry
from resources.restatements import AGAINST_TAG, VERSION_TAG, RestatementSummary, restatement_summary
from resources.rules import RuleVersion
from resources.settings import Settings

VERSIONS = ("decisions_versions", "installs_versions")
DIFF = "attribution_diff"
SPECS = [
    dg.AssetSpec(
        "decisions_versions",
        deps=["clean_events", "install_events"],
        group_name="restatement",
        kinds={"clickhouse", "dbt"},
        description="touch_decisions of installs and reinstalls, as they would be under other rules.",
    ),
    dg.AssetSpec(
        "installs_versions",
        deps=["decisions_versions"],
        group_name="restatement",
        kinds={"clickhouse", "dbt"},
        description="installs, as they would be under other rules.",
    ),
    dg.AssetSpec(
        DIFF,
        deps=list(VERSIONS),
        group_name="restatement",
        kinds={"clickhouse", "dbt"},
        description="Installs whose credit two rule sets give differently, and why.",
    ),
]


@dg.multi_asset(name="restatement", specs=SPECS, partitions_def=TENANT_DAY)
def restatement(
    context: dg.AssetExecutionContext,
    *,
    dbt: DbtCliResource,
    lake: ResourceParam[Lake],
    registry: ResourceParam[Registry],
    clickhouse: ResourceParam[ClickHouse],
    settings: ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    """Both versions of the run's dates, then the difference; replaces the slices of these versions alone."""
    slices = contiguous(run_slices(context))
    before, after = compared(registry, slices.tenant_id, context.run.tags)
    first, last = slices.dates[0], slices.dates[-1]
    with exclusive_file_lock(settings.home / f"marts-{slices.tenant_id}.lock"):  # see ADR 0003
        commands = invocations(slices, before, after, lake=lake, registry=registry, settings=settings)
        for name, arguments in commands.items():
            target = dbt_dir(settings) / "runs" / context.run.run_id / name
            dbt.cli(arguments, target_path=target).wait()
        found = restatement_summary(
            clickhouse,
            slices.tenant_id,
            first,
            last,
            hash_before=before.content_hash,
            hash_after=after.content_hash,
        )
    for spec in SPECS:
        yield dg.MaterializeResult(asset_key=spec.key, metadata=summary_metadata(found))


RESTATE_JOB = dg.define_asset_job(
    "restate_job",
    selection=dg.AssetSelection.assets(*(spec.key for spec in SPECS)),
    executor_def=dg.in_process_executor,
    description="A tenant's past under other rules, beside the marts in force: `unmogrowp rules restate`.",
)


def build_restatement_defs() -> dg.Definitions:
    """The versions, the difference, and the job that makes them."""
    return dg.Definitions(assets=[restatement], jobs=[RESTATE_JOB])


def compared(registry: Registry, tenant_id: str, tags: Mapping[str, str]) -> tuple[RuleVersion, RuleVersion]:
    """The two versions of the tenant's rules that a run's tags name: the one compared with, the one asked about.

    Raises:
        PermanentError: the tags name none, or twice the same rules.
        RuleVersionNotFoundError: the tenant has no such version.
    """
    numbers = [tags.get(AGAINST_TAG, ""), tags.get(VERSION_TAG, "")]
    if not all(number.isdecimal() for number in numbers):
        raise PermanentError(
            f"tenant {tenant_id}: the run does not say which rules to compare (tags {AGAINST_TAG}, {VERSION_TAG}); "
            "ask for it with `unmogrowp rules restate`"
        )
    before, after = (registry.rule_version(tenant_id, int(number)) for number in numbers)
    if before.content_hash == after.content_hash:
        raise PermanentError(
            f"tenant {tenant_id}: versions {before.version} and {after.version} are the same rules, nothing would "
            "differ; name another with --against"
        )
    return before, after


def invocations(
    slices: RunSlices,
    before: RuleVersion,
    after: RuleVersion,
    *,
    lake: Lake,
    registry: Registry,
    settings: Settings,
) -> dict[str, list[str]]:
    """Arguments of each dbt invocation, in order: the first version, then the second with the difference."""
    clean_events = lake.clickhouse_source("clean.events")
    currency = registry.get(slices.tenant_id).currency

    def arguments(version: RuleVersion, against: str, *models: str) -> list[str]:
        variables: dict[str, Any] = dbt_vars(
            slices,
            clean_events=clean_events,
            rules=version.rules,
            currency=currency,
            blocked_ip_pseudonyms=blocked_for(slices.tenant_id, version.rules, settings),
        )
        return [
            "build",
            "--select",
            " ".join(models),
            "--vars",
            json.dumps(variables | {"against_hash": against}),
        ]

    return {
        "before": arguments(before, "", *VERSIONS),
        "after": arguments(after, before.content_hash, *VERSIONS, DIFF),
    }


def summary_metadata(found: RestatementSummary) -> dict[str, Any]:
    """What a person wants to see of it: how many changed, by kind, and each channel's installs."""
    lines = ["| channel | before | after |", "|---|---:|---:|"]
    lines += [f"| {one.source.replace('|', '/')} | {one.before:,} | {one.after:,} |" for one in found.credit]
    return {
        "changed_installs": found.changed,
        "changes": dg.MetadataValue.json(found.changes),
        "credit": dg.MetadataValue.md("\n".join(lines)),
    }
