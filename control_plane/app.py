"""Puts the control plane together: `create_app(settings, registry)`. Routes have their own modules."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from anyio import CapacityLimiter
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.concurrency import run_in_threadpool

from control_plane import (
    audit_routes,
    billing_routes,
    delivery_routes,
    destination_routes,
    export_routes,
    ledger_routes,
    member_routes,
    observability,
    problems,
    quota_routes,
    rule_routes,
    session_routes,
    sign_in_routes,
    skan_routes,
    tenant_routes,
    trace_routes,
    user_routes,
)
from control_plane.access_policy import access_policy
from control_plane.context import ControlPlane
from control_plane.guard import check_guarded
from control_plane.issuer_keys import DiscoveredKeys
from control_plane.local_issuer import LocalIssuer
from control_plane.revocations import Revocations
from control_plane.security_schemes import documented
from control_plane.tokens import TokenVerifier
from resources.destination_settings import load_destination_settings
from resources.destinations.book import DestinationBook
from resources.errors import SettingsError
from resources.notices import counts_written
from resources.object_store import open_object_store
from resources.registry import Registry
from resources.registry.access_trail import denials_of, reads_of
from resources.registry.passwords import CHECKS_AT_ONCE
from resources.serving.problems import Problem
from resources.settings import ADMIN_SECRET_FILE, FIRST_ADMIN, Settings

VERSION = "1.1.0"

GUARDED: Sequence[APIRouter] = (
    tenant_routes.router,
    quota_routes.router,
    quota_routes.platform_router,
    billing_routes.router,
    member_routes.router,
    user_routes.router,
    session_routes.router,
    audit_routes.router,
    export_routes.router,
    destination_routes.router,
    delivery_routes.router,
    delivery_routes.platform_router,
    ledger_routes.router,
    rule_routes.router,
    skan_routes.router,
    trace_routes.router,
)
OPEN: Sequence[APIRouter] = (sign_in_routes.router,)  # beside health and metrics


def create_app(settings: Settings, registry: Registry) -> FastAPI:
    """The control plane's application over a migrated registry.

    Raises:
        SettingsError: in production without an OIDC issuer; or the access policy is not one.
    """
    check_guarded(GUARDED)
    app = ControlPlaneApp(
        title="UnMoGrowP control plane",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        lifespan=_writing_counts,
    )
    app.state.control_plane = _control_plane(settings, registry)
    problems.install(app)
    observability.install(app, registry)
    for router in (*GUARDED, *OPEN):
        app.include_router(router)
    return app


def _control_plane(settings: Settings, registry: Registry) -> ControlPlane:
    issuer: LocalIssuer | None = None
    if settings.oidc_issuer:
        keys = DiscoveredKeys(settings.oidc_issuer, settings.oidc_keys_ttl_s)
        verifier = TokenVerifier(settings.oidc_issuer, settings.oidc_audience, keys)
    elif settings.environment == "production":
        raise SettingsError(
            "the control plane does not start in production without an identity provider: "
            "set UNMOGROWP_OIDC_ISSUER to its issuer URL"
        )
    else:
        issuer = LocalIssuer(settings, registry)
        verifier = TokenVerifier(issuer.url, settings.oidc_audience, issuer)
    return ControlPlane(
        settings=settings,
        registry=registry,
        exports=open_object_store(settings),
        policy=access_policy(),
        verifier=verifier,
        revocations=Revocations(registry, settings.revocation_poll_s),
        denials=denials_of(registry),
        reads=reads_of(registry),
        issuer=issuer,
        destinations=DestinationBook(settings, registry, load_destination_settings()),
    )


@contextlib.asynccontextmanager
async def _writing_counts(app: FastAPI) -> AsyncIterator[None]:
    """The first administrator before the first request; counts of notices every few seconds, and at the end."""
    plane: ControlPlane = app.state.control_plane
    if plane.issuer is not None:
        password = plane.settings.first_run_secret(ADMIN_SECRET_FILE)
        await run_in_threadpool(plane.registry.ensure_first_admin, FIRST_ADMIN, password)
    app.state.password_checks = CapacityLimiter(CHECKS_AT_ONCE)
    async with counts_written(plane.denials, plane.reads):
        yield


class ControlPlaneApp(FastAPI):
    """FastAPI whose OpenAPI also describes the problem document."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI description, made once."""
        if self.openapi_schema is None:
            document = get_openapi(
                title=self.title,
                version=self.version,
                routes=self.routes,
                description="Tenants, users, keys, rules, audit, exports, ledgers. Errors are RFC 9457 documents.",
            )
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas |= schema.pop("$defs", {}) | {"Problem": schema}
            self.openapi_schema = documented(document)
        return self.openapi_schema
