"""The alerts on exports are about series that the control plane exports."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry, generate_latest

from control_plane.observability import UndeliveredExports
from resources.registry import Registry
from resources.registry.delivery_store import DeliveryKey, Failure
from resources.registry.destination_store import PLANE
from resources.settings import APPLICATION_ROOT, Settings


def test_every_series_of_a_rule_is_exported_with_the_labels_it_is_summed_by(tmp_path: Path) -> None:
    registry = Registry.from_settings(Settings(home=tmp_path))
    registry.migrate()
    registry.request("t1", "starter", "test")
    key = DeliveryKey("t1", PLANE, "installs", dt.date(2026, 11, 3))
    registry.delivery_failed(Failure(key, "aa", 0, "key", "run", "no", is_final=True))
    registry.circuit_failed("t1", PLANE, "status 500")
    collectors = CollectorRegistry()
    collectors.register(UndeliveredExports(registry))
    exported = generate_latest(collectors).decode()
    registry.close()
    document = yaml.safe_load((APPLICATION_ROOT / "deploy" / "rules" / "exports.yml").read_text())
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    assert len(rules) == 2
    for rule in rules:
        (name,) = re.findall(r"unmogrowp_\w+", rule["expr"])
        (line,) = re.findall(rf"^{name}{{.*$", exported, re.M)
        for label in re.findall(r"by \(([^)]*)\)", rule["expr"])[0].split(", "):
            assert f'{label}="' in line
        (wanted,) = re.findall(r'state!?="(\w+)"', rule["expr"])
        assert f'state="{wanted}"' in line
