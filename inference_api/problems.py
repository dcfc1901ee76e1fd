"""Which domain error means which status here, and how routes document them. The documents: `resources.serving`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from resources.errors import (
    ArtifactCorruptError,
    AuthenticationError,
    AuthorizationError,
    ContractError,
    ModelNotFoundError,
    RetryableError,
)
from resources.serving import problems
from resources.serving.problems import CONTENT_TYPE, Problem, StatusTable

STATUS_OF_ERROR: StatusTable = (
    (AuthenticationError, 401, "Not authenticated"),
    (AuthorizationError, 403, "Not allowed"),
    (ModelNotFoundError, 404, "No model"),
    (ContractError, 422, "The request is not valid"),
    (ArtifactCorruptError, 503, "The model cannot be served"),
    (RetryableError, 503, "Not now"),
)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries of the errors a route can answer with."""
    content = {CONTENT_TYPE: {"schema": Problem.model_json_schema()}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""
    problems.install(app, STATUS_OF_ERROR)
