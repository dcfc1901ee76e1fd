"""Batches of NDJSON lines and the door's answer to them. Pure.

Belongs here: cutting lines into batches, halving one, reading a 202, adding answers up. Not here: HTTP
(`transport`, `delivery`), waiting events (`buffer`, `memory`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from unmogrowp.errors import ProtocolError

BATCH_EVENTS = 2_000  # 0.7 MB of usual events, 0.1 MB packed: well under the door's 10,000 events and 10 MiB
BATCH_BYTES = 4 * 1024 * 1024  # for unusually large events


@dataclass(frozen=True)
class Batch:
    """NDJSON lines (without line ends) that travel together; `mark` is the sender's note of progress."""

    lines: Sequence[bytes]
    mark: int = 0

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches that hold the same lines in the same order."""
        middle = len(self.lines) // 2
        return Batch(self.lines[:middle], self.mark), Batch(self.lines[middle:], self.mark)


@dataclass(frozen=True)
class Refusal:
    """One quarantined event: its place in the batch from 0, why, and the line that was sent.

    `event_id` is None where the event has no uuid that the door could read.
    """

    at: int
    code: str
    pointer: str
    reason: str
    event_id: str | None
    event: bytes


@dataclass(frozen=True)
class BatchAnswer:
    """The door's answer to one batch; every event that is not quarantined was accepted."""

    accepted: int
    refused: Sequence[Refusal] = ()

    @property
    def quarantined(self) -> int:
        """How many events are in quarantine."""
        return len(self.refused)

    @property
    def reasons(self) -> Counter[str]:
        """Refusal events by reason code."""
        return Counter(each.code for each in self.refused)

    @property
    def examples(self) -> dict[str, str]:
        """One sentence for each reason code."""
        return {each.code: f"{each.pointer}: {each.reason}" for each in self.refused}

    def followed_by(self, other: BatchAnswer, offset: int) -> BatchAnswer:
        """This answer and that to the lines behind it, which begin at place `offset`."""
        moved = [replace(each, at=each.at + offset) for each in other.refused]
        return BatchAnswer(self.accepted + other.accepted, [*self.refused, *moved])


@dataclass
class SendReport:
    """What became of everything that was sent; sent = accepted + quarantined."""

    sent: int = 0
    accepted: int = 0
    quarantined: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    seconds: float = 0.0

    def add(self, batch: Batch, answer: BatchAnswer) -> None:
        """Counts one acknowledged batch."""
        self.sent += len(batch.lines)
        self.accepted += answer.accepted
        self.quarantined += answer.quarantined
        self.reasons.update(answer.reasons)
        self.examples = {**answer.examples, **self.examples}
        self.requests += 1

    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "sent": self.sent,
            "accepted": self.accepted,
            "quarantined": self.quarantined,
            "reasons": dict(self.reasons.most_common()),
            "examples": self.examples,
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
        }


def batched(
    lines: Iterable[bytes], max_events: int = BATCH_EVENTS, max_bytes: int = BATCH_BYTES
) -> Iterator[Batch]:
    """Lines in batches within both limits, in order; `mark` is the number of lines up to the batch's end."""
    part: list[bytes] = []
    size_bytes = total = 0
    for line in lines:
        if part and (len(part) >= max_events or size_bytes + len(line) + 1 > max_bytes):
            yield Batch(part, total)
            part, size_bytes = [], 0
        part.append(line)
        size_bytes += len(line) + 1
        total += 1
    if part:
        yield Batch(part, total)


def read_answer(body: bytes, lines: Sequence[bytes]) -> BatchAnswer:
    """The door's 202 body, with each quarantined event beside its reason.

    Raises:
        ProtocolError: it is not the answer that the door's OpenAPI document promises, or does not account
            for every line.
    """
    try:
        document = orjson.loads(body)
        verdicts = document["events"]
        refused = [
            Refusal(
                at,
                str(verdict["code"]),
                str(verdict["pointer"]),
                str(verdict["reason"]),
                verdict.get("eventId"),
                lines[at],
            )
            for at, verdict in enumerate(verdicts)
            if verdict["status"] == "quarantined"
        ]
        counts = int(document["accepted"]), int(document["quarantined"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError("an answer that is not the one its /openapi.json promises") from error
    if len(verdicts) != len(lines) or counts != (len(lines) - len(refused), len(refused)):
        raise ProtocolError(f"for {len(verdicts)} of {len(lines)} events")
    return BatchAnswer(counts[0], refused)
