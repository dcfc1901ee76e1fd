"""The process of a service over the tenant registry: its settings, its start, its end. What it serves is its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing

import uvicorn
from fastapi import FastAPI

from resources.errors import UnMoGrowPError
from resources.registry import Registry
from resources.serving.heads import BoundedHeadProtocol
from resources.settings import Settings, load_settings


def serve(create_app: Callable[[Settings, Registry], FastAPI], port_of: Callable[[Settings], int]) -> int:
    """Migrate the registry and serve until SIGTERM or SIGINT; 1 with one sentence when nothing may start."""
    try:
        settings = load_settings()
        registry = Registry.from_settings(settings)
        registry.migrate()
        app = create_app(settings, registry)
    except UnMoGrowPError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    with closing(registry):
        uvicorn.run(
            app,
            host=settings.bind_host,
            port=port_of(settings),
            server_header=False,
            http=BoundedHeadProtocol,
            log_level="warning",
        )
    return 0
