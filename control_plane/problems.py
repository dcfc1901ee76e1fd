"""RFC 9457 problem documents: every error of this service leaves through here.

Which domain error means which status is one table; details never repeat what the client sent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

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
    UnMoGrowPError,
    UserExistsError,
    UserNotFoundError,
    UsersQuotaError,
)
from resources.failure_brake import TooManyFailuresError

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

log = logging.getLogger("control_plane")

# the first row whose class matches decides
STATUS_OF_ERROR: Sequence[tuple[type[UnMoGrowPError], int, str]] = (
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


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    pointer: str = Field(description="where: a JSON pointer, or the parameter's name", examples=["/plan"])
    reason: str = Field(examples=["Input should be 'starter', 'standard' or 'enterprise'"])


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = Field(default_factory=list)


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response that says what went wrong."""
    document = Problem(title=title, status=status, detail=detail, errors=list(errors))
    body = document.model_dump(exclude={"errors"} if not errors else None)
    return JSONResponse(body, status_code=status, media_type=CONTENT_TYPE, headers=dict(headers or {}))


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
    app.add_exception_handler(UnMoGrowPError, _of_domain_error)
    app.add_exception_handler(RequestValidationError, _of_validation_error)
    app.add_exception_handler(HTTPException, _of_http_exception)
    app.add_exception_handler(Exception, _of_surprise)


def _of_domain_error(_request: Request, error: Exception) -> JSONResponse:
    for kind, status, title in STATUS_OF_ERROR:
        if isinstance(error, kind):
            return problem(status, title, str(error), errors=_fields(error), headers=_headers(error, status))
    return _of_surprise(_request, error)


def _headers(error: Exception, status: int) -> dict[str, str]:
    """What an error's status calls for."""
    if isinstance(error, TooManyFailuresError | QuotaExceededError):
        return {"Retry-After": str(error.retry_after_s)}
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_AFTER_S)}}
    return headers.get(status, {})


def _fields(error: Exception) -> list[FieldProblem]:
    """The place inside the request that a domain error names."""
    if isinstance(error, ConversionSchemaError):
        return [FieldProblem(pointer=f"/document{error.pointer}", reason=str(error))]
    if isinstance(error, QuotaExceededError):
        return [FieldProblem(pointer=f"quota:{error.quota}", reason=str(error))]
    return []


def _of_validation_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        return _of_surprise(_request, error)
    fields = [FieldProblem(pointer=_pointer(one["loc"]), reason=str(one["msg"])) for one in error.errors()]
    if any(one["type"] == "json_invalid" for one in error.errors()):
        return problem(400, "The body is not JSON", "the body could not be read; send one JSON object")
    detail = f"{len(fields)} field(s) do not follow the contract; see errors"
    return problem(422, "The request is not valid", detail, errors=fields)


def _of_http_exception(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        return _of_surprise(_request, error)
    return problem(error.status_code, str(error.detail), str(error.detail), headers=error.headers)


def _of_surprise(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__, exc_info=error)
    return problem(500, "Internal error", "the request failed for a reason of ours; it is in the log")


def _pointer(location: Sequence[int | str]) -> str:
    source, *path = location
    if source == "body":
        return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
    return f"{source}:{'.'.join(str(part) for part in path)}"
