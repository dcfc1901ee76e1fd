"""`raw_events`: what the lander committed. Nothing materialises it here; the sensor observes its snapshots."""

import dagster as dg

from assets.partitions import TENANT_DAY

RAW_EVENTS = dg.AssetSpec(
    "raw_events",
    group_name="lake",
    kinds={"iceberg"},
    partitions_def=TENANT_DAY,
    description=(
        "Accepted deliveries in landing order, Iceberg table raw.events. An event id may repeat. "
        "Written by the lander outside Dagster; each landed snapshot is observed per (tenant, date)."
    ),
)
