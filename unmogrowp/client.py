"""The SDK's public names: `from unmogrowp.client import Client` (threads) or `AsyncClient` (asyncio).

Belongs here: names that users import, and nothing else.
"""

from unmogrowp.async_client import AsyncClient
from unmogrowp.base import CONNECTIONS
from unmogrowp.batching import (
    BATCH_BYTES,
    BATCH_EVENTS,
    Batch,
    BatchAnswer,
    Refusal,
    SendReport,
    batched,
)
from unmogrowp.engine import Stats
from unmogrowp.errors import (
    AuthenticationError,
    BufferFullError,
    BufferLockedError,
    ClientError,
    ClosedError,
    ConfigurationError,
    DoorUnavailableError,
    ForbiddenError,
    InvalidEventError,
    PermanentError,
    ProtocolError,
    RefusedError,
    RetryableError,
    TooLargeError,
)
from unmogrowp.sync_client import Client
from unmogrowp.transport import Reply
from unmogrowp.waiting import RefusedBody

__all__ = [
    "BATCH_BYTES",
    "BATCH_EVENTS",
    "CONNECTIONS",
    "AsyncClient",
    "AuthenticationError",
    "Batch",
    "BatchAnswer",
    "BufferFullError",
    "BufferLockedError",
    "Client",
    "ClientError",
    "ClosedError",
    "ConfigurationError",
    "DoorUnavailableError",
    "ForbiddenError",
    "InvalidEventError",
    "PermanentError",
    "ProtocolError",
    "Refusal",
    "RefusedBody",
    "RefusedError",
    "Reply",
    "RetryableError",
    "SendReport",
    "Stats",
    "TooLargeError",
    "batched",
]
