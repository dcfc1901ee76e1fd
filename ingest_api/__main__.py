"""`python -m ingest_api`: the door on its port. Settings come from `UNMOGROWP_*`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import uvicorn

from ingest_api.connections import DoorProtocol
from resources.settings import load_settings

if TYPE_CHECKING:
    from resources.settings import Settings

GRACE_S = 10  # requests in flight may finish their sync


def server_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn serves a door of these settings, wherever that is."""
    return {
        "loop": "uvloop",
        "http": DoorProtocol,
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # nothing here asks where a request came from; 3 µs each
        "timeout_keep_alive": settings.keep_alive_s,
        "timeout_graceful_shutdown": GRACE_S,
        "backlog": 2048,
    }


def main() -> None:
    """Serve until told to stop."""
    settings = load_settings()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    uvicorn.run(
        "ingest_api.app:app_from_environment",
        factory=True,
        host=settings.bind_host,
        port=settings.ingest_port,
        workers=settings.ingest_workers,
        **server_options(settings),
    )


if __name__ == "__main__":
    main()
