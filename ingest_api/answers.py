"""What the door says back: per-event answers and RFC 9457 problems, as status, headers and bytes. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ingest_api.contracts import ACCEPTED, QUARANTINED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest_api.contracts import Verdict

PROBLEM_TYPE = b"application/problem+json"
RETRY_AFTER_S = 5  # the lander's interval: by then a full log may have room


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers as ASGI wants them."""
        length = str(len(self.body)).encode()
        return [(b"content-type", self.content_type), (b"content-length", length), *self.headers]


class ProblemError(Exception):
    """A request that is answered with a problem document."""

    def __init__(self, status: int, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.members = members

    def answer(self) -> Answer:
        """The problem as a response."""
        return problem(self.status, self.code, str(self), **self.members)


def problem(status: int, code: str, detail: str, **members: Any) -> Answer:
    """An RFC 9457 problem; 429 and 503 say when to come back."""
    document = {
        "type": f"urn:unmogrowp:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **members,
    }
    headers: list[tuple[bytes, bytes]] = []
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="unmogrowp ingest"'))
    return Answer(status, orjson.dumps(document), PROBLEM_TYPE, tuple(headers))


def single_accepted(event_id: str) -> Answer:
    """202 for one event. Its id is a valid uuid in lower case, so it needs no escaping."""
    return Answer(HTTPStatus.ACCEPTED, f'{{"eventId":"{event_id}","status":"accepted"}}'.encode())


def single_refused(verdict: Verdict) -> Answer:
    """422 (403 for another tenant's event): it is in quarantine, with this reason."""
    status = HTTPStatus.FORBIDDEN if verdict.code == "tenant_mismatch" else HTTPStatus.UNPROCESSABLE_ENTITY
    return problem(
        status,
        verdict.code,
        verdict.reason,
        pointer=verdict.pointer,
        eventId=verdict.event_id,
        quarantined=True,
    )


def batch_all_accepted(event_ids: Sequence[str]) -> Answer:
    """202 for a batch without fault. The ids are valid uuids in lower case, so they need no escaping."""
    between = '","status":"accepted"},{"eventId":"'
    rows = f'{{"eventId":"{between.join(event_ids)}","status":"accepted"}}' if event_ids else ""
    text = f'{{"accepted":{len(event_ids)},"quarantined":0,"events":[{rows}]}}'
    return Answer(HTTPStatus.ACCEPTED, text.encode())


def batch_judged(verdicts: Sequence[Verdict]) -> Answer:
    """202 for a batch in which something is quarantined: every event's verdict, in the order sent."""
    rows = [
        {"eventId": verdict.event_id, "status": ACCEPTED}
        if verdict.status == ACCEPTED
        else {
            "eventId": verdict.event_id,
            "status": QUARANTINED,
            "code": verdict.code,
            "pointer": verdict.pointer,
            "reason": verdict.reason,
        }
        for verdict in verdicts
    ]
    quarantined = sum(verdict.status == QUARANTINED for verdict in verdicts)
    document = {"accepted": len(verdicts) - quarantined, "quarantined": quarantined, "events": rows}
    return Answer(HTTPStatus.ACCEPTED, orjson.dumps(document))
