"""The growth alert: a tenant of which the door refuses more than it should. A warning; it blocks nothing.

The check `quarantine_growth` of `raw_events` looks at this and the last hour of receipt. The sensor evaluates it
whenever refused deliveries have landed, and not with a slice's run: when all that a tenant sends is refused, no
slice runs at all. It tells a change of what alarms, not every tick. Failure modes: the lake cannot be read → the
tick fails and the cursor stays; the change feed is broken → it looks all the same, because it reads the rows and
not the feed; the landing is behind → the alarm comes late, which `deploy/rules/quarantine.yml` covers, counted at
the door itself.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
import polars as pl
from dagster import ResourceParam

from resources.lake import Lake
from resources.lake_filters import all_of, at_least, is_in
from resources.settings import Settings

CHECK = "quarantine_growth"
RAW_EVENTS = dg.AssetKey("raw_events")
TOP_REASONS = 3
SENSOR_INTERVAL_S = 60  # a tick without news costs one look at the catalog


@dataclass(frozen=True)
class Alarm:
    """One hour of receipt of one tenant; `reasons` are the most frequent, with their counts."""

    tenant_id: str
    hour: dt.datetime
    received: int
    quarantined: int
    reasons: tuple[tuple[str, int], ...]

    @property
    def key(self) -> str:
        """What tells one alarm from another."""
        return f"{self.tenant_id}/{self.hour.isoformat()}"

    def __str__(self) -> str:
        reasons = ", ".join(f"{code} {count}" for code, count in self.reasons)
        share = self.quarantined / self.received
        return (
            f"tenant {self.tenant_id}, {self.hour:%Y-%m-%d %H}:00 UTC: {self.quarantined} of {self.received} "
            f"deliveries refused ({share:.1%}; {reasons}): look with `unmogrowp quarantine list --tenant "
            f"{self.tenant_id} --from {self.hour.date()}`"
        )


def growth_alarms(
    accepted: pl.DataFrame, refused: pl.DataFrame, share_max: float, refused_min: int
) -> list[Alarm]:
    """Hours in which enough of a tenant's deliveries, and more than this share of them, were refused.

    Args:
        accepted: tenant_id, received_at.
        refused: tenant_id, received_at, reason_code.
        share_max: of refused in all.
        refused_min: fewer refused ones are not told.
    """
    key = ["tenant_id", "hour"]
    hour = pl.col("received_at").dt.truncate("1h").alias("hour")
    reasons = (
        refused.group_by("tenant_id", hour, "reason_code").len().sort("len", "reason_code", descending=True)
    )
    per_hour = reasons.group_by(key, maintain_order=True).agg(
        pl.col("len").sum().alias("quarantined"),
        pl.col("reason_code").head(TOP_REASONS).alias("codes"),
        pl.col("len").head(TOP_REASONS).alias("counts"),
    )
    taken = accepted.group_by("tenant_id", hour).len("accepted")
    rates = per_hour.join(taken, on=key, how="left").with_columns(
        received=pl.col("quarantined") + pl.col("accepted").fill_null(0)
    )
    alarming = rates.filter(
        (pl.col("quarantined") >= refused_min) & (pl.col("quarantined") / pl.col("received") > share_max)
    ).sort(key)
    return [
        Alarm(
            row["tenant_id"],
            row["hour"],
            row["received"],
            row["quarantined"],
            tuple(zip(row["codes"], row["counts"], strict=True)),
        )
        for row in alarming.iter_rows(named=True)
    ]


def current_alarms(lake: Lake, settings: Settings, now: dt.datetime) -> list[Alarm]:
    """Alarms of this and the last hour. Accepted deliveries are read only of tenants with enough refused ones."""
    since = now.replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=1)
    recent = at_least("received_at", since)
    refused = lake.read("raw.quarantine", recent, ["tenant_id", "received_at", "reason_code"])
    counts = refused.group_by("tenant_id").len().filter(pl.col("len") >= settings.quarantine_alert_min)
    tenants = counts["tenant_id"].to_list()
    if not tenants:
        return []
    theirs = all_of(recent, is_in("tenant_id", tenants))
    accepted = lake.read("raw.events", theirs, ["tenant_id", "received_at"])
    refused = refused.filter(pl.col("tenant_id").is_in(tenants))
    return growth_alarms(accepted, refused, settings.quarantine_alert_share, settings.quarantine_alert_min)


def growth_evaluation(alarms: Sequence[Alarm]) -> dg.AssetCheckEvaluation:
    """The check's outcome: a warning that names every alarm."""
    return dg.AssetCheckEvaluation(
        asset_key=RAW_EVENTS,
        check_name=CHECK,
        passed=not alarms,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(map(str, alarms)) or None,
        metadata={
            f"refused {alarm.tenant_id} {alarm.hour:%H}:00": dg.MetadataValue.int(alarm.quarantined)
            for alarm in alarms
        },
    )


@dg.asset_check(
    asset=RAW_EVENTS,
    name=CHECK,
    description="of no tenant more is refused in an hour than QUARANTINE_ALERT_SHARE allows",
)
def quarantine_growth(lake: ResourceParam[Lake], settings: ResourceParam[Settings]) -> dg.AssetCheckResult:
    """The same by hand."""
    outcome = growth_evaluation(current_alarms(lake, settings, dt.datetime.now(dt.UTC)))
    return dg.AssetCheckResult(
        passed=outcome.passed,
        severity=outcome.severity,
        description=outcome.description,
        metadata=outcome.metadata,
    )


def quarantine_growth_sensor(settings: Settings) -> dg.SensorDefinition:
    """Refused deliveries that landed → an evaluation of the check, whenever what alarms has changed."""

    @dg.sensor(
        name="quarantine_growth",
        minimum_interval_seconds=SENSOR_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def growth(context: dg.SensorEvaluationContext, lake: ResourceParam[Lake]) -> dg.SensorResult:
        told = json.loads(context.cursor) if context.cursor else {"snapshot_id": None, "alarms": []}
        changes, _ = lake.changes_since("raw.quarantine", told["snapshot_id"])
        if not changes and not told["alarms"]:
            return dg.SensorResult(
                skip_reason="nothing was refused since the last look", cursor=context.cursor
            )
        alarms = current_alarms(lake, settings, dt.datetime.now(dt.UTC))
        keys = [alarm.key for alarm in alarms]
        for alarm in alarms:
            if alarm.key not in told["alarms"]:
                context.log.warning(str(alarm))
        snapshot_id = changes[-1].snapshot_id if changes else told["snapshot_id"]
        return dg.SensorResult(
            asset_events=[growth_evaluation(alarms)] if keys != told["alarms"] else [],
            cursor=json.dumps({"snapshot_id": snapshot_id, "alarms": keys}),
        )

    return growth


def build_growth_defs(settings: Settings) -> dg.Definitions:
    """The check and its sensor."""
    return dg.Definitions(asset_checks=[quarantine_growth], sensors=[quarantine_growth_sensor(settings)])
