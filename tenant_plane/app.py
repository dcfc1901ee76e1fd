"""The tenant plane's application: assembles the parts, the routes and the dashboard's files.

Belongs here: assembly, health, config and metrics. No logic of any room.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from resources.notices import counts_written
from resources.plane_settings import TenantPlaneSettings
from tenant_plane import (
    auth_routes,
    data_routes,
    database,
    event_routes,
    problems,
    report_routes,
    user_routes,
)
from tenant_plane.accounts import Accounts
from tenant_plane.mart_store import MartStore
from tenant_plane.metrics import PlaneMetrics
from tenant_plane.plane import DOCUMENTED_SECURITY, Plane, PlaneDep, metrics_reader
from tenant_plane.push import PushLedger
from tenant_plane.relay import Relay
from tenant_plane.score_store import ScoreStore
from tenant_plane.sessions import Sessions
from tenant_plane.views import Config, Health

WEB_DIST = Path(__file__).parent / "web" / "dist"


def create_app(settings: TenantPlaneSettings, *, web_dist: Path = WEB_DIST) -> FastAPI:
    """The application of one tenant. Nothing is opened or written before its lifespan starts."""
    metrics = PlaneMetrics(settings.id)
    refused = problems.refusals()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        plane = _open(settings, metrics)
        plane.relay.start()
        app.state.plane = plane
        try:
            async with counts_written(refused):
                yield
        finally:
            app.state.plane = None
            await plane.relay.stop()
            plane.marts.close()
            plane.engine.dispose()

    app = FastAPI(
        title="UnMoGrowP tenant plane",
        version=version(),
        summary="One tenant's backend: sessions, event relay, its own marts and scores, its dashboard.",
        lifespan=lifespan,
        responses=problems.RESPONSES,
        docs_url=None,  # the documentation pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.plane = None
    problems.install(app)
    app.add_middleware(GZipMiddleware, minimum_size=1024)
    app.add_middleware(problems.PlaneMiddleware, tenant_id=settings.id, metrics=metrics, refused=refused)
    _add_probes(app)
    for room in (auth_routes, user_routes, event_routes, data_routes, report_routes):
        app.include_router(room.router)
    app.mount("/", DashboardFiles(web_dist), name="dashboard")
    return app


def version() -> str:
    """The installed version, or 0 in a bare checkout."""
    try:
        return metadata.version("unmogrowp")
    except metadata.PackageNotFoundError:
        return "0"


class DashboardFiles(StaticFiles):
    """The built page: hashed files cached for good, the rest asked for anew; unknown paths are the page."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory, html=True, check_dir=False)
        self._index = directory / "index.html"

    async def check_config(self) -> None:
        """Say how to build the page when it is not there; asked until it is."""
        if not self._index.exists():
            raise HTTPException(404, "the dashboard is not built: run python -m tenant_plane.build_web")

    async def get_response(self, path: str, scope: Scope) -> Response:
        """One file, the page itself, or a 404."""
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            is_page = "." not in path and not scope["path"].startswith("/api")
            if error.status_code != 404 or not is_page:  # noqa: PLR2004 - HTTP's own number
                raise
            response = await super().get_response("index.html", scope)
        immutable = path.startswith("assets/")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if immutable else "no-cache"
        return response


def _open(settings: TenantPlaneSettings, metrics: PlaneMetrics) -> Plane:
    engine = database.create_engine(settings)
    database.migrate(engine, settings)
    ledger = PushLedger(engine, settings.id)
    ledger.forget_old()
    unpacked_bytes = settings.push_max_unpacked_bytes
    return Plane(
        settings=settings,
        engine=engine,
        sessions=Sessions(engine, settings),
        accounts=Accounts(engine, settings),
        marts=MartStore(settings.home, settings.id, engine, max_unpacked_bytes=unpacked_bytes),
        scores=ScoreStore(settings.home, engine),
        ledger=ledger,
        relay=Relay(settings, metrics),
        metrics=metrics,
    )


def _add_probes(app: FastAPI) -> None:
    @app.get("/health", tags=["health"])
    @app.get("/health/ready", tags=["health"])
    def ready(plane: PlaneDep) -> Health:
        """The plane serves and its database answers; with another tenant's X-Tenant-ID it is a 403."""
        with plane.engine.connect() as connection:
            connection.execute(database.users.select().limit(1))
        return Health(tenant_id=plane.settings.id)

    @app.get("/health/live", tags=["health"])
    def live(plane: PlaneDep) -> Health:
        """The process runs."""
        return Health(tenant_id=plane.settings.id)

    @app.get("/config.json", tags=["health"])
    def config(plane: PlaneDep) -> Config:
        """What the page needs before anybody signs in; no secrets."""
        return Config(TENANT_ID=plane.settings.id, VERSION=version(), CURRENCY=plane.settings.currency)

    @app.get(
        "/metrics",
        tags=["health"],
        response_class=Response,
        dependencies=[*DOCUMENTED_SECURITY, Depends(metrics_reader)],
    )
    def metrics(plane: PlaneDep) -> Response:
        """Prometheus' text format."""
        text = plane.metrics.exposition(relay_pending_bytes=plane.relay.pending_bytes)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
