"""Settings of planes on Kubernetes, read from `UNMOGROWP_HELM_*`; wanted where `UNMOGROWP_TENANT_DRIVER=helm`.

What the chart's values can say (ingress class, certificates, addresses, monitoring) is not repeated as a setting:
`VALUES_FILE` names a file of values that lie under what the driver sets itself.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from resources.errors import SettingsError


class HelmSettings(BaseSettings):
    """Where planes run, from which image, under which names. Prefix `UNMOGROWP_HELM_`."""

    model_config = SettingsConfigDict(env_prefix="UNMOGROWP_HELM_", frozen=True, extra="ignore")

    domain: str = Field(
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", description="planes are client<id>.<domain>"
    )
    image_repository: str = Field(description="the tenant plane's image")
    image_tag: str = Field(description="what a new plane runs; a roll moves the others")
    ingest_url: str = Field(description="the door, as planes reach it")
    values_file: Path | None = Field(default=None, description="YAML or JSON: values of every plane")
    plane_url: str = Field(default="https://{host}", description="where the global plane reaches a plane")
    kubeconfig: Path | None = Field(default=None, description="unset: in the cluster, or the user's own")
    kube_context: str | None = None
    database_admin_url: SecretStr | None = Field(
        default=None, description="PostgreSQL for planes' databases; unset: SQLite in each plane's claim"
    )
    apply_timeout_s: int = Field(default=300, ge=1, description="of an install, its migration included")
    smoke_test_timeout_s: float = Field(default=300.0, gt=0, description="new pods, image pull included")
    removal_timeout_s: float = Field(default=120.0, gt=0, description="until a namespace is gone")


def load_helm_settings() -> HelmSettings:
    """Settings of this process, read now.

    Raises:
        SettingsError: one is missing or wrong.
    """
    try:
        return HelmSettings()
    except ValidationError as error:
        names = ", ".join(f"UNMOGROWP_HELM_{str(each['loc'][0]).upper()}" for each in error.errors())
        raise SettingsError(f"planes on Kubernetes need {names} set rightly") from error
