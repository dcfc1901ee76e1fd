"""Every setting of one tenant's plane, read from `UNMOGROWP_TENANT_*`; the global plane's are in `settings`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class TenantPlaneSettings(BaseSettings):
    """Settings of one tenant's plane; they hold nothing of any other tenant. Prefix `UNMOGROWP_TENANT_`."""

    model_config = SettingsConfigDict(env_prefix="UNMOGROWP_TENANT_", frozen=True, extra="ignore")

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{1,30}$")
    home: Path
    bind_host: str = "127.0.0.1"
    port: int
    ingest_url: str
    ingest_token: SecretStr
    service_token: SecretStr = Field(description="what the global plane presents when it pushes")
    signing_key: SecretStr = Field(description="HMAC-SHA-256 key of pushed bodies")
    admin_password_hash: SecretStr = Field(description="argon2 hash of the first administrator's password")
    session_key: SecretStr
    database_url: str = ""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="of every amount shown")

    # what the tenant's plan says; a limit that is not set is not shown as one
    plan: str | None = Field(default=None, pattern=r"^[a-z]{1,30}$")
    events_per_day_max: int | None = Field(default=None, gt=0, description="shown beside the busiest day")
    storage_max_bytes: int | None = Field(default=None, gt=0, description="of the tenant's days in the lake")
    export_bytes_per_day_max: int | None = Field(default=None, gt=0, description="pulled from the platform")
    users_max: int | None = Field(default=None, gt=0, description="enforced when a user is added")

    # limits
    event_body_max_bytes: int = Field(default=10 * 1024 * 1024, description="the door's own limit")
    push_max_bytes: int = 64 * 1024 * 1024
    push_max_unpacked_bytes: int = Field(default=512 * 1024 * 1024, description="a pushed mart, decoded")
    relay_budget_bytes: int = Field(
        default=256 * 1024 * 1024, description="events kept while the door is away"
    )
    session_ttl_s: int = Field(default=15 * 60, description="a session ends unless it is refreshed")
    session_max_age_s: int = Field(default=12 * 3600, description="... and then by signing in again")
