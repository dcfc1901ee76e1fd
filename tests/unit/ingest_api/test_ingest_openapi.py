"""The committed OpenAPI description of the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_api.openapi import OPENAPI_FILE, openapi_json

if TYPE_CHECKING:
    from tests.support.door import RunningDoor


def test_the_committed_openapi_is_the_doors(door: RunningDoor) -> None:
    assert OPENAPI_FILE.read_text() == openapi_json(), "run python -m ingest_api.openapi"
    document = door.client.get("/openapi.json").json()
    assert document["paths"]["/metrics"]["get"]["security"] == [{"metricsToken": []}]
