"""Alert rules are about series that the services export, and Prometheus scrapes who exports them."""

from __future__ import annotations

import re
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, generate_latest

from control_plane.observability import UndeliveredExports
from ingest_api.event_log.protocol import LogUsage
from ingest_api.lander_metrics import LanderMetrics
from ingest_api.metrics import DoorMetrics, exposition
from resources.registry import Registry
from resources.settings import APPLICATION_ROOT, Settings

DEPLOY = APPLICATION_ROOT / "deploy"


def rules() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text()) for path in sorted((DEPLOY / "rules").glob("*.yml"))]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def exported(control_plane_text: str) -> str:
    door = DoorMetrics()
    door.answered(202)
    door.over_quota("t123")
    door.made_durable("t123", 1, 1, 0.001)
    door_text = exposition([door.counts], LogUsage(1, 2, 3))[0].decode()
    return door_text + LanderMetrics(lambda: 0.0).exposition()[0].decode() + control_plane_text


def test_every_series_of_a_rule_is_exported(settings: Settings) -> None:
    registry = Registry(settings.registry_url)
    registry.migrate()
    collectors = CollectorRegistry()
    collectors.register(UndeliveredExports(registry))
    text = exported(generate_latest(collectors).decode())
    # a gauge without a sample is exported as its type
    names = set(re.findall(r"^(?:# TYPE )?(unmogrowp_\w+)", text, re.M))
    for rule in rules():
        for name in re.findall(r"unmogrowp_\w+", rule["expr"]):
            assert name in names, (rule["alert"], name)


def test_every_service_that_a_rule_waits_for_is_scraped() -> None:
    [job] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {group["labels"]["service"]: group["targets"] for group in job["static_configs"]}
    waited_for = {name for rule in rules() for name in re.findall(r'service="(\w+)"', rule["expr"])}
    assert waited_for == {"ingest", "lander"}
    assert waited_for <= scraped.keys()
    defaults = Settings()
    assert scraped["ingest"] == [f"127.0.0.1:{defaults.ingest_port}"]
    assert scraped["lander"] == [f"127.0.0.1:{defaults.lander_port}"]


def test_every_rule_says_what_to_do_and_how_bad_it_is() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert rule["for"]
