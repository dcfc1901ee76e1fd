"""What can go wrong for an SDK user: each error is permanent or retryable, and its sentence names the way out.

Belongs here: the exceptions and what they carry. A permanent error fails the same way again without a change;
a retryable one may pass later. Decide by type, never by reading the text.
"""

from __future__ import annotations

from collections.abc import Sequence


class ClientError(Exception):
    """Base of every error the SDK raises on purpose.

    `status` is the door's, where it answered; `events` are the lines that a closing client without a buffer
    directory could not send.
    """

    def __init__(self, sentence: str, *, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.events: Sequence[bytes] = ()


class PermanentError(ClientError):
    """Trying again without a change gives the same answer."""


class RetryableError(ClientError):
    """The same call may succeed later."""


class ConfigurationError(PermanentError):
    """The client was made with a URL, tenant id, token or limit that cannot work."""


class ClosedError(PermanentError):
    """The client is closed, or was made in another process."""


class InvalidEventError(PermanentError):
    """The event cannot be sent as it is: nothing of it was taken."""


class AuthenticationError(PermanentError):
    """401: the door does not know the token. What waits keeps waiting for a client with a good one."""


class ForbiddenError(PermanentError):
    """403: token, X-Tenant-ID and tenantId do not name one tenant. What waits keeps waiting."""


class ProtocolError(PermanentError):
    """The answer is not the one the door's OpenAPI document promises: wrong address, or wrong version."""


class RefusedError(PermanentError):
    """400, 413, 422: the door will never take these bytes. They are kept for the caller."""

    def __init__(self, sentence: str, *, status: int | None = None, answer: str = "") -> None:
        super().__init__(sentence, status=status)
        self.answer = answer


class TooLargeError(RefusedError):
    """413: the body is too large, or holds too many events. Less at a time may pass."""


class BufferLockedError(PermanentError):
    """Another client owns the buffer directory."""


class DoorUnavailableError(RetryableError):
    """The door did not answer, or said "not now" and perhaps when to come back."""

    def __init__(
        self, sentence: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(sentence, status=status)
        self.retry_after_s = retry_after_s


class BufferFullError(RetryableError):
    """The budget of waiting bytes is used up, or the disk is full: the event was not taken."""
