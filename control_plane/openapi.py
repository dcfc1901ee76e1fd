"""Writes `schemas/openapi/control_plane.json`: `python -m control_plane.openapi`. A test diffs it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from fastapi import FastAPI

from control_plane.app import create_app
from resources.registry import Registry
from resources.settings import APPLICATION_ROOT, Settings

OPENAPI_FILE = APPLICATION_ROOT / "schemas" / "openapi" / "control_plane.json"


def write_openapi(app: FastAPI, path: Path) -> None:
    """Write the app's OpenAPI description: sorted keys, so that a diff shows only the change."""
    path.write_text(json.dumps(app.openapi(), indent=2, sort_keys=True) + "\n")


def main() -> None:
    """Write the file from an app over an empty home."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        write_openapi(create_app(settings, Registry.from_settings(settings)), OPENAPI_FILE)


if __name__ == "__main__":
    main()
