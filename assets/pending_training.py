"""Which tenants wait for a training run, and the key that asks for it; the sensor itself is in automation.py.

A run key is launched once, whatever became of its run. The key of a tenant's newest mature day therefore serves
its first training, and, as long as the tenant has no champion, each later features materialisation gets a key
of its own.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Set
from dataclasses import asdict, dataclass, field

import dagster as dg

RUN_KEY_TAG = "dagster/run_key"  # Dagster's own, on every run that a sensor asked for; a retry inherits it
WILL_RETRY_TAG = "dagster/will_retry"  # Dagster's own, on a failed run
PROMOTED = "promoted"  # metadata of ltv_model: this version became the champion
TRAININGS_LOOKED_AT = 1000  # one a tenant and day: almost three years


@dataclass(frozen=True)
class TrainingCursor:
    """What the sensor has seen and who waits.

    `storage_id` is the newest features materialisation seen; `waiting` says per tenant which of its own was the
    newest when it had to wait.
    """

    storage_id: int | None = None
    waiting: dict[str, int] = field(default_factory=dict)

    @classmethod
    def loads(cls, text: str | None) -> TrainingCursor:
        """The cursor a sensor kept; an absent one has seen nothing, a bare number is one nobody waits in."""
        if not text:
            return cls()
        document = json.loads(text)
        if isinstance(document, int):
            return cls(document)
        return cls(document["storage_id"], document["waiting"])

    def dumps(self) -> str:
        """The cursor as the sensor keeps it."""
        return json.dumps(asdict(self), sort_keys=True)


def due_trainings(
    cursor: TrainingCursor, seen: Iterable[tuple[str, int]], busy: Set[str]
) -> tuple[dict[str, int], TrainingCursor]:
    """(tenant: its newest materialisation) of those that need not wait, and the cursor that holds the others.

    `seen` are (tenant, storage id) after the cursor, oldest first. The cursor passes them all: what waits is kept
    by name, so a long-busy tenant neither hides the others' records nor makes the sensor read them twice.
    """
    newest, last = dict(cursor.waiting), cursor.storage_id
    for tenant_id, storage_id in seen:
        newest[tenant_id] = last = storage_id
    waiting = {tenant: storage_id for tenant, storage_id in newest.items() if tenant in busy}
    due = {tenant: storage_id for tenant, storage_id in sorted(newest.items()) if tenant not in busy}
    return due, TrainingCursor(last, waiting)


def training_run_key(instance: dg.DagsterInstance, tenant_id: str, mature: dt.date, storage_id: int) -> str:
    """The day's own key, or one of this materialisation where the day's run is over and left no champion."""
    plain = f"train:{tenant_id}:{mature}"
    if is_over(instance, plain) and not has_champion(instance, tenant_id):
        return f"{plain}:{storage_id}"
    return plain


def is_over(instance: dg.DagsterInstance, run_key: str) -> bool:
    """Whether this key's run was launched, has ended, and will not be retried."""
    newest = instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: run_key}), limit=1)
    return any(run.is_finished and run.tags.get(WILL_RETRY_TAG) != "true" for run in newest)


def has_champion(instance: dg.DagsterInstance, tenant_id: str) -> bool:
    """Whether any training of this tenant promoted its model."""
    of_tenant = dg.AssetRecordsFilter(asset_key=dg.AssetKey("ltv_model"), asset_partitions=[tenant_id])
    records = instance.fetch_materializations(of_tenant, limit=TRAININGS_LOOKED_AT).records
    return any(is_promotion(record) for record in records)


def is_promotion(record: dg.EventLogRecord) -> bool:
    """Whether this materialisation of ltv_model made a champion."""
    materialization = record.asset_materialization
    value = materialization.metadata.get(PROMOTED) if materialization is not None else None
    return value is not None and value.value is True
