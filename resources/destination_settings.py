"""Settings of destinations beside tenants' planes, read from `UNMOGROWP_DESTINATIONS_*`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DestinationSettings(BaseSettings):
    """How tenants' own receivers may be reached. Prefix `UNMOGROWP_DESTINATIONS_`."""

    model_config = SettingsConfigDict(env_prefix="UNMOGROWP_DESTINATIONS_", frozen=True, extra="ignore")

    allowed_hosts: frozenset[str] = Field(
        default=frozenset(),
        description="JSON list of \"host:port\" that may be plain http and private: a test's or a house's own servers",
    )
    timeout_s: float = Field(
        default=20.0, gt=0, le=120, description="from the first byte sent to the last read"
    )


def load_destination_settings() -> DestinationSettings:
    """Settings of this process, read now."""
    return DestinationSettings()
