"""What the native scan knows between landings saves work and changes nothing: no row, no pseudonym, no original."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import zstandard

from ingest_api import fast_lane, known_values, remembered
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogPosition, LogRecord
from ingest_api.landing import Batch
from ingest_api.pii import TenantEvents
from ingest_api.remembered import Remembered
from resources.lake import Lake
from resources.pii import Keyring
from tests.support.door import OTHER_TENANT, TENANT, Landing, RunningDoor, click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resources.settings import Settings
    from resources.vault import Original

pytestmark = pytest.mark.skipif(
    not fast_lane.is_built(), reason="the native scan was not built: no C compiler at `make setup`"
)


def record(events: list[dict[str, Any]], tenant_id: str = TENANT) -> LogRecord:
    body = b"\n".join(orjson.dumps({**event, "tenantId": tenant_id}) for event in events)
    packed = zstandard.compress(body)
    return LogRecord(tenant_id, 1_000, BodyFormat.NDJSON, BodyEncoding.ZSTD, len(events), packed)


def bodies(settings: Settings, memory: Remembered, records: list[LogRecord]) -> list[dict[str, Any]]:
    """The bodies one landing makes, in landing order."""
    batch = Batch(memory, 0)
    for at, one in enumerate(records):
        batch.add("w", LogPosition(1, at + 1), one, is_quarantine_landed=False)
    found = batch.events(Lake(settings).arrow_schema("raw.events"))
    assert found is not None
    parts = [found.rows] if hasattr(found.rows, "to_pylist") else list(found.rows)
    rows = [row for part in parts for row in part.to_pylist()]
    return [orjson.loads(row["body"]) for row in sorted(rows, key=lambda row: row["land_seq"])]


class KeptOriginals:
    """A vault that notes what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Original]] = []
        self.failures = 0

    def store(self, tenant_id: str, originals: Iterable[Original]) -> int:
        if self.failures:
            self.failures -= 1
            raise OSError("full")
        before = len(self.given)
        self.given += [(tenant_id, original) for original in originals]
        return len(self.given) - before

    def taken(self) -> list[tuple[str, Original]]:
        given, self.given = self.given, []
        return given


def traffic(rng: random.Random, number: int) -> list[LogRecord]:
    """A few hundred events of two tenants whose devices, users and addresses come again in other company."""
    made = []
    for tenant_id in (TENANT, OTHER_TENANT, TENANT):
        events = [
            click(
                deviceId=f"device-{rng.randrange(30 + 10 * number)}",
                **rng.choice(
                    [{}, {"userId": f"user-{rng.randrange(20)}"}, {"userId": f"device-{rng.randrange(30)}"}]
                ),
                **rng.choice(
                    [{}, {"ip": f"192.0.{rng.randrange(3)}.{rng.randrange(9)}"}, {"ip": "2001:db8::7"}]
                ),
                **rng.choice([{}, {"userAgent": f"é {rng.randrange(4)}"}]),
            )
            for _ in range(rng.randrange(1, 200))
        ]
        if rng.random() < 0.3:
            events[-1]["campaign"] = 'not "certain"'  # this record goes the slow way
        made.append(record(events, tenant_id))
    return made


@pytest.mark.parametrize("seed", range(5))
def test_many_landings_give_the_bodies_and_originals_of_the_slow_way(settings: Settings, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - repeatable traffic, not a secret
    keyring = Keyring(settings.keys())
    fast, slow = Remembered(keyring), Remembered(keyring, is_native=False)
    fast_vault, slow_vault = KeptOriginals(), KeptOriginals()
    for number in range(6):
        records = traffic(rng, number)
        assert bodies(settings, fast, records) == bodies(settings, slow, records)
        for memory, vault in ((fast, fast_vault), (slow, slow_vault)):
            memory.store_originals(vault)  # type: ignore[arg-type]  # all that is asked of a vault
    assert set(fast_vault.given) == set(slow_vault.given)


def test_a_landing_offers_the_vault_only_what_is_new_of_a_subject(settings: Settings) -> None:
    memory, vault = Remembered(Keyring(settings.keys())), KeptOriginals()
    offered = []
    for fields in ({"userId": "jane"}, {"userId": "jane"}, {"userId": "jo"}, {"userId": "jane"}):
        bodies(settings, memory, [record([click(deviceId="device-1", **fields)])])
        memory.store_originals(vault)  # type: ignore[arg-type]  # all that is asked of a vault
        offered.append(sorted(original.value for _, original in vault.taken()))
    assert offered == [["device-1", "jane"], [], ["jo"], []]


def test_what_a_failed_landing_met_is_offered_by_the_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, vault = Remembered(Keyring(settings.keys())), KeptOriginals()
    records = [record([click(deviceId="device-1", userId="jane")])]

    def failing(*_: object) -> None:
        raise MemoryError

    for place in ("new_token", "original"):
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(TenantEvents, place, failing)
            bodies(settings, memory, records)
            memory.store_originals(vault)  # type: ignore[arg-type]  # all that is asked of a vault
    monkeypatch.setattr(known_values, "ORIGINALS_AT_ONCE", 1)
    bodies(settings, memory, records)
    vault.failures = 1
    with pytest.raises(OSError, match="full"):
        memory.store_originals(vault)  # type: ignore[arg-type]  # all that is asked of a vault
    memory.store_originals(vault)  # type: ignore[arg-type]  # all that is asked of a vault
    assert sorted(original.value for _, original in vault.taken()) == ["device-1", "jane"]


def test_a_lander_that_failed_before_the_vault_stores_the_originals_when_it_tries_again(
    settings: Settings,
) -> None:
    cuts = ["read", "read"]

    def cut_twice(step: str) -> None:
        if step in cuts:
            cuts.remove(step)
            raise OSError(step)

    with RunningDoor(settings) as door, Landing(settings, cut_twice) as landing:
        door.send(click(deviceId="device-1", userId="jane"))
        for _ in range(2):
            with pytest.raises(OSError, match="read"):
                landing.lander.land_once()
        landing.land_all()
        subject = orjson.loads(landing.rows()[0]["body"])["deviceId"]
        assert sorted(item.value for item in landing.vault.reveal(TENANT, subject)) == ["device-1", "jane"]


def test_what_was_forgotten_is_offered_again_and_keeps_its_pseudonyms(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, vault = Remembered(Keyring(settings.keys())), KeptOriginals()
    records = [record([click(deviceId=f"device-{number}") for number in range(9)])]
    before = bodies(settings, memory, records)
    memory.store_originals(vault)  # type: ignore[arg-type]  # all that is asked of a vault
    first = vault.taken()
    memory.forget_if_large()
    assert memory.known is not None
    assert len(memory.known) == 18  # nine values, each of its own subject: far below the limit
    monkeypatch.setattr(remembered, "REMEMBERED_MAX", 17)
    memory.forget_if_large()
    assert len(memory.known) == 0
    assert bodies(settings, memory, records) == before
    memory.store_originals(vault)  # type: ignore[arg-type]  # all that is asked of a vault
    assert sorted(vault.taken()) == sorted(first)


def test_the_scans_memory_refuses_what_does_not_fit_it() -> None:
    values = fast_lane.new_values()
    columns = fast_lane.new_columns(values)
    body = orjson.dumps(click(deviceId="device-1"))
    contract = fast_lane.compiled("v1")
    assert columns.add(contract, body, BodyFormat.JSON, TENANT.encode(), 0, 32, 1)
    one_row = (0).to_bytes(8, "little")
    with pytest.raises(ValueError, match="no token yet"):
        columns.build(one_row)
    with pytest.raises(ValueError, match="no token yet"):
        values.untold(9)
    with pytest.raises(ValueError, match="one token for each"):
        values.name([])
    assert values.unnamed() == [(0, fast_lane.KIND_NUMBERS["device_id"], "device-1")]
    values.name(["p1_0"])
    assert values.untold(9) == [(0, fast_lane.KIND_NUMBERS["device_id"], "p1_0", "p1_0", "device-1")]
    with pytest.raises(ValueError, match="not 2 untold"):
        values.told(2)
    values.told(1)
    assert (values.unnamed(), values.untold(9), len(values)) == ([], [], 2)
    with pytest.raises(ValueError, match="places of rows"):
        columns.build((1).to_bytes(8, "little"))
    assert orjson.loads(columns.build(one_row)[1])["deviceId"] == "p1_0"
    columns.drop([0])
    columns.drop([0])  # gone already
    with pytest.raises(ValueError, match="not dropped"):
        columns.build(one_row)
    with pytest.raises(IndexError, match="no body 1"):
        columns.drop([1])


def test_a_body_may_be_away_between_its_scan_and_its_rows() -> None:
    values = fast_lane.new_values()
    columns = fast_lane.new_columns(values)
    bodies = [orjson.dumps([click(deviceId=f"device-{number}")]) for number in range(2)]
    for body in bodies:
        added = columns.add(fast_lane.compiled("v1"), body, BodyFormat.ARRAY, TENANT.encode(), 0, 32, 1)
        assert added
    values.name(["p1_0", "p1_1"])
    rows = [number.to_bytes(8, "little") for number in range(2)]
    before = [columns.build(row) for row in rows]
    columns.pack(0)
    with pytest.raises(ValueError, match="places of rows"):
        columns.build(rows[0])
    assert columns.build(rows[1]) == before[1]
    for place, problem in ((0, "not here"), (7, "no body 7")):
        with pytest.raises((ValueError, IndexError), match=problem):
            columns.pack(place)
    for place, body in ((0, bodies[0] + b" "), (1, bodies[1])):
        with pytest.raises(ValueError, match="not away, or this is another"):
            columns.unpack(place, body)
    columns.unpack(0, bytes(bytearray(bodies[0])))  # elsewhere in memory
    assert [columns.build(row) for row in rows] == before
    columns.drop([0])
    for again in (lambda: columns.pack(0), lambda: columns.unpack(0, bodies[0])):
        with pytest.raises(ValueError, match="body 0"):
            again()


def test_rows_are_built_from_the_right_bodies_while_earlier_ones_go(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_api.fast_columns.PART_ROWS", 4)
    memory = Remembered(Keyring(settings.keys()))
    events = [click(campaign=f"c{number}", deviceId=f"device-{number}") for number in range(30)]
    records = [
        record(events[start : start + 3])._replace(received_at_us=100 - start) for start in range(0, 30, 3)
    ]
    records.insert(4, record([click(campaign='not "certain"')]))  # taken by the slow way, among the others
    found = [body["campaign"] for body in bodies(settings, memory, records)]
    assert found == [
        *[f"c{number}" for number in range(12)],
        'not "certain"',
        *[f"c{n}" for n in range(12, 30)],
    ]
