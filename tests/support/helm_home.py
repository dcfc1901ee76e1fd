"""A registry, a helm driver and the stand-in of a cluster with its planes. No assertions here."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from resources.helm_settings import HelmSettings
from resources.registry import Registry
from resources.settings import Settings
from resources.tenant_drivers.helm import HelmTenantDriver
from tests.support.kubernetes_api import KubernetesApi, kubernetes_api

VALUES: dict[str, Any] = {
    "egress": {"ingest": {"cidrs": ["192.0.2.10/32"]}},
    "database": {"cidrs": ["192.0.2.20/32"]},
    "serviceMonitor": {"enabled": True},
}


@dataclass(frozen=True)
class HelmHome:
    """What a test needs."""

    api: KubernetesApi
    settings: Settings
    helm: HelmSettings
    registry: Registry
    driver: HelmTenantDriver

    def with_helm(self, **changes: Any) -> HelmTenantDriver:
        """A driver of the same home with other Helm settings."""
        changed = HelmSettings(**{**self.helm.model_dump(), **changes})
        return HelmTenantDriver(self.settings, changed, self.registry)

    def provision(self, tenant_id: str) -> None:
        """Every step of the driver, in order."""
        provision(self.driver, tenant_id)

    def remove(self, tenant_id: str) -> None:
        """Every step of its compensation, in order."""
        self.driver.forget_export_target(tenant_id)
        self.driver.stop(tenant_id)
        self.driver.revoke_secrets(tenant_id)
        self.driver.destroy(tenant_id)


def provision(driver: HelmTenantDriver, tenant_id: str) -> None:
    driver.render(tenant_id)
    driver.store_secrets(tenant_id)
    driver.apply(tenant_id)
    driver.migrate(tenant_id)
    driver.register_export_target(tenant_id)
    driver.smoke_test(tenant_id)


@contextmanager
def helm_home(directory: Path) -> Iterator[HelmHome]:
    """A home whose cluster is the stand-in; planes answer as soon as their pods are ready."""
    settings = Settings(home=directory / "home", tenant_driver="helm")
    registry = Registry(settings.registry_url)
    registry.migrate()
    (directory / "values.yaml").write_text(yaml.safe_dump(VALUES))
    with kubernetes_api() as api, _planes() as planes_url:
        helm = HelmSettings(
            domain="example.com",
            image_repository="registry.invalid/tenant-plane",
            image_tag="1.0.0",
            ingest_url="https://ingest.example.com",
            values_file=directory / "values.yaml",
            plane_url=planes_url + "/{host}",
            kubeconfig=api.kubeconfig(directory),
            smoke_test_timeout_s=10,
            apply_timeout_s=20,
        )
        yield HelmHome(api, settings, helm, registry, HelmTenantDriver(settings, helm, registry))
    registry.close()


@contextmanager
def _planes() -> Iterator[str]:
    """What the ingress would be: `/client<id>.example.com/health` answers as that tenant."""

    class Ingress(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            host = self.path.split("/")[1]
            tenant_id = host.split(".")[0].removeprefix("client").replace("-", "_")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "ok", "tenantId": tenant_id}).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ingress)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
