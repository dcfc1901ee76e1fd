"""`python -m inference_api`: migrates the tenant registry and serves on `inference_port`."""

from __future__ import annotations

import sys

import uvicorn

from inference_api.app import create_app
from resources.errors import UnMoGrowPError
from resources.registry import Registry
from resources.serving.heads import BoundedHeadProtocol
from resources.settings import load_settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; 1 with one sentence when the settings do not allow a start."""
    try:
        settings = load_settings()
        registry = Registry.from_settings(settings)
        registry.migrate()
        app = create_app(settings, registry)
    except UnMoGrowPError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    uvicorn.run(
        app,
        host=settings.bind_host,
        port=settings.inference_port,
        server_header=False,
        http=BoundedHeadProtocol,
        log_level="warning",
    )
    registry.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
