"""One request to a stranger's server: to the address that was looked at, no redirect, a little of the answer.

What is sent and what an answer means, `webhooks` and `buckets` say; repeating it is `attempts`'.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.destinations.addresses import Target, resolved
from resources.destinations.attempts import NotTakenError, retry_after_s
from resources.errors import DeliveryRefusedError

if TYPE_CHECKING:
    import httpx

    from resources.destination_settings import DestinationSettings

ANSWER_MAX_BYTES = 64 * 1024  # S3's answers are a few hundred bytes, a webhook's are not read at all
CONNECT_TIMEOUT_S = 5.0
RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; at most ANSWER_MAX_BYTES of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Sends requests under these settings. Holds no connection between requests."""

    def __init__(self, settings: DestinationSettings) -> None:
        self.settings = settings

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request and its answer, whatever the status.

        Raises:
            DestinationError: the address may not be sent to.
            NotTakenError: it cannot be reached, or the whole took longer than `timeout_s`.
        """
        import httpx  # noqa: PLC0415 - 0.3 s of import, wanted only where something is sent

        target = resolved(url, self.settings.allowed_hosts)
        deadline_s = time.monotonic() + self.settings.timeout_s
        timeout = httpx.Timeout(self.settings.timeout_s, connect=CONNECT_TIMEOUT_S)
        try:
            with httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False) as client:
                request = _request(client, method, target, headers, body)
                answer = client.send(request, stream=True)
                try:
                    content = _beginning(answer, deadline_s)
                finally:
                    answer.close()
                return Answer(answer.status_code, dict(answer.headers), content)
        except httpx.TimeoutException as error:
            raise _timeout(target.host) from error
        except httpx.TransportError as error:
            raise NotTakenError(f"{target.host} cannot be reached: {type(error).__name__}") from error


def check_taken(answer: Answer, host: str) -> None:
    """Pass when the receiver took what was sent.

    Raises:
        NotTakenError: it may take it later.
        DeliveryRefusedError: it says no, or sends elsewhere.
    """
    if answer.status // 100 == 2:  # noqa: PLR2004 - 2xx
        return
    if answer.status in RETRYABLE_STATUSES:
        wait_s = retry_after_s(answer.headers.get("retry-after"))
        raise NotTakenError(f"{host} answered {answer.status}", retry_after_s=wait_s)
    if answer.status // 100 == 3:  # noqa: PLR2004 - 3xx
        raise DeliveryRefusedError(
            f"{host} answered {answer.status}: redirects are not followed; register the address it leads to"
        )
    raise DeliveryRefusedError(f"{host} refused with {answer.status}")


def _request(
    client: httpx.Client, method: str, target: Target, headers: Mapping[str, str], body: bytes
) -> httpx.Request:
    """The request to the address itself; the name goes into `Host`, and into TLS, which checks it."""
    import httpx  # noqa: PLC0415 - as above

    url = httpx.URL(target.url)
    sent = {**headers, "Host": url.netloc.decode(), "Content-Length": str(len(body))}
    extensions = {"sni_hostname": target.host} if url.scheme == "https" else {}
    return client.build_request(
        method, url.copy_with(host=target.address), headers=sent, content=body, extensions=extensions
    )


def _beginning(answer: httpx.Response, deadline_s: float) -> bytes:
    """The body's first bytes; a receiver that answers a byte a minute runs into the deadline."""
    content = b""
    for piece in answer.iter_raw():
        content += piece
        if len(content) >= ANSWER_MAX_BYTES:
            break
        if time.monotonic() > deadline_s:
            raise _timeout(answer.url.host)
    return content[:ANSWER_MAX_BYTES]


def _timeout(host: str) -> NotTakenError:
    return NotTakenError(f"{host} did not answer in time", is_timeout=True)
