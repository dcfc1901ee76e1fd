"""What the door says now about a delivery it refused: opened, judged in every contract version. Pure.

A row of raw.quarantine holds one delivery, byte for byte. Two kinds hold a whole body instead: one that could not
be read (it may have been compressed), judged as the one event it should have been; and one that the door took and
the lander could not read (`unlandable`), which falls into its deliveries again, accepted and refused, as at the
door. The contract version that a row was sent under is not kept: the first one that takes it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingest_api import reasons
from ingest_api.bodies import BodyTooLargeError, BodyUnreadableError, parsed, raw_deliveries, unpacked
from ingest_api.contracts import ACCEPTED, QUARANTINED, EventLimits, Judge, Verdict
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, Rejection
from ingest_api.replay_claims import Claim
from ingest_api.timestamps import parse_timestamp
from schemas import event_versions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from ingest_api.bodies import Deliveries
    from resources.settings import Settings

UNLANDABLE = "unlandable"  # the lander's reason code
# no JSON begins like this
_MAGIC = {b"\x1f\x8b": BodyEncoding.GZIP, b"\x28\xb5\x2f\xfd": BodyEncoding.ZSTD}


@dataclass(frozen=True)
class Opened:
    """One row of raw.quarantine and what the door says to it now.

    `raws` are its deliveries' bytes, `verdicts` one for each, `events` (id, UTC day) of those accepted.
    """

    quarantine_id: str
    quarantined_at: dt.datetime
    version: str
    raws: Sequence[bytes]
    verdicts: Sequence[Verdict]
    events: Sequence[tuple[str, dt.date]]

    @property
    def size_bytes(self) -> int:
        """Of all its deliveries."""
        return sum(map(len, self.raws))

    @property
    def refusal(self) -> Verdict:
        """Why it is refused, of a row without an accepted event."""
        return self.verdicts[0]

    def rejections(self, offset: int) -> list[Rejection]:
        """Of its refused deliveries, when the first of them is number `offset` of a record."""
        return [
            Rejection(offset + verdict.at, verdict.code, verdict.pointer, verdict.reason)
            for verdict in self.verdicts
            if verdict.status == QUARANTINED
        ]

    def claims(self, received_at: dt.datetime, claimed_at: dt.datetime) -> list[Claim]:
        """What a replay claims before it sends the row: its accepted events."""
        return [
            Claim(self.quarantined_at, self.quarantine_id, event_id, date, received_at, claimed_at)
            for event_id, date in self.events
        ]


class ReplayJudge:
    """Judges one tenant's refused deliveries by the door's `Judge`."""

    def __init__(self, settings: Settings, tenant_id: str) -> None:
        limits = EventLimits.of(settings)
        self._judges = [Judge(limits, version) for version in event_versions()]
        self._tenant_id = tenant_id
        self._unpacked_max_bytes = settings.body_max_unpacked_bytes

    def opened(self, row: dict[str, Any], body: bytes, now: dt.datetime) -> Opened:
        """The row's deliveries and their verdicts as of `now`, in the version that accepts most of them."""
        try:
            raws, deliveries = self._deliveries(row["reason_code"], body)
        except BodyUnreadableError as error:
            verdict = Verdict(0, None, QUARANTINED, error.code, "", str(error))
            return Opened(row["quarantine_id"], row["received_at"], "", [body], [verdict], [])
        version, verdicts = self._judged(row, raws, deliveries, now)
        events = [
            (event["eventId"].lower(), parse_timestamp(event["timestamp"]).date())
            for event, verdict in zip(deliveries.events, verdicts, strict=True)
            if verdict.status == ACCEPTED
        ]
        return Opened(row["quarantine_id"], row["received_at"], version, raws, verdicts, events)

    def _judged(
        self, row: dict[str, Any], raws: list[bytes], deliveries: Deliveries, now: dt.datetime
    ) -> tuple[str, list[Verdict]]:
        """The contract version that accepts most, and its verdicts; the first one that accepts all will do."""
        tried: list[tuple[tuple[int, bool], str, list[Verdict]]] = []
        for judge in self._judges:
            verdicts = judge.verdicts(self._tenant_id, deliveries.events, raws, deliveries.unparsed, now)
            tried.append((_fitness(verdicts, row), judge.version, verdicts))
            if all(verdict.status == ACCEPTED for verdict in verdicts):
                break
        _, version, verdicts = max(tried, key=lambda one: one[0])
        return version, verdicts

    def _deliveries(self, reason_code: str, body: bytes) -> tuple[list[bytes], Deliveries]:
        """The bytes and the parsed form of each delivery of a row.

        Raises:
            BodyUnreadableError: it is no JSON.
        """
        plain = self._unpacked(body)
        body_format = _format_of(plain) if reason_code == UNLANDABLE else BodyFormat.JSON
        deliveries = parsed(plain, body_format)
        return raw_deliveries(plain, body_format), deliveries

    def _unpacked(self, body: bytes) -> bytes:
        for magic, encoding in _MAGIC.items():
            if body.startswith(magic):
                try:
                    return unpacked(body, encoding, self._unpacked_max_bytes)
                except BodyTooLargeError:
                    raise BodyUnreadableError(
                        "unpacked, the body is over the door's limit", reasons.EVENT_TOO_LARGE
                    ) from None
        return body


def _fitness(verdicts: Sequence[Verdict], row: dict[str, Any]) -> tuple[int, bool]:
    """Most accepted first; among those that refuse, the version whose reason is the one it was refused for."""
    accepted = sum(verdict.status == ACCEPTED for verdict in verdicts)
    was = (row["reason_code"], row["pointer"])
    return accepted, any((verdict.code, verdict.pointer) == was for verdict in verdicts)


def _format_of(plain: bytes) -> BodyFormat:
    """How a whole body falls into deliveries: as the lander would have read it."""
    if plain.lstrip().startswith(b"["):
        return BodyFormat.ARRAY
    try:
        parsed(plain, BodyFormat.JSON)
    except BodyUnreadableError:
        return BodyFormat.NDJSON
    return BodyFormat.JSON
