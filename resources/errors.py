"""The domain's exceptions: each is permanent or retryable, and its message names the way out.

A permanent error will fail the same way again (bad input, wrong state); a retryable one may pass later
(a server away, a commit lost). Callers decide by type, never by reading the text.
"""

from datetime import datetime


class UnMoGrowPError(Exception):
    """Base of every error this project raises on purpose."""


class PermanentError(UnMoGrowPError):
    """Trying again without a change gives the same answer."""


class RetryableError(UnMoGrowPError):
    """The same call may succeed later."""


class SettingsError(PermanentError):
    """A setting is missing or contradicts another."""


class TenantNotFoundError(PermanentError):
    """No tenant of that id is in the registry."""


class TenantStateError(PermanentError):
    """The tenant's state does not allow the requested transition."""


class UserNotFoundError(PermanentError):
    """No user of that name is in the registry, or none that the caller may know of."""


class UserExistsError(PermanentError):
    """A user of that name is there already."""


class LastAdminError(PermanentError):
    """Nobody would be left who administers the platform."""


class AuditTrailError(PermanentError):
    """The audit trail is not as it was written: nothing is written behind it until somebody has looked."""


class IdempotencyKeyError(PermanentError):
    """The idempotency key is malformed, or was used for another request."""


class RequestInFlightError(PermanentError):
    """The same request is being done right now; ask again in a moment for its answer."""


class RuleVersionNotFoundError(PermanentError):
    """The tenant's rules have no version of that number."""


class RulesChangedError(PermanentError):
    """Somebody else's version came between: look at it, then decide again."""


class TraceNotFoundError(PermanentError):
    """The tenant's marts hold no conversion of that id."""


class DestinationNotFoundError(PermanentError):
    """The tenant has no destination of that id."""


class DestinationError(PermanentError):
    """A destination's address or config is not one that may be sent to."""


class DeliveryNotFoundError(PermanentError):
    """The tenant has no undelivered export of that id."""


class DeliveryRefusedError(PermanentError):
    """The receiver looked at a delivery and said no: it says so again until something changes there."""


class MixedTenantsError(PermanentError):
    """A run or a call holds keys of more than one tenant."""


class AuthenticationError(PermanentError):
    """The credential is missing, unknown or revoked."""


class AuthorizationError(PermanentError):
    """The credential is valid and does not allow this."""


class ContractError(PermanentError):
    """Data or schema does not match its contract."""


class DirectoryLockedError(PermanentError):
    """Another process owns this data directory."""


class NotEnoughDataError(PermanentError):
    """There are too few rows to do this honestly."""


class ModelNotFoundError(PermanentError):
    """No registered model answers to that name and alias."""


class ArtifactCorruptError(PermanentError):
    """A stored artifact's checksum is not the recorded one."""


class ServiceUnavailableError(RetryableError):
    """A server did not answer, or answered that it cannot now."""


class CircuitOpenError(ServiceUnavailableError):
    """The receiver has failed too often lately, and nothing was sent; from `retry_at` (UTC) on it is tried again."""

    def __init__(self, message: str, retry_at: datetime) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class EventLogFullError(RetryableError):
    """The event log's disk budget is used up: land or enlarge before taking more."""


class LanderBehindError(EventLogFullError):
    """The event log has room, and holds more that has not landed than it may: come back a little later."""


class SnapshotExpiredError(PermanentError):
    """That snapshot of the table is no longer kept, and what it held cannot be told."""


class RecordTooLargeError(PermanentError):
    """The event log takes no record of this size; smaller ones it takes."""


class LogTruncatedError(PermanentError):
    """The event log ends before what has landed from it: it is not the log it was."""


class QuotaExceededError(RetryableError):
    """The tenant has used up a quota; its name, and when to come back."""

    def __init__(self, message: str, quota: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.quota = quota
        self.retry_after_s = retry_after_s


class InvoiceNotFoundError(PermanentError):
    """The tenant has no invoice for that month."""


class UsersQuotaError(PermanentError):
    """The tenant has as many users as it may have."""


class CommitConflictError(RetryableError):
    """A concurrent commit won; re-read and recompute."""


class PostbackError(PermanentError):
    """A SKAdNetwork postback that is not to be counted: its message, what kind of fault, and where (a pointer)."""

    def __init__(self, message: str, code: str, pointer: str) -> None:
        super().__init__(message)
        self.code = code
        self.pointer = pointer


class UnsupportedPostbackError(PostbackError):
    """The postback is of a SKAdNetwork version that we cannot verify."""


class PostbackFieldError(PostbackError):
    """A field of the postback is missing, holds what it may not, or belongs to another version."""


class PostbackSignatureError(PostbackError):
    """Apple did not sign what the postback says."""


class MalformedSignatureError(PostbackSignatureError):
    """The postback's signature is no base64 of a DER-encoded ECDSA signature."""


class ConversionSchemaError(ContractError):
    """A tenant's document of what conversion values stand for is not valid, or is of another app; where (a pointer)."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer
