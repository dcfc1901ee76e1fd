"""Rows on their way to the door: batches that end with a row, and which rows an answer refuses something of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from cli.importers import Record
from unmogrowp.client import BATCH_BYTES, BATCH_EVENTS, Batch, BatchAnswer


@dataclass(frozen=True)
class RowBatch(Batch):
    """A batch of whole rows; `mark` is the last of them."""

    records: Sequence[Record] = ()

    def refused(self, answer: BatchAnswer) -> Iterator[tuple[Record, str]]:
        """The rows with quarantined events, and what the door says of these."""
        reasons = {refusal.at: f"{refusal.code} {refusal.reason}" for refusal in answer.refused}
        position = 0
        for record in self.records:
            places = range(position, position + len(record.lines))
            position = places.stop
            told = [f"{_type_of(self.lines[at])}: {reasons[at]}" for at in places if at in reasons]
            if told:
                yield record, f"quarantined {'; '.join(told)}"


def whole_rows(
    records: Iterable[Record],
    rejected: Callable[[Record], None],
    max_events: int = BATCH_EVENTS,
    max_bytes: int = BATCH_BYTES,
) -> Iterator[RowBatch]:
    """The records' events in batches; a record without events goes to `rejected` when its turn comes."""
    part: list[Record] = []
    events = size_bytes = 0
    for record in records:
        if not record.lines:
            rejected(record)
            continue
        record_bytes = sum(map(len, record.lines)) + len(record.lines)
        if part and (events >= max_events or size_bytes + record_bytes > max_bytes):
            yield _batch(part)
            part, events, size_bytes = [], 0, 0
        part.append(record)
        events += len(record.lines)
        size_bytes += record_bytes
    if part:
        yield _batch(part)


def _batch(records: list[Record]) -> RowBatch:
    return RowBatch([line for record in records for line in record.lines], records[-1].row, records)


def _type_of(line: bytes) -> str:
    """The event's type, as far as it can be told."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return "line"
    return str(event.get("eventType", "install")) if isinstance(event, dict) else "line"
