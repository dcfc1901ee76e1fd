"""Writes `schemas/openapi/tenant_plane.json`: `python -m tenant_plane.openapi`. A test diffs it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from pydantic import SecretStr

from resources.plane_settings import TenantPlaneSettings
from resources.settings import APPLICATION_ROOT
from tenant_plane.app import create_app

OPENAPI_FILE = APPLICATION_ROOT / "schemas" / "openapi" / "tenant_plane.json"


def openapi_json(home: Path) -> str:
    """The document of a plane that is never started: nothing is written to `home`."""
    unused = SecretStr("x" * 32)
    settings = TenantPlaneSettings(
        id="t123",
        home=home,
        port=1,
        ingest_url="http://127.0.0.1:9",
        ingest_token=unused,
        service_token=unused,
        signing_key=unused,
        admin_password_hash=unused,
        session_key=unused,
    )
    return json.dumps(create_app(settings).openapi(), indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as home:
        OPENAPI_FILE.write_text(openapi_json(Path(home)))


if __name__ == "__main__":
    main()
