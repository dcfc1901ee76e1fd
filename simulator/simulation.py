"""`simulate`: the one door to the synthetic world. Composition, sizing, files; no drawing."""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from resources.errors import ContractError
from simulator import delivery, draws, events, spend, touches, truth
from simulator import parameters as p
from simulator.activity import draw_activity
from simulator.draws import Rng
from simulator.population import ORGANIC, Window, draw_population

_PILOT_PEOPLE = 400  # enough to know events per person to 5 %; background touches take up the difference
_PILOT, _WORLD = range(2)  # streams of randomness under one tenant's seed


@dataclass(frozen=True)
class TenantSimulation:
    """One tenant's events in sending order (NDJSON lines without line ends) and the truth about them.

    `totals` counts deliveries: sent, unique_valid, duplicates, malformed, malformed:<kind>, late (of the
    unique_valid). sent = unique_valid + duplicates + malformed.
    """

    tenant_id: str
    deliveries: list[bytes]
    totals: dict[str, int]
    installs: pa.Table
    counts: pa.Table


@dataclass(frozen=True)
class Simulation:
    """The worlds of several tenants over the same complete UTC days, `start_date` to `end_date` inclusive."""

    tenants: tuple[TenantSimulation, ...]
    start_date: dt.date
    end_date: dt.date
    seed: int

    def truth_tables(self) -> dict[str, pa.Table]:
        """The truth of all tenants: installs, counts, totals."""
        totals = [truth.totals_table(tenant.tenant_id, tenant.totals) for tenant in self.tenants]
        return {
            "installs": pa.concat_tables([tenant.installs for tenant in self.tenants]),
            "counts": pa.concat_tables([tenant.counts for tenant in self.tenants]),
            "totals": pa.concat_tables(totals),
        }

    def write(self, out: Path) -> list[Path]:
        """Writes `events/<tenant>.ndjson.zst` and `truth/*.parquet` under `out`; returns the files."""
        files = []
        (out / "events").mkdir(parents=True, exist_ok=True)
        for tenant in self.tenants:
            path = out / "events" / f"{tenant.tenant_id}.ndjson.zst"
            body = b"".join(line + b"\n" for line in tenant.deliveries)
            path.write_bytes(zstandard.ZstdCompressor(level=3).compress(body))
            files.append(path)
        return files + self.write_truth(out)

    def write_truth(self, out: Path) -> list[Path]:
        """Writes `truth/*.parquet` under `out`; returns the files."""
        (out / "truth").mkdir(parents=True, exist_ok=True)
        files = []
        for name, table in self.truth_tables().items():
            path = out / "truth" / f"{name}.parquet"
            pq.write_table(table, path)
            files.append(path)
        return files


def simulate(
    tenants: Sequence[str],
    *,
    end_date: dt.date,
    days: int,
    seed: int,
    events_total: int | None = None,
    users_per_tenant: int | None = None,
) -> Simulation:
    """The same arguments give the same bytes; a tenant's world does not depend on the other tenants.

    Args:
        tenants: tenant ids, each once.
        end_date: the last complete UTC day.
        days: how many complete UTC days.
        seed: of every random draw.
        events_total: deliveries of all tenants together (malformed and duplicates included), or
        users_per_tenant: people per tenant whose causing touch lies in the days.

    Raises:
        ContractError: the arguments contradict each other.
    """
    if days < 1 or len(set(tenants)) != len(tenants) or not tenants:
        raise ContractError("a simulation needs at least one day and tenant ids that differ")
    if (events_total is None) == (users_per_tenant is None):
        raise ContractError("a simulation takes either events_total or users_per_tenant, not both")
    start_date = end_date - dt.timedelta(days=days - 1)
    midnight = dt.datetime.combine(start_date, dt.time(), tzinfo=dt.UTC)
    window = Window(int(midnight.timestamp()) * p.SECOND_MS, days)
    share, rest = divmod(events_total or 0, len(tenants))
    worlds = [
        _simulate_tenant(tenant, window, seed, users_per_tenant, share + (index < rest))
        for index, tenant in enumerate(tenants)
    ]
    return Simulation(tuple(worlds), start_date, end_date, seed)


def _simulate_tenant(
    tenant_id: str, window: Window, seed: int, users: int | None, events_wanted: int
) -> TenantSimulation:
    tenant_seed = [seed, zlib.crc32(tenant_id.encode())]
    if users is None:
        duplicates, malformed = delivery.deliveries_of(events_wanted)
        valid = max(events_wanted - duplicates - malformed, 0)
        spend_rows = spend.spend_rows_per_day() * window.days
        of_people = max(valid - spend_rows, 0) * (1 - p.BACKGROUND_SHARE)
        pilot = _World(np.random.default_rng([*tenant_seed, _PILOT]), tenant_id, window, _PILOT_PEOPLE)
        users = int(of_people / (len(pilot) / _PILOT_PEOPLE))
        world = _World(np.random.default_rng([*tenant_seed, _WORLD]), tenant_id, window, users)
        world.finish(max(valid - spend_rows - len(world), 0))
    else:
        world = _World(np.random.default_rng([*tenant_seed, _WORLD]), tenant_id, window, users)
        world.finish(int(len(world) * p.BACKGROUND_SHARE / (1 - p.BACKGROUND_SHARE)))
        # shares are of all deliveries, of which the valid ones are what remains
        total = round(len(world) / (1 - p.DUPLICATE_SHARE - p.MALFORMED_SHARE))
        duplicates, malformed = delivery.deliveries_of(total)
    return world.deliver(duplicates, malformed)


class _World:
    """One tenant's facts: first the people and all they do, then (`finish`) everyone else and the costs."""

    def __init__(self, rng: Rng, tenant_id: str, window: Window, users: int) -> None:
        self.rng, self.tenant_id, self.window = rng, tenant_id, window
        everyone = draw_population(rng, window, users)
        causing = touches.causing_touches(rng, everyone)
        touch_id = np.full(len(everyone), "", dtype="U36")
        touch_id[everyone.cause != ORGANIC] = causing.event_id
        # touches of the last hours whose install falls after the last day stay touches without an install
        installed = everyone.install_ms < window.end_ms
        self.people, self.touch_id = everyone.where(installed), touch_id[installed]
        self.install_id = draws.uuids(rng, len(self.people))
        innocent = touches.innocent_touches(rng, everyone, window)
        self.touches = touches.concatenate([causing, innocent])
        activity = draw_activity(rng, self.people, window)
        self.groups = [
            *events.install_events(rng, tenant_id, self.people, self.install_id, self.touch_id),
            *events.activity_events(rng, tenant_id, self.people, activity),
        ]

    def __len__(self) -> int:
        """Valid events so far."""
        return len(self.touches) + sum(len(group) for group in self.groups)

    def finish(self, background: int) -> None:
        """Adds `background` touches of people who never install, and what all touches cost."""
        crowd = touches.background_touches(self.rng, self.window, background)
        all_touches = touches.concatenate([self.touches, crowd])
        costs = spend.draw_spend(self.rng, all_touches, self.window)
        self.groups += events.touch_events(self.rng, self.tenant_id, all_touches)
        self.groups.append(events.spend_events(self.rng, self.tenant_id, costs))
        self.touches = all_touches.where(np.zeros(len(all_touches), dtype=np.bool_))  # now among the groups

    def deliver(self, duplicates: int, malformed: int) -> TenantSimulation:
        """The deliveries in sending order, and the truth."""
        documents = [document for group in self.groups for document in group.documents(self.tenant_id)]
        time_ms = np.concatenate([group.time_ms for group in self.groups])
        sent = delivery.deliver(
            self.rng, documents, time_ms, self.window, duplicates=duplicates, malformed=malformed
        )
        totals = {
            "sent": len(sent.lines),
            "unique_valid": len(documents),
            "duplicates": sent.duplicates,
            "malformed": sum(sent.malformed.values()),
            **{f"malformed:{kind}": count for kind, count in sent.malformed.items()},
            "late": sent.late,
        }
        return TenantSimulation(
            self.tenant_id,
            sent.lines,
            totals,
            truth.installs_table(self.tenant_id, self.people, self.install_id, self.touch_id),
            truth.counts_table(self.tenant_id, self.groups),
        )
