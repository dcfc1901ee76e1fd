"""`python -m ingest_api`: the door on its port. Settings come from `UNMOGROWP_*`."""

from __future__ import annotations

import logging

import uvicorn

from resources.settings import load_settings

KEEP_ALIVE_S = 75  # above common load balancers' 60 s, so that they close idle connections and not we
GRACE_S = 10  # requests in flight may finish their sync


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
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks where a request came from; 3 µs each
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        backlog=2048,
    )


if __name__ == "__main__":
    main()
