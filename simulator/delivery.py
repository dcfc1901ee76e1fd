"""How the events reach the door: late, twice, or broken. Order and copies only, no facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from simulator import draws
from simulator import parameters as p
from simulator.draws import Ints, Rng
from simulator.population import Window

Document = dict[str, object]


@dataclass(frozen=True)
class Deliveries:
    """NDJSON lines (without line ends) in sending order, and what of them is no first valid delivery."""

    lines: list[bytes]
    late: int
    duplicates: int
    malformed: dict[str, int]


def deliveries_of(total: int) -> tuple[int, int]:
    """Duplicates and malformed events among `total` deliveries."""
    return round(total * p.DUPLICATE_SHARE), round(total * p.MALFORMED_SHARE)


def deliver(
    rng: Rng, documents: Sequence[Document], time_ms: Ints, window: Window, *, duplicates: int, malformed: int
) -> Deliveries:
    """Sends every document once, `duplicates` of them again, and `malformed` broken ones between them.

    Lateness changes the sending order alone: a late event comes hours to days of other events after its time.
    """
    count = len(documents)
    is_late = draws.happens(rng, count, p.LATE_SHARE)
    transit_ms = (2 * p.SECOND_MS * np.exp(rng.standard_normal(count))).astype(np.int64)
    late_ms = rng.integers(p.LATE_MIN_MS, p.LATE_MAX_MS, size=count)
    arrival_ms = time_ms + np.where(is_late, late_ms, transit_ms)

    again = rng.integers(0, count, size=duplicates) if count else np.zeros(0, dtype=np.int64)
    soon_ms = rng.integers(p.SECOND_MS, p.MINUTE_MS, size=duplicates)
    days_later_ms = rng.integers(p.DAY_MS, 2 * p.DAY_MS, size=duplicates)
    again_ms = arrival_ms[again] + np.where(draws.happens(rng, duplicates, 0.9), soon_ms, days_later_ms)

    broken, kinds, broken_ms = _malformed(rng, documents, arrival_ms, window, malformed)
    lines = [orjson.dumps(document) for document in documents]
    lines += [lines[index] for index in again.tolist()] + broken
    order = np.argsort(np.concatenate([arrival_ms, again_ms, broken_ms]), kind="stable")
    return Deliveries([lines[index] for index in order.tolist()], int(is_late.sum()), duplicates, kinds)


def _malformed(
    rng: Rng, documents: Sequence[Document], arrival_ms: Ints, window: Window, count: int
) -> tuple[list[bytes], dict[str, int], Ints]:
    """Broken copies of valid events under new ids, so that no fact of the world goes missing."""
    if not documents:
        return [], {}, np.zeros(0, dtype=np.int64)
    victims = rng.integers(0, len(documents), size=count)
    ids = draws.uuids(rng, count).tolist()
    kinds = [p.MALFORMED_KINDS[index % len(p.MALFORMED_KINDS)] for index in range(count)]
    old = draws.rfc3339(np.asarray([window.start_ms - p.TOO_OLD_DAYS * p.DAY_MS], dtype=np.int64))[0]
    lines = [
        orjson.dumps(_break(documents[victim] | {"eventId": event_id}, kind, old))
        for victim, event_id, kind in zip(victims.tolist(), ids, kinds, strict=True)
    ]
    return lines, dict(sorted(Counter(kinds).items())), arrival_ms[victims]


def _break(document: Document, kind: str, old_timestamp: str) -> Document:
    """One fault per event: the door must name it."""
    if kind == "missing_field":
        return {name: value for name, value in document.items() if name != "timestamp"}
    faults: dict[str, Document] = {
        "bad_type": {"appId": 7},
        "unknown_event_type": {"eventType": "teleport"},
        "bad_timestamp": {"timestamp": str(document["timestamp"]).removesuffix("Z")},  # no zone
        "too_old": {"timestamp": old_timestamp},
        "unknown_field": {"favouriteColour": "blue"},
    }
    return document | faults[kind]
