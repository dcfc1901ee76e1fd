"""What every route needs, put on the app once, and what the guard found out about a request. No routes here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from control_plane.access_policy import AccessPolicy
from control_plane.callers import Caller
from control_plane.local_issuer import LocalIssuer
from control_plane.revocations import Revocations
from control_plane.tokens import TokenVerifier
from resources.clickhouse import ClickHouse
from resources.destinations.book import DestinationBook
from resources.notices import Notices
from resources.object_store import ObjectStore
from resources.registry import Registry
from resources.registry.records import TENANT_ID_PATTERN
from resources.scraping import check_scraper
from resources.settings import Settings

if TYPE_CHECKING:
    from resources.lake import Lake


@dataclass(frozen=True)
class ControlPlane:
    """The doors and secrets of one control plane process. `issuer` is None where tokens come from elsewhere."""

    settings: Settings
    registry: Registry
    exports: ObjectStore
    policy: AccessPolicy
    verifier: TokenVerifier
    revocations: Revocations
    denials: Notices
    reads: Notices
    issuer: LocalIssuer | None
    destinations: DestinationBook

    @cached_property
    def clickhouse(self) -> ClickHouse:
        """The marts; connected to when first asked for."""
        return ClickHouse.from_settings(self.settings)

    @cached_property
    def lake(self) -> Lake:
        """The lake, its tables made; opened when first asked for."""
        from resources.lake import Lake  # noqa: PLC0415 - 1.4 CPU s of import, wanted only where the lake is read

        lake = Lake(self.settings)
        lake.ensure_tables()
        return lake


def control_plane_of(request: Request) -> ControlPlane:
    """What `create_app` put on the app."""
    found = request.app.state.control_plane
    if not isinstance(found, ControlPlane):
        raise TypeError("the app was not made by control_plane.app.create_app")
    return found


def caller_of(request: Request) -> Caller:
    """Whom the guard let in."""
    found = request.state.caller
    if not isinstance(found, Caller):
        raise TypeError("the route is not guarded")
    return found


def actor_of(request: Request) -> str:
    """What the audit trail calls the caller."""
    return caller_of(request).actor


def tenant_of(request: Request) -> str:
    """The tenant that the guard decided about: the path's, or the one that `X-Tenant-ID` names."""
    found = request.state.tenant_id
    if not isinstance(found, str):
        raise TypeError("the route's action is not about a tenant")
    return found


_metrics_scheme = HTTPBearer(
    auto_error=False, scheme_name="metricsToken", description="HOME/secrets/metrics.token"
)
Plane = Annotated[ControlPlane, Depends(control_plane_of)]


def require_scraper(
    plane: Plane, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_metrics_scheme)]
) -> None:
    """Let Prometheus pass.

    Raises:
        AuthenticationError: the scrape token is missing or wrong.
    """
    given = "" if credentials is None else f"Bearer {credentials.credentials}"
    check_scraper(given, plane.settings.scrape_token())


Authenticated = Annotated[Caller, Depends(caller_of)]
Actor = Annotated[str, Depends(actor_of)]
DecidedTenant = Annotated[str, Depends(tenant_of)]
TenantId = Annotated[str, Path(pattern=TENANT_ID_PATTERN, examples=["t123"])]
