"""Settings of identity: which issuer's tokens count, and for how long. A part of `settings.Settings`."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class IdentitySettings(BaseSettings):
    """Without an issuer the embedded stack's control plane is its own; production does not start so."""

    oidc_issuer: str | None = Field(default=None, description="as its tokens' `iss` says, to the letter")
    oidc_audience: str = Field(default="unmogrowp", min_length=1, description="what `aud` must name")
    oidc_roles_claim: str = Field(default="roles", description="the claim, or its path: realm_access.roles")
    oidc_tenant_claim: str = Field(default="tenant", description="the tenants that tenant roles are for")
    oidc_keys_ttl_s: float = Field(
        default=600.0, gt=0, description="the issuer's keys are read again after this"
    )
    access_token: SecretStr | None = Field(
        default=None, description="what commands present, issuer elsewhere"
    )
    access_token_ttl_s: int = Field(default=600, ge=10, le=900, description="of our own issuer's tokens")
    # Each process that accepts tokens reads the revocations again after this: 10 s is what is promised.
    revocation_poll_s: float = Field(default=2.0, gt=0, le=10)
