"""Two tenants on every real server of the platform, for tests of their separation. No assertions here.

Everything that either tenant owns carries its marks: a text in every text column, a number in every number
column, its checksums, its model's score, and its secrets.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import httpx
import polars as pl
import pyarrow as pa

from assets.export_contract import MARTS, SCORES_DATASET
from assets.export_files import content_of
from ingest_api.pii import quarantine_context
from resources.embedded.stack import PORT_FIELDS, free_port, stack_environment
from resources.lake import Lake
from resources.ltv_scorer import ltv_model_name
from resources.object_store import ObjectStore, open_object_store
from resources.pii import Keyring, TenantPii
from resources.plane_files import PlaneFiles
from resources.plane_settings import TenantPlaneSettings
from resources.registry import Registry, TenantState
from resources.rules import RuleSet
from resources.settings import APPLICATION_ROOT, Settings
from resources.tenant_drivers.local import LocalTenantDriver
from resources.tenant_gateway import TenantGateway
from tenant_plane.database import create_engine
from tenant_plane.sessions import mint_app_key
from tests.support.marked_exports import DATE, marked_table, published
from tests.support.marked_models import SCORES, register_models
from tests.support.tenant_homes import prepared
from tests.support.trace_world import events_frame, marts_of, put
from tests.support.trace_world import served as clickhouse_served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUMBERS = {"alpha": 711_171_001, "beta": 722_272_002}
GLOBAL_SECRET = "GLOBAL_SECRET_f3a9c1"  # in the environment of every process of the global plane
NAMESAKE = "alphabet"  # its folder begins with another tenant's name
START_TIMEOUT_S = 90.0


@dataclass
class Tenant:
    """One tenant: what marks its data, its secrets, and where its plane is."""

    tenant_id: str
    files: PlaneFiles
    url: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    checksums: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The mark in its text columns."""
        return f"{self.tenant_id.upper()}_SECRET_5d41"

    @property
    def number(self) -> int:
        """The mark in its number columns."""
        return NUMBERS[self.tenant_id]

    @property
    def model(self) -> str:
        """What its pushed scores' model is called."""
        return f"ltv-{self.text}"

    @property
    def event_id(self) -> str:
        """A new event id that bears its mark."""
        return f"{uuid.uuid4().hex[:8]}-0000-4000-8000-{self.number:012d}"

    @property
    def conversion_id(self) -> str:
        """The event id of its one install; of the platform's choosing, so it bears no mark."""
        return f"00000000-0000-4000-8000-{sorted(NUMBERS).index(self.tenant_id):012d}"

    @property
    def marks(self) -> dict[str, bytes]:
        """What must never be seen by the other, by name."""
        score = str(int(SCORES[self.tenant_id] * 1_000_000))
        marks = {"text": self.text, "number": str(self.number), "online score": score}
        marks |= {"model": ltv_model_name(self.tenant_id), **self.secrets}
        marks |= {f"checksum {at}": checksum for at, checksum in enumerate(self.checksums)}
        return {name: value.encode() for name, value in marks.items()}


@dataclass
class World:
    """The running platform. `urls` holds the services that both tenants share, by room."""

    settings: Settings
    registry: Registry
    exports: ObjectStore
    urls: dict[str, str]
    tenants: dict[str, Tenant]

    @property
    def global_secrets(self) -> dict[str, bytes]:
        """What no tenant may hold, by name."""
        keys = self.settings.keys() | {"environment": GLOBAL_SECRET}
        files = {path.name: path.read_text() for path in self.settings.secrets_dir.iterdir()}
        return {name: value.encode() for name, value in (keys | files).items()}


@contextlib.contextmanager
def two_tenants(home: Path) -> Iterator[World]:
    """Both tenants provisioned, published, pushed and signed in, on running servers."""
    settings = _settings(home)
    registry = Registry(settings.registry_url)
    registry.migrate()
    with contextlib.ExitStack() as stack:
        stack.callback(registry.close)
        for room in ("ingest_api", "control_plane", "inference_api", "resources.embedded.tenant_supervisor"):
            stack.enter_context(_server(settings, room))
        driver = LocalTenantDriver(settings, registry, smoke_test_timeout_s=START_TIMEOUT_S)
        exports = open_object_store(settings)
        with ThreadPoolExecutor(3) as pool:
            models = pool.submit(register_models, settings)
            provision = partial(_provisioned, registry, driver, settings.tenants_dir)
            provisioned = list(pool.map(provision, NUMBERS))
            models.result()
        tenants = {tenant.tenant_id: tenant for tenant in provisioned}
        urls = {
            "ingest_api": f"http://127.0.0.1:{settings.ingest_port}",
            "control_plane": f"http://127.0.0.1:{settings.control_plane_port}",
            "inference_api": f"http://127.0.0.1:{settings.inference_port}",
        }
        for tenant in provisioned:
            _publish_and_push(settings, exports, tenant)
            rules = RuleSet(registration_event=tenant.text)
            registry.add_rules(tenant.tenant_id, rules, DATE, "test", tenant.text)
            document = {
                "appId": 1,
                "currency": "USD",
                "windows": [{"sequenceIndex": 0}],
                "eventAppId": tenant.text,
            }
            registry.add_skan_schema(tenant.tenant_id, document, DATE, "test", tenant.text)
        _publish_namesake(registry, exports, tenants["beta"])
        put(stack.enter_context(clickhouse_served(settings)), _marked_marts(provisioned))
        _refuse_an_event_of_each(settings, provisioned)
        for url in urls.values():
            _wait_for(f"{url}/health/ready")
        yield World(settings, registry, exports, urls, tenants)


def _marked_marts(tenants: list[Tenant]) -> dict[str, pl.DataFrame]:
    """The marts of a click and an install of each, on the same device but for its mark."""
    frames = [
        events_frame(
            tenant.tenant_id,
            (("click", tenant.event_id, 1, "d", "net"), ("install", tenant.conversion_id, 2, "d", "")),
            mark=f"{tenant.text}_",
        )
        for tenant in tenants
    ]
    return marts_of(pl.concat(frames))


def _settings(home: Path) -> Settings:
    ports: dict[str, int] = {}
    for name in (*PORT_FIELDS, "tenant_port_base"):
        ports[name] = free_port("127.0.0.1", 0, set(ports.values()))
    return Settings(home=home).with_changes(**ports)


@contextlib.contextmanager
def _server(settings: Settings, room: str) -> Iterator[None]:
    environment = stack_environment(settings) | {
        "UNMOGROWP_S3_SECRET_ACCESS_KEY": GLOBAL_SECRET,
        "AWS_SECRET_ACCESS_KEY": GLOBAL_SECRET,
    }
    with (settings.home / f"{room}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", room], cwd=APPLICATION_ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False, timeout=30).status_code == httpx.codes.OK:
                return
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{url} did not become ready")
        time.sleep(0.1)


def _provisioned(registry: Registry, driver: LocalTenantDriver, tenants_dir: Path, tenant_id: str) -> Tenant:
    registry.request(tenant_id, "starter", "test")
    registry.transition(tenant_id, TenantState.PROVISIONING, actor="test")
    tenant = Tenant(tenant_id, PlaneFiles(tenants_dir, tenant_id), prepared(driver, tenant_id))
    driver.apply(tenant_id)
    driver.migrate(tenant_id)
    driver.smoke_test(tenant_id)
    registry.transition(tenant_id, TenantState.ACTIVE, actor="test")
    tenant.secrets |= _credentials(registry, tenant)
    return tenant


def _credentials(registry: Registry, tenant: Tenant) -> dict[str, str]:
    env = tenant.files.read_env()
    engine = create_engine(
        TenantPlaneSettings.model_validate({name.lower(): value for name, value in env.items()})
    )
    app_key = mint_app_key(engine)  # what `python -m tenant_plane mint-app-key` calls
    engine.dispose()
    password = tenant.files.initial_admin_password.read_text()
    body = {"user": "admin", "password": password, "mode": "bearer"}
    signed_in = httpx.post(f"{tenant.url}/api/v1/auth", json=body, trust_env=False).raise_for_status()
    return {
        "ingest key": registry.mint_key(tenant.tenant_id, "ingest", "test"),
        "export key": registry.mint_key(tenant.tenant_id, "export", "test"),
        "write token": env["INGEST_TOKEN"],
        "service token": env["SERVICE_TOKEN"],
        "signing key": env["SIGNING_KEY"],
        "session key": env["SESSION_KEY"],
        "password hash": env["ADMIN_PASSWORD_HASH"],
        "password": password,
        "app key": app_key,
        "session": signed_in.json()["token"],
    }


def _publish_and_push(settings: Settings, store: ObjectStore, tenant: Tenant) -> None:
    gateway = TenantGateway(settings)
    for dataset in (*MARTS.values(), SCORES_DATASET):
        item = published(store, tenant.tenant_id, tenant.text, tenant.number, dataset)
        tenant.checksums.append(item.sha256)
        if dataset is not SCORES_DATASET:
            content = content_of(store, item)
            key = f"{tenant.text}:{dataset.name}"
            gateway.push_mart(tenant.tenant_id, dataset.name, DATE, content, idempotency_key=key)
    rows = marked_table(tenant.tenant_id, tenant.text, tenant.number, SCORES_DATASET)
    gateway.push_scores(
        tenant.tenant_id,
        model=tenant.model,
        as_of=DATE,
        rows=rows.drop_columns(["as_of", "model_name"]).to_pylist(),
        generated_at=dt.datetime.now(dt.UTC),
        idempotency_key=f"{tenant.text}:scores",
    )


def _publish_namesake(registry: Registry, store: ObjectStore, beta: Tenant) -> None:
    """A third tenant whose exports hold beta's marks and whose id begins with alpha's."""
    registry.request(NAMESAKE, "starter", "test")
    published(store, NAMESAKE, beta.text, beta.number, MARTS["installs"])


def _refuse_an_event_of_each(settings: Settings, tenants: list[Tenant]) -> None:
    """A refused event of each in the lake, whose id and reason bear its marks."""
    lake = Lake(settings)
    lake.ensure_tables()
    keyring, now = Keyring(settings.keys()), dt.datetime.now(dt.UTC)
    rows = [
        {
            "tenant_id": tenant.tenant_id,
            "received_at": now,
            "received_date": now.date(),
            "quarantine_id": f"{tenant.text}_id",
            "event_id": tenant.event_id,
            "event_date": None,
            "reason_code": tenant.text,
            "pointer": f"/{tenant.text}",
            "reason": f"{tenant.text} is {tenant.number}",
            "body_sealed": TenantPii(keyring, tenant.tenant_id).seal(
                tenant.text.encode(), quarantine_context(f"{tenant.text}_id")
            ),
        }
        for tenant in tenants
    ]
    table = pa.Table.from_pylist(rows, schema=lake.arrow_schema("raw.quarantine"))
    lake.append_with_offsets("raw.quarantine", table, offsets={}, expected_offsets={}, summary={})
    lake.close()
