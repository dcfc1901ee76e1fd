"""Writes `schemas/openapi/ingest_api.json`: `python -m ingest_api.openapi`. A test diffs it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from ingest_api.app import create_app
from resources.settings import APPLICATION_ROOT, Settings

OPENAPI_FILE = APPLICATION_ROOT / "schemas" / "openapi" / "ingest_api.json"


def openapi_json() -> str:
    """The door's OpenAPI description as text, sorted keys."""
    with tempfile.TemporaryDirectory() as home:
        document = create_app(Settings(home=Path(home))).api.openapi()
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    OPENAPI_FILE.write_text(openapi_json())
