"""What every route needs, put on the app once, and who may call: two bearer credentials. No routes here."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Header, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from resources.clickhouse import ClickHouse
from resources.errors import AuthenticationError, AuthorizationError
from resources.object_store import ObjectStore
from resources.registry import Registry, digest_of
from resources.registry.records import TENANT_ID_PATTERN
from resources.scraping import check_scraper
from resources.settings import Settings

if TYPE_CHECKING:
    from resources.lake import Lake

ADMIN_ACTOR = "admin-token"  # until people sign in by OIDC, the token is who acts


@dataclass(frozen=True)
class ControlPlane:
    """The doors and secrets of one control plane process."""

    settings: Settings
    registry: Registry
    exports: ObjectStore
    admin_token_digest: bytes

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


Plane = Annotated[ControlPlane, Depends(control_plane_of)]

_admin_scheme = HTTPBearer(auto_error=False, scheme_name="adminToken", description="HOME/secrets/admin.token")
_export_scheme = HTTPBearer(auto_error=False, scheme_name="exportKey", description="a key of kind `export`")
_metrics_scheme = HTTPBearer(
    auto_error=False, scheme_name="metricsToken", description="HOME/secrets/metrics.token"
)


def require_admin(
    plane: Plane, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_admin_scheme)]
) -> str:
    """The actor behind the admin token.

    Raises:
        AuthenticationError: the token is missing or wrong.
    """
    given = b"" if credentials is None else digest_of(credentials.credentials)
    if not hmac.compare_digest(given, plane.admin_token_digest):
        raise AuthenticationError("present the admin token as `Authorization: Bearer …`")
    return ADMIN_ACTOR


def require_export_tenant(
    plane: Plane,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_export_scheme)],
    x_tenant_id: Annotated[str, Header(description="must name the key's own tenant")] = "",
) -> str:
    """The tenant whose export key this is.

    Keys are found by their SHA-256, so the time of the look-up says nothing about a key.

    Raises:
        AuthenticationError: the key is missing, unknown, revoked, or its tenant is not active.
        AuthorizationError: `X-Tenant-ID` does not name the key's tenant.
    """
    if credentials is None:
        raise AuthenticationError("present an export key as `Authorization: Bearer …`")
    tenant_id = plane.registry.active_key_digests("export").get(digest_of(credentials.credentials))
    if tenant_id is None:
        raise AuthenticationError("this key opens no exports; mint a key of kind export for an active tenant")
    if not hmac.compare_digest(x_tenant_id.encode(), tenant_id.encode()):
        raise AuthorizationError("X-Tenant-ID does not name the tenant of this key; send that tenant's id")
    return tenant_id


def require_tenant_reader(
    plane: Plane,
    tenant_id: Annotated[str, Path(pattern=TENANT_ID_PATTERN, examples=["t123"])],
    admin: Annotated[HTTPAuthorizationCredentials | None, Depends(_admin_scheme)],
    _key: Annotated[
        HTTPAuthorizationCredentials | None, Depends(_export_scheme)
    ],  # the same header, documented
) -> str:
    """The tenant of the path, when the administrator asks or the tenant itself with its export key.

    Raises:
        AuthenticationError: neither the admin token nor a live export key is presented.
        AuthorizationError: the key is another tenant's.
        TenantNotFoundError: the administrator names a tenant that is not there.
    """
    if admin is None:
        raise AuthenticationError(
            "present the admin token or the tenant's export key as `Authorization: Bearer …`"
        )
    digest = digest_of(admin.credentials)
    if hmac.compare_digest(digest, plane.admin_token_digest):
        return plane.registry.get(tenant_id).tenant_id
    owner = plane.registry.active_key_digests("export").get(digest)
    if owner is None:
        raise AuthenticationError(
            "this key opens nothing here; mint a key of kind export for an active tenant"
        )
    if not hmac.compare_digest(owner.encode(), tenant_id.encode()):
        raise AuthorizationError("this key is another tenant's; ask for the tenant it belongs to")
    return owner


def require_scraper(
    plane: Plane, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_metrics_scheme)]
) -> None:
    """Let Prometheus pass.

    Raises:
        AuthenticationError: the scrape token is missing or wrong.
    """
    given = "" if credentials is None else f"Bearer {credentials.credentials}"
    check_scraper(given, plane.settings.scrape_token())


Admin = Annotated[str, Depends(require_admin)]
ExportTenant = Annotated[str, Depends(require_export_tenant)]
ReadTenant = Annotated[str, Depends(require_tenant_reader)]
