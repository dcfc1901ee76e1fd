"""Puts the control plane together: `create_app(settings, registry)`. Routes have their own modules."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from control_plane import (
    export_routes,
    ledger_routes,
    observability,
    problems,
    rule_routes,
    skan_routes,
    tenant_routes,
    trace_routes,
)
from control_plane.context import ControlPlane
from resources.errors import SettingsError
from resources.object_store import open_object_store
from resources.registry import Registry, digest_of
from resources.settings import Settings

ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105 - the name of the file, not the token
VERSION = "1.0.0"


def create_app(settings: Settings, registry: Registry) -> FastAPI:
    """The control plane's application over a migrated registry.

    Raises:
        SettingsError: in production, where one shared admin token is not enough.
    """
    if settings.environment == "production":
        raise SettingsError(
            "the control plane does not start in production: signing in by OIDC is not built yet and one "
            "shared admin token would not say who acts; set UNMOGROWP_ENVIRONMENT=embedded"
        )
    app = ControlPlaneApp(title="UnMoGrowP control plane", version=VERSION, docs_url=None, redoc_url=None)
    app.state.control_plane = ControlPlane(
        settings=settings,
        registry=registry,
        exports=open_object_store(settings),
        admin_token_digest=digest_of(settings.first_run_secret(ADMIN_TOKEN_FILE)),
    )
    problems.install(app)
    observability.install(app, registry)
    app.include_router(tenant_routes.router)
    app.include_router(export_routes.router)
    app.include_router(ledger_routes.router)
    app.include_router(rule_routes.router)
    app.include_router(skan_routes.router)
    app.include_router(trace_routes.router)
    return app


class ControlPlaneApp(FastAPI):
    """FastAPI whose OpenAPI also describes the problem document."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI description, made once."""
        if self.openapi_schema is None:
            document = get_openapi(
                title=self.title,
                version=self.version,
                routes=self.routes,
                description="Tenants, keys, rules, audit, exports, ledgers. Errors are RFC 9457 problem documents.",
            )
            schema = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas |= schema.pop("$defs", {}) | {"Problem": schema}
            self.openapi_schema = document
        return self.openapi_schema
