"""What the Kafka event log needs to start, and where its secrets go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer

from ingest_api.event_log.kafka_config import client_config, fetcher_config, member_config, producer_config
from resources.errors import SettingsError
from resources.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = "127.0.0.1:1"  # nothing listens there


@pytest.mark.parametrize("environment", ["embedded", "production"])
def test_kafka_without_its_bootstrap_does_not_start(tmp_path: Path, environment: str) -> None:
    production = {
        "database_url": "postgresql+psycopg://db/registry",
        "catalog_uri": "postgresql+psycopg://db/catalog",
        "warehouse": "s3://lake",
        "clickhouse_url": "http://clickhouse:8123",
        "keyring": '{"k1": "AAAA"}',
        "metrics_token": "m",
        "home": tmp_path,
        "event_log": "kafka",
    }
    with pytest.raises(SettingsError, match="does not start without UNMOGROWP_KAFKA_BOOTSTRAP: set them"):
        Settings(environment=environment, **production)  # type: ignore[arg-type]  # as the environment gives them


def test_sasl_without_a_password_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="UNMOGROWP_KAFKA_SASL_PASSWORD"):
        Settings(
            home=tmp_path,
            event_log="kafka",
            kafka_bootstrap=NOBODY,
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_username="door",
        )


def test_credentials_reach_the_client_and_no_text_of_the_settings(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        event_log="kafka",
        kafka_bootstrap=NOBODY,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="door",
        kafka_sasl_password="hunter2",  # type: ignore[arg-type]  # as the environment gives it
        kafka_ssl_ca=tmp_path / "ca.pem",
    )
    config = client_config(settings)
    assert config["sasl.password"] == "hunter2"
    assert config["sasl.mechanism"] == "SCRAM-SHA-512"
    assert config["ssl.ca.location"] == str(tmp_path / "ca.pem")
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("body_max_bytes", [1_000, 10 * 1024 * 1024, 200 * 1024 * 1024])
def test_the_library_takes_every_configuration_whatever_the_body_limit(
    tmp_path: Path, body_max_bytes: int
) -> None:
    settings = Settings(
        home=tmp_path, event_log="kafka", kafka_bootstrap=NOBODY, body_max_bytes=body_max_bytes
    )
    Producer(producer_config(settings)).flush(0)
    for config in (member_config(settings, 300.0), fetcher_config(settings)):
        Consumer(config).close()
