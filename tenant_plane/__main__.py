"""`python -m tenant_plane [serve|migrate|mint-app-key]`, configured by `UNMOGROWP_TENANT_*`.

Belongs here: the process and its logging. It holds one tenant and starts nothing else.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys

import uvicorn
from pydantic import ValidationError

from resources.errors import UnMoGrowPError
from resources.plane_settings import TenantPlaneSettings
from resources.serving.heads import BoundedHeadProtocol
from tenant_plane import database
from tenant_plane.app import create_app
from tenant_plane.sessions import mint_app_key


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it worked, else 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tenant_plane", description=__doc__)
    parser.add_argument("command", nargs="?", default="serve", choices=["serve", "migrate", "mint-app-key"])
    command = parser.parse_args(arguments).command
    os.umask(0o077)  # database, buffered events, marts and locks are for this tenant's process alone
    try:
        settings = TenantPlaneSettings()
        _log_to_stderr(settings.id)
        if command == "serve":
            _serve(settings)
        else:
            _administer(settings, command)
    except ValidationError as error:
        fields = ", ".join(f"UNMOGROWP_TENANT_{str(each['loc'][0]).upper()}" for each in error.errors())
        print(f"the tenant plane does not start: set {fields} rightly", file=sys.stderr)
        return 1
    except UnMoGrowPError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _serve(settings: TenantPlaneSettings) -> None:
    uvicorn.run(
        create_app(settings),
        host=settings.bind_host,
        port=settings.port,
        log_config=None,
        access_log=False,  # /metrics counts requests; a line per request would hold addresses
        server_header=False,
        http=BoundedHeadProtocol,
        proxy_headers=False,  # else who guesses passwords could name another address each time
        timeout_graceful_shutdown=5,
    )


def _administer(settings: TenantPlaneSettings, command: str) -> None:
    engine = database.create_engine(settings)
    try:
        database.migrate(engine, settings)
        if command == "mint-app-key":
            print(mint_app_key(engine))
    finally:
        engine.dispose()


def _log_to_stderr(tenant_id: str) -> None:
    line = f"%(asctime)s %(levelname)s tenant={tenant_id} %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=line)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every relayed request


if __name__ == "__main__":
    raise SystemExit(main())
