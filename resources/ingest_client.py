"""A client of the ingest door: batches of NDJSON lines, packed with zstd, sent again until acknowledged.

Belongs here: HTTP, retries and counting. Not here: making events, choosing tokens, keeping progress on disk.
A batch that is sent again carries the same event ids, so the platform counts each event once however often
the network fails between the door's disk and its answer.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import orjson
import zstandard

from resources.errors import AuthenticationError, AuthorizationError, ContractError, ServiceUnavailableError

BATCH_PATH = "/v1/events/batch"
READY_PATH = "/health/ready"
BATCH_EVENTS = 2_000  # 0.7 MB of usual events, 0.1 MB packed: well under the door's 10,000 events and 10 MiB
BATCH_BYTES = 4 * 1024 * 1024  # for unusually large events
CONNECTIONS = 4
RETRY_FOR_S = 60.0  # a door that restarts is back within seconds; longer is for a person to look at
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.2, 5.0
# A door asks the registry again for an unknown key after 0.25 s: one minted a moment ago is known by then.
_FRESH_KEY_S = 1.0
_RETRYABLE_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_ACCEPTED = 202


@dataclass(frozen=True)
class Batch:
    """NDJSON lines (without line ends) that travel together; `mark` is the sender's note of progress."""

    lines: Sequence[bytes]
    mark: int = 0


@dataclass(frozen=True)
class BatchAnswer:
    """The door's answer to one batch: quarantined events by reason code, and one sentence for each code."""

    accepted: int
    quarantined: int
    reasons: Mapping[str, int]
    examples: Mapping[str, str]


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


class IngestClient:
    """Sends one tenant's events through the door at `url`, over a few connections at a time.

    Use it as a context manager. Proxies and other settings of the environment are ignored on purpose.
    """

    def __init__(
        self,
        url: str,
        tenant_id: str,
        token: str,
        *,
        connections: int = CONNECTIONS,
        timeout_s: float = 30.0,
        retry_for_s: float = RETRY_FOR_S,
    ) -> None:
        self.url, self.tenant_id, self.retry_for_s = url.rstrip("/"), tenant_id, retry_for_s
        self._connections = connections
        self._stop = threading.Event()
        self._http = httpx.Client(
            base_url=self.url,
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=connections),
            trust_env=False,
            headers={
                "Authorization": f"Bearer {token}",
                "X-Tenant-ID": tenant_id,
                "Content-Type": "application/x-ndjson",
                "Content-Encoding": "zstd",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._http.close()

    def require_ready(self) -> None:
        """Asks the door once whether it takes events.

        Raises:
            ServiceUnavailableError: it does not answer, or says no.
        """
        try:
            response = self._http.get(READY_PATH, timeout=5.0)
            problem = "" if response.is_success else _problem(response)
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            raise ServiceUnavailableError(
                f"tenant {self.tenant_id}: the door at {self.url} is not ready ({problem}); "
                "start the stack with `unmogrowp up`, then try again"
            )

    def send(
        self, batches: Iterable[Batch], on_acknowledged: Callable[[Batch, BatchAnswer], None] | None = None
    ) -> SendReport:
        """Sends all batches, at most twice as many in memory as there are connections.

        `on_acknowledged` is called in the order of the batches, in this thread: when it sees a batch, that
        batch and all before it are durable.

        Raises:
            AuthenticationError, AuthorizationError, ContractError: the door refuses; nothing more is sent.
            ServiceUnavailableError: the door did not answer for `retry_for_s`.
        """
        report, started_s = SendReport(), time.monotonic()
        waiting: deque[tuple[Batch, Future[BatchAnswer]]] = deque()

        def settle() -> None:
            batch, future = waiting.popleft()
            answer = future.result()
            report.add(batch, answer)
            if on_acknowledged is not None:
                on_acknowledged(batch, answer)

        pool = ThreadPoolExecutor(self._connections, thread_name_prefix="ingest-client")
        try:
            for batch in batches:
                waiting.append((batch, pool.submit(self.send_batch, batch)))
                if len(waiting) >= 2 * self._connections:
                    settle()
            while waiting:
                settle()
        except BaseException:
            self._stop.set()  # threads that wait to try again give up at once
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        report.seconds = time.monotonic() - started_s
        return report

    def send_batch(self, batch: Batch) -> BatchAnswer:
        """Sends one batch until the door acknowledges it; raises as `send` does."""
        body = zstandard.ZstdCompressor(level=3).compress(b"\n".join(batch.lines) + b"\n")
        started_s, backoff_s = time.monotonic(), _BACKOFF_FIRST_S
        while True:
            try:
                response = self._http.post(BATCH_PATH, content=body)
            except httpx.TransportError as error:
                problem, wait_s = f"{type(error).__name__}: {error}", backoff_s
            else:
                if not _may_pass(response, time.monotonic() - started_s):
                    return self._answer(batch, response)
                problem, wait_s = _problem(response), _retry_after_s(response, backoff_s)
            if time.monotonic() + wait_s > started_s + self.retry_for_s or self._stop.wait(wait_s):
                raise ServiceUnavailableError(
                    f"tenant {self.tenant_id}: the door at {self.url} took no batch for "
                    f"{self.retry_for_s:g} s ({problem}); see that it runs, then send the "
                    "same again: known event ids count once"
                )
            # up to half more, so that connections do not come back all together
            backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S) * (1 + secrets.randbelow(500) / 1000)

    def _answer(self, batch: Batch, response: httpx.Response) -> BatchAnswer:
        problem = f"tenant {self.tenant_id}: the door at {self.url} answered {_problem(response)}"
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise AuthenticationError(f"{problem}; use an active ingest token of this tenant")
        if response.status_code == httpx.codes.FORBIDDEN:
            raise AuthorizationError(f"{problem}; token, X-Tenant-ID and tenantId must name one tenant")
        if response.status_code != _ACCEPTED:
            raise ContractError(f"{problem}; correct the events from the first unacknowledged on")
        answer = read_answer(response.content)
        if answer.accepted + answer.quarantined != len(batch.lines):
            raise ContractError(
                f"tenant {self.tenant_id}: the door at {self.url} answered for "
                f"{answer.accepted + answer.quarantined} of {len(batch.lines)} events; check its version"
            )
        return answer


def read_answer(body: bytes) -> BatchAnswer:
    """The door's 202 body as numbers.

    Raises:
        ContractError: it is not the answer that the door's OpenAPI document promises.
    """
    try:
        document = orjson.loads(body)
        refused = [event for event in document["events"] if event["status"] == "quarantined"]
        return BatchAnswer(
            accepted=int(document["accepted"]),
            quarantined=int(document["quarantined"]),
            reasons=Counter(str(event["code"]) for event in refused),
            examples={str(event["code"]): f"{event['pointer']}: {event['reason']}" for event in refused},
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ContractError("the door's answer is not the one its /openapi.json promises") from error


def _may_pass(response: httpx.Response, waited_s: float) -> bool:
    """Whether the same request may succeed later."""
    if response.status_code == httpx.codes.UNAUTHORIZED:
        return waited_s < _FRESH_KEY_S
    return response.status_code in _RETRYABLE_STATUS


def _problem(response: httpx.Response) -> str:
    """Status and, where there is one, the problem document's sentence."""
    try:
        detail = orjson.loads(response.content)["detail"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        detail = response.reason_phrase
    return f"{response.status_code} {detail}"


def _retry_after_s(response: httpx.Response, otherwise_s: float) -> float:
    """The server's wish in seconds, but never at once; dates and nonsense give `otherwise_s`."""
    wish = response.headers.get("Retry-After", "")
    return max(float(wish), _BACKOFF_FIRST_S) if wish.isdecimal() else otherwise_s
