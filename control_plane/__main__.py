"""`python -m control_plane`: migrates the registry and serves on `control_plane_port`."""

from __future__ import annotations

import sys

import uvicorn

from control_plane.app import create_app
from resources.errors import SettingsError
from resources.registry import Registry
from resources.serving.heads import BoundedHeadProtocol
from resources.settings import load_settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; 1 when the settings do not allow a start."""
    try:
        settings = load_settings()
        registry = Registry.from_settings(settings)
        registry.migrate()
        app = create_app(settings, registry)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    uvicorn.run(
        app,
        host=settings.bind_host,
        port=settings.control_plane_port,
        server_header=False,
        http=BoundedHeadProtocol,
        log_level="warning",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
