"""Nested events go through the door into the lake and come back as they were, or are in quarantine byte for byte.

`UNMOGROWP_TEST_NDJSON=FILE pytest tests/unit/ingest_api/test_public_events.py` takes any NDJSON file, e.g. an hour
of public repository events; without it a corpus of hard cases is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from assets.clean import rebuild
from assets.partitions import RunSlices
from ingest_api.quarantine import unseal_body
from resources.pii import Keyring
from tests.support.door import TENANT, Landing, RunningDoor, now_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.settings import Settings

BATCH_LINES = 2_000
BATCH_BYTES = 8 * 1024 * 1024  # below the door's 10 MiB
# What a row cannot hold without changing it. Any other refusal of an envelope that is right would be a loss.
CANNOT_BE_KEPT = {"event_too_large", "number_too_large", "nesting_too_deep", "not_json"}
GENERATED_LINES = 600


class Sent(NamedTuple):
    """What the door answered."""

    payloads: dict[str, str]  # event id of an accepted event → digest of its canonical payload
    refused: Counter[bytes]  # digests of the bytes of the others
    reasons: Counter[str]


def test_every_payload_comes_back_equal_from_raw_and_clean_or_is_in_quarantine_as_it_was(
    settings: Settings, door: RunningDoor, tmp_path: Path
) -> None:
    given = os.environ.get("UNMOGROWP_TEST_NDJSON")
    sent = sent_through(door, Path(given) if given else generated_corpus(tmp_path / "generated.ndjson"))
    assert sent.payloads
    assert set(sent.reasons) <= CANNOT_BE_KEPT, sent.reasons
    assert given or set(sent.reasons) == CANNOT_BE_KEPT
    with Landing(settings) as landing:
        landing.land_all()
        bodies = {name: json.loads(body) for name, body in columns(landing, "raw.events", "event_id", "body")}
        assert {name: digest(body["metadata"]) for name, body in bodies.items()} == sent.payloads
        dates = sorted({date for (date,) in columns(landing, "raw.events", "event_date")})
        rebuild(landing.lake, RunSlices(TENANT, tuple(dates)), settings.late_days, "test")
        clean = columns(landing, "clean.events", "event_id", "metadata")
        assert {name: digest(json.loads(text)) for name, text in clean} == sent.payloads
        keyring = Keyring(settings.keys())
        sealed = columns(landing, "raw.quarantine", "quarantine_id", "body_sealed")
        kept = (unseal_body(keyring, TENANT, *row) for row in sealed)
        assert Counter(hashlib.sha256(body).digest() for body in kept) == sent.refused


def sent_through(door: RunningDoor, path: Path) -> Sent:
    """Send every line of a file as a named event."""
    sent = Sent({}, Counter(), Counter())
    for batch in batches(path):
        response = door.send_batch(b"\n".join(batch.values()), Content_Type="application/x-ndjson")
        assert response.status_code == 202, response.text
        for (event_id, event), answer in zip(batch.items(), response.json()["events"], strict=True):
            if answer["status"] == "accepted":
                sent.payloads[event_id] = digest(json.loads(event)["metadata"])
            else:
                sent.refused[hashlib.sha256(event).digest()] += 1
                sent.reasons[answer["code"]] += 1
    return sent


def columns(landing: Landing, table: str, *names: str) -> Iterator[tuple[Any, ...]]:
    """Rows of some columns of a lake table, a batch at a time."""
    for batch in landing.lake.table(table).scan(selected_fields=names).to_arrow_batch_reader():
        yield from zip(*(batch.column(name).to_pylist() for name in names), strict=True)


def digest(value: Any) -> str:
    """Of the canonical JSON (keys sorted, no spaces), by the standard library alone."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def batches(path: Path) -> Iterator[dict[str, bytes]]:
    """The file's lines as named events, event id → bytes, in batches that the door takes."""
    batch: dict[str, bytes] = {}
    size = 0
    with path.open("rb") as file:
        for number, line in enumerate(file):
            payload = line.strip()
            if not payload:
                continue
            event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
            batch[event_id] = wrapped(event_id, payload)
            size += len(batch[event_id])
            if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
                yield batch
                batch, size = {}, 0
    if batch:
        yield batch


def wrapped(event_id: str, payload: bytes) -> bytes:
    """A named event around the payload's very bytes."""
    head = {"eventId": event_id, "tenantId": TENANT, "timestamp": now_text(), "deviceId": "feed"}
    event = orjson.dumps({**head, "eventType": "event", "eventName": "public"})
    return event[:-1] + b',"metadata":{"payload":' + payload + b"}}"


def generated_corpus(path: Path) -> Path:
    """Lines that are hard to keep: deep, wide, long, odd texts and keys, numbers at every edge; and some impossible."""
    rng = random.Random(20)  # noqa: S311 - repeatable, not a secret
    texts = [
        "",
        "a",
        "ключ",
        "🙂",
        "e\u0301",
        "\u0000",
        "\u2028",
        "\\",
        '"',
        "\ufeff",
        "\U0010ffff",
        "</script>",
        "\x7f",
    ]
    numbers = [
        0,
        -1,
        2**53,
        2**63 - 1,
        -(2**63),
        2**64 - 1,
        0.1,
        -0.0,
        1e300,
        5e-324,
        1.7976931348623157e308,
        1e22,
    ]

    def value(depth: int) -> Any:
        kind = rng.randrange(6 if depth else 4)
        if kind == 4:
            return [value(depth - 1) for _ in range(rng.randrange(5))]
        if kind == 5:
            return {rng.choice(texts) + rng.choice(texts): value(depth - 1) for _ in range(rng.randrange(6))}
        return (
            rng.choice(texts) * rng.randrange(4),
            rng.choice(numbers),
            rng.random() * 1e6,
            rng.choice((None, True)),
        )[kind]

    deep: Any = 1
    for level in range(30):
        deep = [deep] if level % 2 else {"": deep}
    lines = [
        json.dumps(value(rng.randrange(8)), ensure_ascii=rng.random() < 0.5) for _ in range(GENERATED_LINES)
    ]
    lines += [json.dumps(deep), json.dumps({f"k{n}": n for n in range(3_000)}), json.dumps("x" * 65_000)]
    lines += [
        '{"a":1,"a":{"b":2}}',
        "  [1 , 2]\t",
        "123456789012345678901.0",
        '"\\ud83d\\ude42\\u00e9"',
        "",
        "1E-7",
    ]
    impossible = [
        json.dumps([deep]),
        json.dumps("x" * 66_000),
        "18446744073709551616",
        '{"n":[-9223372036854775809]}',
    ]
    impossible += ['{"broken":', "NaN", '"\\ud800"', "1e999"]
    path.write_text("\n".join(lines + impossible) + "\n", encoding="utf-8")
    with path.open("ab") as file:
        file.write(b'"\xff"\n')
    return path
