"""Every setting of the global plane's processes, read from `UNMOGROWP_*`. The only module that reads the environment.

Nothing else in the tree may read `os.environ`; a tenant's plane has `plane_settings`, what libraries read is set
by `library_environment`, files of secrets are kept by `secret_files`. All settings are optional on one machine;
with `ENVIRONMENT=production` a missing secret refuses to start.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from resources.errors import SettingsError
from resources.identity_settings import IdentitySettings
from resources.keyring_kms import is_wrapped, unwrapped
from resources.secret_files import kept_secret, new_keyring, new_token, parsed_keyring

APPLICATION_ROOT = Path(__file__).resolve().parent.parent
ADMIN_SECRET_FILE = "admin.token"  # noqa: S105 - in HOME/secrets: the first password of FIRST_ADMIN
FIRST_ADMIN = "admin"
KEYRING_FILE = "keyring.json"  # in HOME/secrets, where UNMOGROWP_KEYRING is not set


class Settings(IdentitySettings):
    """Settings of the global plane. Units are in the names; paths are absolute."""

    model_config = SettingsConfigDict(env_prefix="UNMOGROWP_", frozen=True, extra="ignore")

    environment: Literal["embedded", "production"] = "embedded"
    home: Path = Field(default=Path(".unmogrowp"), description="everything the embedded stack writes")
    bind_host: str = "127.0.0.1"

    # where the data lives
    database_url: str = ""
    catalog_uri: str = ""
    warehouse: str = ""
    s3_endpoint: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    clickhouse_url: str | None = None
    clickhouse_user: str = "default"
    clickhouse_password: SecretStr = SecretStr("")
    clickhouse_database: str = "marts"
    event_log: Literal["segments", "kafka"] = "segments"
    kafka_bootstrap: str | None = None
    kafka_topic: str = Field(default="unmogrowp.events", pattern=r"^[a-zA-Z0-9._-]{1,200}$")
    kafka_group: str = Field(default="unmogrowp-lander", description="the landers' consumer group")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_ca: Path | None = Field(default=None, description="PEM file; unset = the system's authorities")
    kafka_delivery_timeout_s: float = Field(default=10.0, gt=0, description="then the door answers 503")
    kafka_session_timeout_s: float = Field(default=15.0, gt=0, description="a dead lander's partitions move")
    redis_url: str | None = Field(default=None, description="where doors count tenants' quotas together")
    mlflow_tracking_uri: str = ""
    keyring: SecretStr | None = Field(
        default=None,
        description='JSON {"key id": "base64 of 32 bytes, or kms: and base64 of a KMS ciphertext"}',
    )
    kms_key_id: str | None = Field(default=None, description="the AWS KMS key that wraps new keys")
    kms_region: str | None = Field(default=None, description="where boto3's own configuration says otherwise")
    kms_endpoint: str | None = Field(default=None, description="where it is not AWS's own")
    metrics_token: SecretStr | None = Field(default=None, description="what Prometheus presents to /metrics")

    # time
    start_date: dt.date = dt.date(2026, 1, 1)
    late_days: int = Field(default=30, ge=1, le=180)
    future_skew_s: int = Field(default=300, ge=0, description="a device clock may run ahead this much")

    # ports of the embedded stack
    dagster_port: int = 3000
    dagster_grpc_port: int = 3030
    ingest_port: int = 9080
    ingest_workers: int = Field(default=1, ge=1)
    lander_port: int = 9081
    control_plane_port: int = 9090
    inference_port: int = 9070
    clickhouse_port: int = 8123
    mlflow_port: int = 5000
    tenant_port_base: int = 8080
    tenant_driver: Literal["local", "helm"] = Field(default="local", description="where tenants' planes run")

    # the door
    event_max_bytes: int = 64 * 1024
    body_max_bytes: int = 10 * 1024 * 1024
    body_max_unpacked_bytes: int = 64 * 1024 * 1024
    batch_max_events: int = 10_000
    body_max_values: int = Field(
        default=1_000_000,
        description="commas, brackets and braces of a body: they bound what parsing it costs",
    )
    arriving_max_bytes: int = Field(
        default=256 * 1024 * 1024, description="bodies that a worker is reading: more is told to come back"
    )
    nesting_max: int = 32
    head_max_bytes: int = Field(default=64 * 1024, description="request line and headers")
    head_max_fields: int = Field(default=100, description="headers of a request")
    head_timeout_s: float = Field(default=10.0, gt=0, description="from its first byte to its last")
    body_timeout_s: float = Field(default=60.0, gt=0, description="... and a body: 10 MiB at 1.4 Mbit/s")
    keep_alive_s: int = Field(
        default=75,
        ge=1,
        description="above load balancers' 60 s, so that they close idle connections, not we",
    )
    segment_max_bytes: int = 64 * 1024 * 1024
    segment_max_age_s: float = 10.0
    event_log_budget_bytes: int = 8 * 1024**3
    # A landing of 100,000 events writes 64 MiB of the vault's journal before it is merged, 15 MB of Parquet and
    # some metadata: less than this, and a log that filled the disk would keep the lander from emptying it.
    event_log_reserve_bytes: int = Field(
        default=256 * 1024**2, ge=0, description="what the door leaves free on the log's disk: 503 before"
    )
    event_log_backlog_max_bytes: int = Field(
        default=4 * 1024**3, description="a log larger than this waits for the lander: 429, before it is full"
    )
    native_scan: bool = Field(default=True, description="use the compiled scan where it was built")
    key_cache_s: float = Field(default=2.0, description="a revoked key works this long at most")

    # landing and orchestration
    land_interval_s: float = 5.0
    land_retry_s: float = Field(
        default=2.0, gt=0, description="the wait after a failed landing, doubled per failure up to a minute"
    )
    land_max_rows: int = 100_000
    sensor_interval_s: int = 5
    slice_quiet_s: float = Field(default=8.0, description="a slice is asked for once it landed nothing new")
    slice_max_delay_s: float = Field(default=60.0, description="... or once it has waited this long")
    failed_slice_retry_s: float = Field(
        default=600.0,
        ge=0,
        description="a slice whose run failed, retries and all, is asked for again after this",
    )

    # the lake's maintenance
    snapshots_kept: int = Field(default=20, ge=1, description="newest snapshots that never expire, per table")
    # An expiry costs one more commit (25 ms) and a log file: every 50 commits that is 0.5 ms per commit, while
    # 50 snapshots more or less are 30 ms.
    snapshot_expire_every: int = Field(default=50, ge=1, description="that many due ones expire in one go")
    snapshot_min_age_s: float = Field(
        default=900.0, ge=0, description="a run may be computing from a younger snapshot of a sliced table"
    )
    orphan_grace_days: float = Field(
        default=3.0, ge=1, description="a file of a commit in flight is younger than this"
    )
    maintenance_cron: str = Field(default="0 3 * * *", description="when the lake is maintained, UTC")

    # alerts
    quarantine_alert_share: float = Field(
        default=0.05, gt=0, lt=1, description="of a tenant's deliveries in an hour, refused: more is told"
    )
    quarantine_alert_min: int = Field(default=100, ge=1, description="... but not of fewer refused than this")

    # models
    ltv_horizon_days: int = Field(default=3, ge=1, description="revenue after the install day is predicted")
    ltv_min_training_rows: int = 200

    @field_validator("home")
    @classmethod
    def _absolute_home(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @model_validator(mode="after")
    def _production_has_its_secrets(self) -> Self:
        if self.environment == "production":
            servers = ("database_url", "catalog_uri", "warehouse", "clickhouse_url")
            required = (*servers, "keyring", "metrics_token")
            missing = [f"UNMOGROWP_{name.upper()}" for name in required if not getattr(self, name)]
            if missing:
                raise SettingsError(f"production does not start without {', '.join(missing)}: set them")
        return self

    @model_validator(mode="after")
    def _kafka_is_complete(self) -> Self:
        if self.event_log == "kafka":
            required = ["kafka_bootstrap"]
            if self.kafka_security_protocol.startswith("SASL_"):
                required += ["kafka_sasl_username", "kafka_sasl_password"]
            missing = [f"UNMOGROWP_{name.upper()}" for name in required if not getattr(self, name)]
            if missing:
                raise SettingsError(
                    f"the Kafka event log does not start without {', '.join(missing)}: set them"
                )
        return self

    @cached_property
    def registry_url(self) -> str:
        """SQLAlchemy URL of the tenant registry."""
        return self.database_url or f"sqlite:///{self.home / 'registry.db'}"

    @cached_property
    def lake_catalog_uri(self) -> str:
        """SQLAlchemy URL of the Iceberg catalog."""
        return self.catalog_uri or f"sqlite:///{self.home / 'catalog.db'}"

    @cached_property
    def lake_warehouse(self) -> str:
        """Warehouse root: an absolute local path without scheme, or an `s3://` URL."""
        if self.warehouse.startswith("s3://"):
            return self.warehouse.rstrip("/")
        return str(Path(self.warehouse).resolve()) if self.warehouse else str(self.home / "warehouse")

    @cached_property
    def clickhouse_http_url(self) -> str:
        """URL of ClickHouse's HTTP interface: the given server, or the embedded engine's."""
        return self.clickhouse_url or f"http://127.0.0.1:{self.clickhouse_port}"

    @cached_property
    def mlflow_uri(self) -> str:
        """MLflow tracking and registry URI."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @cached_property
    def event_log_dir(self) -> Path:
        """Directory of the segment-file event log."""
        return self.home / "event_log"

    @cached_property
    def status_dir(self) -> Path:
        """What running processes say of themselves, in files."""
        return self.home / "status"

    @cached_property
    def exports_dir(self) -> Path:
        """Root of the local export store."""
        return self.home / "exports"

    @cached_property
    def tenants_dir(self) -> Path:
        """One directory per locally provisioned tenant plane."""
        return self.home / "tenants"

    @cached_property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME of the embedded stack."""
        return self.home / "dagster"

    @cached_property
    def secrets_dir(self) -> Path:
        """Files of mode 0600 that hold first-run secrets."""
        return self.home / "secrets"

    def with_changes(self, **changes: object) -> Self:
        """These settings with some fields replaced, validated again (`model_copy` would keep derived paths)."""
        return type(self)(**{**self.model_dump(), **changes})

    def keys(self) -> dict[str, str]:
        """Key-encryption keys by id, base64, those that AWS KMS wraps opened (once per process).

        Raises:
            SettingsError: `UNMOGROWP_KEYRING` is not a JSON object of strings, or KMS refuses a key.
            ServiceUnavailableError: KMS does not answer now.
        """
        return {
            key_id: unwrapped(value, self.kms_region, self.kms_endpoint) if is_wrapped(value) else value
            for key_id, value in self.stored_keys().items()
        }

    @property
    def has_keyring(self) -> bool:
        """Whether there are keys already; one that only reads must not make keys that nothing was written with."""
        return self.keyring is not None or (self.secrets_dir / KEYRING_FILE).exists()

    def stored_keys(self) -> dict[str, str]:
        """The keyring as it is stored, wrapped keys wrapped; embedded stacks make their own on first use.

        Raises:
            SettingsError: `UNMOGROWP_KEYRING` is not a JSON object of strings.
        """
        if self.keyring is None:
            return parsed_keyring(self.first_run_secret(KEYRING_FILE, new_keyring))
        return parsed_keyring(self.keyring.get_secret_value())

    def scrape_token(self) -> str:
        """What opens `/metrics` of the services that tenants share; embedded stacks make it on first use."""
        if self.metrics_token is None:
            return self.first_run_secret("metrics.token")
        return self.metrics_token.get_secret_value()

    def first_run_secret(self, name: str, make: Callable[[], str] = new_token) -> str:
        """The secret kept in `HOME/secrets/<name>`, made on first use."""
        return kept_secret(self.secrets_dir / name, make)


def load_settings() -> Settings:
    """Settings of this process, read now from the environment."""
    return Settings()


def child_environment(**extra: str) -> dict[str, str]:
    """The environment for a child process: this one's, with `extra` over it."""
    return {**os.environ, **extra}
