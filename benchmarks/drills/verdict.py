"""What the sender remembers against what the lake, the vault and the log hold: the numbers of a drill.

Each figure under `faults` counts something that must not be; a drill has passed when all are 0. Comparing is pure
and tested with invented rows; reading is at the end of the module.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from assets.clean import rebuild
from assets.partitions import RunSlices
from ingest_api.quarantine import unseal_body
from resources.lake import Lake
from resources.lake_orphans import find_orphans
from resources.pii import Keyring, TenantPii
from resources.vault import open_vault

if TYPE_CHECKING:
    from benchmarks.drills.memory import Key, Memory
    from resources.settings import Settings
    from resources.vault import Vault

PERSONAL_FIELDS = {"deviceId": "device_id", "userId": "user_id", "ip": "ip", "userAgent": "user_agent"}
VAULT_SUBJECTS_MAX = 3_000  # of a long drill's 25,000 looked up: a millisecond each
RUN_ID = "drill"

Faults = dict[str, int]


class Row(NamedTuple):
    """A row of raw.events or raw.quarantine: whose, which delivery, when the door took it, its own number."""

    key: Key
    received_at: dt.datetime
    number: int | str  # land_seq, quarantine_id


def event_faults(memory: Memory, rows: Collection[Row]) -> Faults:
    """raw.events against the memory: every delivery that was accepted is there, and no row besides."""
    landed = Counter(row.key for row in rows)
    return {
        "events_missing": missing(memory.accepted, landed),
        "events_never_sent": sum(count for key, count in landed.items() if key not in memory.good),
        "events_beyond_what_was_sent": missing(landed, memory.sent),
        # one request gives all its events one time of receipt, and two requests never the same
        "events_landed_twice": len(rows) - len({(row.key, row.received_at) for row in rows}),
        "land_seq_repeated_or_skipped": len({*range(len(rows))} ^ {row.number for row in rows}),
    }


def quarantine_faults(memory: Memory, rows: Collection[Row]) -> Faults:
    """raw.quarantine against the memory: every delivery that was refused is there, once per request."""
    landed = Counter(row.key for row in rows)
    return {
        "quarantine_missing": missing(memory.refused, landed),
        "quarantine_never_sent": sum(count for key, count in landed.items() if key not in memory.bad),
        "quarantine_beyond_what_was_sent": missing(landed, memory.sent),
        "quarantine_landed_twice": len(rows) - len({row.number for row in rows}),
    }


def clean_faults(landed: Collection[Key], clean: Collection[Key]) -> Faults:
    """clean.events against raw.events: each event id once."""
    distinct = set(clean)
    return {
        "clean_missing": len(set(landed) - distinct),
        "clean_never_landed": len(distinct - set(landed)),
        "clean_twice": len(clean) - len(distinct),
    }


def missing(expected: Counter[Key], found: Counter[Key]) -> int:
    """How many more of each key are expected than found."""
    return (expected - found).total()


def judge(settings: Settings, memory: Memory) -> tuple[dict[str, int], Faults]:
    """(figures, faults) of a drill that has ended: everything has landed and no process runs."""
    lake, vault = Lake(settings), open_vault(settings)
    try:
        raw = raw_events(lake)
        told = raw.select("tenant_id", "event_id", "received_at", "land_seq")
        rows = [Row((tenant, event), at, seq) for tenant, event, at, seq in told.iter_rows()]
        quarantined = list(_quarantine_rows(lake, Keyring(settings.keys())))
        clean = _clean_keys(lake, raw, settings.late_days)
        subjects, subject_faults = _vault_faults(settings, vault, raw)
    finally:
        vault.close()
        lake.close()
    landed = {row.key for row in rows}
    faults = {
        **event_faults(memory, rows),
        **quarantine_faults(memory, quarantined),
        **clean_faults(landed, clean),
        **subject_faults,
        "answers_against_the_contract": len(memory.surprises),
    }
    figures = {
        "requests": memory.requests,
        "answered": memory.answered,
        "unanswered": memory.unanswered,
        "sent_again": memory.retries,
        "acknowledged_events": memory.accepted.total() + memory.refused.total(),
        "raw_events": len(rows),
        "raw_quarantine": len(quarantined),
        "clean_events": len(clean),
        "duplicates": len(rows) - len(landed),
        "landed_without_an_answer": len(landed - memory.accepted.keys() - memory.turned_away.keys()),
        "landed_though_refused": len(landed & memory.turned_away.keys() - memory.accepted.keys()),
        "vault_subjects_checked": subjects,
    }
    return figures, faults


def raw_events(lake: Lake) -> pl.DataFrame:
    """All of raw.events, the columns a drill compares."""
    columns = ("tenant_id", "event_id", "event_date", "received_at", "land_seq", "body")
    return pl.DataFrame(lake.table("raw.events").scan(selected_fields=columns).to_arrow()).select(columns)


def uncommitted_files(settings: Settings) -> int:
    """Data files that were written and whose commit died; the nightly upkeep removes such."""
    lake = Lake(settings)
    now = dt.datetime.now(dt.UTC)
    try:
        return sum(
            file.path.endswith(".parquet")
            for name in ("raw.events", "raw.quarantine")
            for file in find_orphans(lake.table(name), grace_days=0, now=now)
        )
    finally:
        lake.close()


def _quarantine_rows(lake: Lake, keyring: Keyring) -> Iterator[Row]:
    """Rows by event id, those whose id could not be read by the body that was sent."""
    for row in lake.table("raw.quarantine").scan().to_arrow().to_pylist():
        tenant, number = row["tenant_id"], row["quarantine_id"]
        sent = row["event_id"] or unseal_body(keyring, tenant, number, row["body_sealed"]).decode()
        yield Row((tenant, sent), row["received_at"], number)


def _clean_keys(lake: Lake, raw: pl.DataFrame, late_days: int) -> list[Key]:
    """Make clean.events as the asset does, every slice that has rows, and read it back."""
    for (tenant,), rows in raw.sort("tenant_id").group_by("tenant_id", maintain_order=True):
        dates = tuple(sorted(rows["event_date"].unique()))
        with warnings.catch_warnings():
            # overwriting a slice that is still empty is the normal first write
            warnings.filterwarnings("ignore", "Delete operation did not match any records")
            rebuild(lake, RunSlices(tenant, dates), late_days, RUN_ID)
    clean = lake.table("clean.events").scan(selected_fields=("tenant_id", "event_id")).to_arrow()
    return [(row["tenant_id"], row["event_id"]) for row in clean.to_pylist()]


def _vault_faults(settings: Settings, vault: Vault, raw: pl.DataFrame) -> tuple[int, Faults]:
    """Subjects looked at, and pseudonyms of raw.events whose original the vault lacks or holds wrongly."""
    keyring = Keyring(settings.keys())
    fields = [
        pl.col("body").str.json_path_match(f"$.{name}").alias(kind) for name, kind in PERSONAL_FIELDS.items()
    ]
    personal = raw.select("tenant_id", *fields).unique().sort("tenant_id", "device_id")
    subjects = personal.select("tenant_id", "device_id").unique(maintain_order=True).rows()
    every = max(1, -(-len(subjects) // VAULT_SUBJECTS_MAX))
    looked_at = subjects[::every]
    by_subject = personal.partition_by("tenant_id", "device_id", as_dict=True)
    lacking = wrong = 0
    for tenant, subject in looked_at:
        originals = vault.reveal(tenant, subject)
        pii = TenantPii(keyring, tenant)
        wrong += sum(item.pseudonym != pii.pseudonym(item.kind, item.value) for item in originals)
        lacking += len(_pseudonyms(by_subject[tenant, subject]) - {item.pseudonym for item in originals})
    return len(looked_at), {"originals_missing": lacking, "originals_wrong": wrong}


def _pseudonyms(rows: pl.DataFrame) -> set[str]:
    values: Iterable[str | None] = (
        value for kind in PERSONAL_FIELDS.values() for value in rows[kind].to_list()
    )
    return {value for value in values if value is not None}
