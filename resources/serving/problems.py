"""RFC 9457 problem documents, the same from every service of the global plane.

Which domain error means which status is each service's table; details never repeat what the client sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from resources.errors import QuotaExceededError, UnMoGrowPError
from resources.failure_brake import TooManyFailuresError

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

# the first row whose class matches decides
StatusTable = Sequence[tuple[type[UnMoGrowPError], int, str]]

log = logging.getLogger(__name__)


class FieldProblem(BaseModel):
    """What is wrong with one field; the value itself is never repeated."""

    pointer: str = Field(description="where: a JSON pointer, or the parameter's name", examples=["/plan"])
    reason: str = Field(examples=["Input should be 'starter', 'standard' or 'enterprise'"])


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = Field(default_factory=list)


FieldsOf = Callable[[Exception], Sequence[FieldProblem]]


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


def install(app: FastAPI, statuses: StatusTable, fields_of: FieldsOf = lambda _: ()) -> None:
    """Make `app` answer every error with a problem document; `fields_of` finds the place a domain error names."""

    def of_domain_error(request: Request, error: Exception) -> JSONResponse:
        for kind, status, title in statuses:
            if isinstance(error, kind):
                headers = _headers(error, status)
                return problem(status, title, str(error), errors=fields_of(error), headers=headers)
        return _of_surprise(request, error)

    app.add_exception_handler(UnMoGrowPError, of_domain_error)
    app.add_exception_handler(RequestValidationError, _of_validation_error)
    app.add_exception_handler(HTTPException, _of_http_exception)
    app.add_exception_handler(Exception, _of_surprise)


def _headers(error: Exception, status: int) -> dict[str, str]:
    """What an error's status calls for."""
    if isinstance(error, TooManyFailuresError | QuotaExceededError):
        return {"Retry-After": str(error.retry_after_s)}
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_AFTER_S)}}
    return headers.get(status, {})


def _of_validation_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        return _of_surprise(request, error)
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return problem(400, "The body is not JSON", "the body could not be read; send one JSON object")
    fields = [FieldProblem(pointer=_pointer(one["loc"]), reason=str(one["msg"])) for one in found]
    detail = f"{len(fields)} field(s) do not follow the contract; see errors"
    return problem(422, "The request is not valid", detail, errors=fields)


def _of_http_exception(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        return _of_surprise(request, error)
    return problem(error.status_code, str(error.detail), str(error.detail), headers=error.headers)


def _of_surprise(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__, exc_info=error)
    return problem(500, "Internal error", "the request failed for a reason of ours; it is in the log")


def _pointer(location: Sequence[int | str]) -> str:
    source, *path = location
    if source == "body":
        return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
    return f"{source}:{'.'.join(str(part) for part in path)}"
