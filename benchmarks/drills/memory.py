"""What a sender remembers of its deliveries: what it sent, how often, and what it was told. No network here.

Grain: a delivery is one event (or one body that is no JSON) in one request. A request whose answer never came
may or may not have been taken; sent again, its events are in the lake once per request that was taken.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
import zstandard

from benchmarks.traffic import make_events
from ingest_api.event_log.protocol import BodyFormat

Key = tuple[str, str]  # tenant, event id; of a body that is no JSON its text

# Every so-many-th event of a request that is to hold faults; the rest of it is good.
FAULT_EVERY = 7


class Delivery(NamedTuple):
    """One request: its body as bytes and every event in it."""

    tenant_id: str
    format: BodyFormat
    body: bytes
    good: tuple[str, ...]
    bad: tuple[str, ...]
    is_packed: bool = False

    @property
    def path(self) -> str:
        """Where it is posted."""
        return "/v1/events/ingest" if self.format is BodyFormat.JSON else "/v1/events/batch"

    @property
    def headers(self) -> str:
        """Content headers."""
        kind = "application/x-ndjson" if self.format is BodyFormat.NDJSON else "application/json"
        return f"Content-Type: {kind}\r\n" + ("Content-Encoding: zstd\r\n" if self.is_packed else "")


@dataclass
class Memory:
    """Everything sent and everything answered, by delivery."""

    sent: Counter[Key] = field(default_factory=Counter)  # requests that held it
    accepted: Counter[Key] = field(default_factory=Counter)  # ... whose answer said so
    refused: Counter[Key] = field(default_factory=Counter)
    turned_away: Counter[Key] = field(default_factory=Counter)  # ... said that nothing was taken
    good: set[Key] = field(default_factory=set)
    bad: set[Key] = field(default_factory=set)
    requests: int = 0
    answered: int = 0
    unanswered: int = 0
    retries: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)  # answers that contradict the contract
    problems: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)  # status → head, body of the last

    def sending(self, delivery: Delivery, *, is_retry: bool) -> None:
        """A request goes out."""
        self.requests += 1
        self.retries += is_retry
        for ids, kind in ((delivery.good, self.good), (delivery.bad, self.bad)):
            keys = [(delivery.tenant_id, event_id) for event_id in ids]
            self.sent.update(keys)
            kind.update(keys)

    def heard(self, delivery: Delivery, status: int, head: bytes, body: bytes) -> None:
        """Its answer came, whole."""
        self.answered += 1
        self.statuses[status] += 1
        tenant = delivery.tenant_id
        if status == 202 and delivery.format is not BodyFormat.JSON:
            verdicts = {event["eventId"]: event["status"] for event in orjson.loads(body)["events"]}
            expected = dict.fromkeys(delivery.good, "accepted") | dict.fromkeys(delivery.bad, "quarantined")
            if verdicts != expected:
                self.surprises.append(
                    f"tenant {tenant}: a batch was judged otherwise than its events deserve"
                )
            self.accepted.update((tenant, one) for one, verdict in verdicts.items() if verdict == "accepted")
            self.refused.update((tenant, one) for one, verdict in verdicts.items() if verdict != "accepted")
        elif status == 202 and delivery.good:
            self.accepted.update((tenant, event_id) for event_id in delivery.good)
        elif status in (400, 422) and delivery.bad and orjson.loads(body).get("quarantined"):
            self.refused.update((tenant, event_id) for event_id in delivery.bad)
        elif status in (429, 503):
            self.problems[status] = head, body
            self.turned_away.update((tenant, event_id) for event_id in (*delivery.good, *delivery.bad))
        else:
            self.surprises.append(
                f"tenant {tenant}: {delivery.path} answered {status}: {body[:200].decode()}"
            )


def make_delivery(tenant_id: str, part: int, size: int, *, packs: bool = True) -> Delivery:
    """The delivery number `part`: its shape, its faults and its ids follow from the number alone.

    `packs`: NDJSON is packed, as SDKs send it.
    """
    shape = (BodyFormat.ARRAY, BodyFormat.NDJSON, BodyFormat.NDJSON, BodyFormat.JSON)[part % 4]
    events = make_events(tenant_id, 1 if shape is BodyFormat.JSON else size, part)
    if part % 50 == 49:
        body = b'[{"eventId": "no-json-%d' % part
        return Delivery(tenant_id, BodyFormat.ARRAY, body, (), (body.decode(),))
    good: list[str] = []
    bad: list[str] = []
    for at, event in enumerate(events):
        is_bad = part % 5 == 0 and (at % FAULT_EVERY == 0)
        (bad if is_bad else good).append(orjson.loads(event)["eventId"])
        if is_bad:
            events[at] = event[:-1] + b',"colour":"unknown field"}'
    body = events[0] if shape is BodyFormat.JSON else b"[%s]" % b",".join(events)
    is_packed = packs and shape is BodyFormat.NDJSON
    if shape is BodyFormat.NDJSON:
        lines = b"\n".join(events)
        body = zstandard.compress(lines) if is_packed else lines
    return Delivery(tenant_id, shape, body, tuple(good), tuple(bad), is_packed)
