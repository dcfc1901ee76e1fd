"""Which domain error means which status here, and how routes document them. The documents: `resources.serving`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from resources.errors import (
    AuthenticationError,
    AuthorizationError,
    ContractError,
    ConversionSchemaError,
    DeliveryNotFoundError,
    DestinationError,
    DestinationNotFoundError,
    IdempotencyKeyError,
    InvoiceNotFoundError,
    LastAdminError,
    QuotaExceededError,
    RequestInFlightError,
    RetryableError,
    RulesChangedError,
    RuleVersionNotFoundError,
    TenantNotFoundError,
    TenantStateError,
    TraceNotFoundError,
    UserExistsError,
    UserNotFoundError,
    UsersQuotaError,
)
from resources.failure_brake import TooManyFailuresError
from resources.serving import problems
from resources.serving.problems import CONTENT_TYPE, FieldProblem, StatusTable

STATUS_OF_ERROR: StatusTable = (
    (QuotaExceededError, 429, "The quota is used up"),
    (TooManyFailuresError, 429, "Too many failed sign-ins"),
    (AuthenticationError, 401, "Not authenticated"),
    (AuthorizationError, 403, "Not allowed"),
    (TenantNotFoundError, 404, "No such tenant"),
    (RuleVersionNotFoundError, 404, "No such version of the rules"),
    (TraceNotFoundError, 404, "No such trace"),
    (InvoiceNotFoundError, 404, "No such invoice"),
    (UserNotFoundError, 404, "No such user"),
    (DestinationNotFoundError, 404, "No such destination"),
    (DeliveryNotFoundError, 404, "No such delivery"),
    (DestinationError, 422, "The destination may not be sent to"),
    (RulesChangedError, 409, "The rules have changed since"),
    (UsersQuotaError, 409, "The plan allows no more users"),
    (UserExistsError, 409, "The name is taken"),
    (LastAdminError, 409, "Nobody would administer the platform"),
    (RequestInFlightError, 409, "The first request is being done"),
    (IdempotencyKeyError, 422, "The idempotency key does not fit"),
    (TenantStateError, 409, "The tenant's state does not allow this"),
    (ContractError, 422, "The request is not valid"),
    (RetryableError, 503, "Not now"),
)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries of the errors that a route can answer with."""
    titles = {status: title for _, status, title in STATUS_OF_ERROR}
    titles |= {
        400: "The body is not JSON",
        404: "Not found",
        406: "Not in that format",
        413: "The body is too large",
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": titles[status], "content": {CONTENT_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""
    problems.install(app, STATUS_OF_ERROR, _fields)


def _fields(error: Exception) -> list[FieldProblem]:
    """The place inside the request that a domain error names."""
    if isinstance(error, ConversionSchemaError):
        return [FieldProblem(pointer=f"/document{error.pointer}", reason=str(error))]
    if isinstance(error, QuotaExceededError):
        return [FieldProblem(pointer=f"quota:{error.quota}", reason=str(error))]
    return []
