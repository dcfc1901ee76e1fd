"""`simulate`: the one door to the synthetic worlds. Composition, sizing, files; no drawing."""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from resources.errors import ContractError
from simulator import delivery, spend, truth
from simulator import parameters as p
from simulator.events import EventColumns
from simulator.full_world import FullWorld
from simulator.plain_world import PlainWorld
from simulator.population import Window

_PILOT_PEOPLE = 400  # enough to know events per person to 5 %; background touches take up the difference
_PILOT, _WORLD = range(2)  # streams of randomness under one tenant's seed

WorldName = Literal["plain", "full"]
WORLDS: dict[WorldName, type[PlainWorld | FullWorld]] = {"plain": PlainWorld, "full": FullWorld}


class World(Protocol):
    """One tenant's facts, finished: its events by type, and the truth about them as tables."""

    groups: list[EventColumns]

    def __len__(self) -> int:
        """Valid events."""

    def finish(self, background: int) -> None:
        """Adds `background` touches of people who never install, and what all touches cost."""

    def truth(self) -> dict[str, pa.Table]:
        """Tables of truth by name, `installs` among them."""


@dataclass(frozen=True)
class TenantSimulation:
    """One tenant's events in sending order (NDJSON lines without line ends) and the truth about them.

    `totals` counts deliveries: sent, unique_valid, duplicates, malformed, malformed:<kind>, late (of the
    unique_valid). sent = unique_valid + duplicates + malformed. `truth` holds the world's tables by name.
    """

    tenant_id: str
    deliveries: list[bytes]
    totals: dict[str, int]
    truth: dict[str, pa.Table]

    @property
    def installs(self) -> pa.Table:
        """What caused each install."""
        return self.truth["installs"]

    @property
    def counts(self) -> pa.Table:
        """Valid events, revenue and spend per day and type."""
        return self.truth["counts"]


@dataclass(frozen=True)
class Simulation:
    """The worlds of several tenants over the same complete UTC days, `start_date` to `end_date` inclusive."""

    tenants: tuple[TenantSimulation, ...]
    start_date: dt.date
    end_date: dt.date
    seed: int

    def truth_tables(self) -> dict[str, pa.Table]:
        """The truth of all tenants: installs, counts, totals; of the full world more."""
        totals = [truth.totals_table(tenant.tenant_id, tenant.totals) for tenant in self.tenants]
        names = self.tenants[0].truth
        tables = {name: pa.concat_tables([tenant.truth[name] for tenant in self.tenants]) for name in names}
        return {**tables, "totals": pa.concat_tables(totals)}

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
    world: WorldName = "plain",
) -> Simulation:
    """The same arguments give the same bytes; a tenant's world does not depend on the other tenants.

    Args:
        tenants: tenant ids, each once.
        end_date: the last complete UTC day.
        days: how many complete UTC days.
        seed: of every random draw.
        events_total: deliveries of all tenants together (malformed and duplicates included), or
        users_per_tenant: people per tenant whose causing touch lies in the days.
        world: `plain` (ids match every touch, nobody cheats) or `full`.

    Raises:
        ContractError: the arguments contradict each other.
    """
    _check(tenants, days, events_total, users_per_tenant)
    window = window_of(end_date, days)
    share, rest = divmod(events_total or 0, len(tenants))
    worlds = []
    for index, tenant in enumerate(tenants):
        rng = _rng(tenant, seed, _WORLD)
        if users_per_tenant is None:
            one, copies = _world_of_size(
                rng, tenant, window, seed=seed, deliveries=share + (index < rest), name=world
            )
        else:
            one = _world_of_people(rng, tenant, window, users_per_tenant, world)
            # shares are of all deliveries, of which the valid ones are what remains
            total = round(len(one) / (1 - p.DUPLICATE_SHARE - p.MALFORMED_SHARE))
            copies = delivery.deliveries_of(total)
        worlds.append(_delivered(rng, tenant, window, one, copies))
    return Simulation(tuple(worlds), end_date - dt.timedelta(days=days - 1), end_date, seed)


def _check(tenants: Sequence[str], days: int, events_total: int | None, users: int | None) -> None:
    if days < 1 or len(set(tenants)) != len(tenants) or not tenants:
        raise ContractError("a simulation needs at least one day and tenant ids that differ")
    if (events_total is None) == (users is None):
        raise ContractError("a simulation takes either events_total or users_per_tenant, not both")


def draw_world(
    tenant: str, *, end_date: dt.date, days: int, seed: int, users: int, world: WorldName
) -> World:
    """One tenant's facts as `simulate` with `users_per_tenant` has them, not rendered and not delivered."""
    return _world_of_people(_rng(tenant, seed, _WORLD), tenant, window_of(end_date, days), users, world)


def window_of(end_date: dt.date, days: int) -> Window:
    """The complete UTC days up to `end_date`."""
    midnight = dt.datetime.combine(end_date - dt.timedelta(days=days - 1), dt.time(), tzinfo=dt.UTC)
    return Window(int(midnight.timestamp()) * p.SECOND_MS, days)


def _rng(tenant: str, seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(tenant.encode()), stream])


def _world_of_people(
    rng: np.random.Generator, tenant: str, window: Window, users: int, name: WorldName
) -> World:
    world = WORLDS[name](rng, tenant, window, users)
    world.finish(int(len(world) * p.BACKGROUND_SHARE / (1 - p.BACKGROUND_SHARE)))
    return world


def _world_of_size(
    rng: np.random.Generator, tenant: str, window: Window, *, seed: int, deliveries: int, name: WorldName
) -> tuple[World, tuple[int, int]]:
    """A world of so many deliveries, and how many of them are duplicates and malformed."""
    duplicates, malformed = delivery.deliveries_of(deliveries)
    valid = max(deliveries - duplicates - malformed, 0)
    spend_rows = spend.spend_rows_per_day() * window.days
    of_people = max(valid - spend_rows, 0) * (1 - p.BACKGROUND_SHARE)
    pilot = WORLDS[name](_rng(tenant, seed, _PILOT), tenant, window, _PILOT_PEOPLE)
    world = WORLDS[name](rng, tenant, window, int(of_people / (len(pilot) / _PILOT_PEOPLE)))
    world.finish(max(valid - spend_rows - len(world), 0))
    return world, (duplicates, malformed)


def _delivered(
    rng: np.random.Generator, tenant_id: str, window: Window, world: World, copies: tuple[int, int]
) -> TenantSimulation:
    """The deliveries in sending order, and the truth."""
    documents = [document for group in world.groups for document in group.documents(tenant_id)]
    time_ms = np.concatenate([group.time_ms for group in world.groups])
    duplicates, malformed = copies
    sent = delivery.deliver(rng, documents, time_ms, window, duplicates=duplicates, malformed=malformed)
    totals = {
        "sent": len(sent.lines),
        "unique_valid": len(documents),
        "duplicates": sent.duplicates,
        "malformed": sum(sent.malformed.values()),
        **{f"malformed:{kind}": count for kind, count in sent.malformed.items()},
        "late": sent.late,
    }
    tables = {**world.truth(), "counts": truth.counts_table(tenant_id, world.groups)}
    return TenantSimulation(tenant_id, sent.lines, totals, tables)
