"""Errors as RFC 9457 `application/problem+json`: which domain error is which status. Nothing else."""

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
    ArtifactCorruptError,
    AuthenticationError,
    AuthorizationError,
    ContractError,
    ModelNotFoundError,
    RetryableError,
    UnMoGrowPError,
)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
LOG = logging.getLogger(__name__)

# the first row whose class matches decides
STATUS_OF_ERROR: Sequence[tuple[type[UnMoGrowPError], int, str]] = (
    (AuthenticationError, 401, "Not authenticated"),
    (AuthorizationError, 403, "Not allowed"),
    (ModelNotFoundError, 404, "No model"),
    (ContractError, 422, "The request is not valid"),
    (ArtifactCorruptError, 503, "The model cannot be served"),
    (RetryableError, 503, "Not now"),
)


class FieldProblem(BaseModel):
    """What is wrong with one field; the value itself is never repeated."""

    pointer: str = Field(description="JSON pointer into the body, or the parameter's name")
    reason: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries of the errors a route can answer with."""
    content = {CONTENT_TYPE: {"schema": Problem.model_json_schema()}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


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
    body = document.model_dump(exclude=None if errors else {"errors"})
    return JSONResponse(body, status_code=status, media_type=CONTENT_TYPE, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""
    app.add_exception_handler(UnMoGrowPError, _of_domain_error)
    app.add_exception_handler(RequestValidationError, _of_validation_error)
    app.add_exception_handler(HTTPException, _of_http_exception)
    app.add_exception_handler(Exception, _of_surprise)


def _of_domain_error(request: Request, error: Exception) -> JSONResponse:
    for kind, status, title in STATUS_OF_ERROR:
        if isinstance(error, kind):
            headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_AFTER_S)}}
            return problem(status, title, str(error), headers=headers.get(status))
    return _of_surprise(request, error)


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
    LOG.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__, exc_info=error)
    return problem(500, "Internal error", "the request failed for a reason of ours; it is in the log")


def _pointer(location: Sequence[int | str]) -> str:
    source, *path = location
    if source == "body":
        return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
    return f"{source}:{'.'.join(str(part) for part in path)}"
