"""What each exported dataset looks like: columns in order, exact types, row order. Pure data.

The tenant plane keeps its own copy of the marts' columns (it may not import assets); a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

SCHEMA_VERSION = "v1"
SCORES = "ltv_scores"
_TYPES = {
    "string": pa.string(),
    "date": pa.date32(),
    "time_ms": pa.timestamp("ms", tz="UTC"),
    "long": pa.int64(),
    "byte": pa.uint8(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "strings": pa.list_(pa.string()),
}


# a shared network brings thousands of candidates for one install, of which people read the first few; the plane
# shows that there may be more when it holds as many as these
CANDIDATES_SENT = 50


@dataclass(frozen=True)
class MostWanted:
    """At most `rows` rows per group, the first in this order."""

    per: tuple[str, ...]
    order: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class Dataset:
    """One exported dataset. A column reads `name type`, with `?` after the type where it may be null."""

    name: str
    columns: tuple[str, ...]
    order: tuple[str, ...]  # a key: rows in this order are in one order
    most_wanted: MostWanted | None = None  # None: every row

    @cached_property
    def schema(self) -> pa.Schema:
        """The exact Arrow schema of its files."""
        pairs = (column.split(" ") for column in self.columns)
        return pa.schema([pa.field(name, _TYPES[kind.rstrip("?")], "?" in kind) for name, kind in pairs])

    @property
    def date_column(self) -> str:
        """The column that holds the slice's date."""
        return "as_of" if self.name == SCORES else "event_date"


_SLICE = ("tenant_id string", "event_date date")

MARTS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "installs",
            (
                *_SLICE,
                "install_id string",
                "app_id string",
                "device_id string",
                "install_time time_ms",
                "platform string",
                "country string",
                "match_type string",
                "tier byte",
                "touch_id string",
                "touch_type string",
                "touch_time time_ms?",
                "ctit_ms long?",
                "source string",
                "medium string",
                "campaign string",
                "adgroup string",
                "creative string",
                "assists strings",
                "ruleset_hash string",
            ),
            order=("app_id", "install_id"),
        ),
        Dataset(
            "campaign_daily",
            (
                *_SLICE,
                "app_id string",
                "source string",
                "campaign string",
                "model string",
                "spend_micros long",
                "impressions long",
                "clicks long",
                "installs long",
                "revenue_micros long",
                "cpi_micros double?",
                "roas double?",
                "credited_installs double",
            ),
            order=("app_id", "source", "campaign", "model"),
        ),
        Dataset(
            "kpi_daily",
            (
                *_SLICE,
                "events long",
                "active_users long",
                "new_users long",
                "sessions long",
                "purchases long",
                "revenue_micros long",
                "purchases_other_currency long",
            ),
            order=("tenant_id",),
        ),
        Dataset(
            "usage_daily",
            (
                *_SLICE,
                "events_received long",
                "events_accepted long",
                "events_clean long",
                "events_duplicate long",
                "events_quarantined long",
                "active_users long",
                "stored_bytes long",
                "pulled_bytes long",
            ),
            order=("tenant_id",),
        ),
        Dataset(
            "cohorts",
            (
                *_SLICE,
                "cohort_date date",
                "day_n long",
                "app_id string",
                "source string",
                "campaign string",
                "cohort_size long",
                "active_devices long",
                "purchasers long",
                "revenue_micros long",
                "spend_micros long",
            ),
            order=("cohort_date", "app_id", "source", "campaign"),
        ),
        Dataset(
            "funnel_daily",
            (
                *_SLICE,
                "app_id string",
                "source string",
                "campaign string",
                "step_index byte",
                "step string",
                "devices long",
            ),
            order=("app_id", "source", "campaign", "step_index"),
        ),
        Dataset(
            "fraud_daily",
            (
                *_SLICE,
                "app_id string",
                "source string",
                "rule string",
                "verdict string",
                "touches long",
                "installs long",
                "share double",
                "norm double",
                "reason string",
            ),
            order=("app_id", "source", "rule"),
        ),
        Dataset(
            "touch_decisions",
            (
                *_SLICE,
                "app_id string",
                "conversion_id string",
                "conversion_type string",
                "conversion_time time_ms",
                "touch_id string",
                "touch_type string",
                "touch_time time_ms",
                "source string",
                "medium string",
                "campaign string",
                "adgroup string",
                "creative string",
                "match_type string",
                "tier byte",
                "ctit_ms long",
                "window_ms long",
                "candidate_rank long",
                "waterfall_position long",
                "verdict string",
                "reason string",
                "install_id string",
                "ruleset_hash string",
            ),
            order=("app_id", "conversion_id", "touch_id"),
            most_wanted=MostWanted(
                per=("app_id", "conversion_id"),
                order=("waterfall_position = 0", "waterfall_position", "tier", "touch_time DESC", "touch_id"),
                rows=CANDIDATES_SENT,
            ),
        ),
        Dataset(
            "channel_credits",
            (
                *_SLICE,
                "app_id string",
                "conversion_type string",
                "event_name string",
                "model string",
                "channel string",
                "conversions double",
                "revenue_micros long",
                "removal_effect double?",
                "standard_error double?",
            ),
            order=("app_id", "conversion_type", "event_name", "model", "channel"),
        ),
    )
}

# the score and what the model saw of the user
SCORES_DATASET = Dataset(
    SCORES,
    (
        "tenant_id string",
        "as_of date",
        "app_id string",
        "user_id string",
        "model_name string",
        "model_version string",
        "score double",
        "horizon_days long",
        "hours_observed double",
        "sessions long",
        "session_ms long",
        "events long",
        "purchases long",
        "revenue_micros long",
        "ctit_ms long?",
        "is_organic bool",
        "source string",
        "campaign string",
        "platform string",
        "country string",
    ),
    order=("user_id", "app_id"),
)


def mart_sql(dataset: Dataset) -> str:
    """The query of one (tenant, date) of a mart, in a fixed order; values are server-side parameters."""
    columns = ", ".join(dataset.schema.names)
    where = "tenant_id = {tenant_id:String} AND event_date = {date:Date}"
    rows = f"SELECT {columns} FROM {dataset.name} WHERE {where}"  # noqa: S608 - names are constants above
    if (wanted := dataset.most_wanted) is not None:
        first = ", ".join((*wanted.per, *wanted.order))
        rows = f"SELECT * FROM ({rows} ORDER BY {first} LIMIT {wanted.rows} BY {', '.join(wanted.per)})"  # noqa: S608 - as above
    return f"{rows} ORDER BY {', '.join(dataset.order)}"
