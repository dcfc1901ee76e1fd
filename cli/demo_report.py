"""What the demo reports: counts on both sides of every step, accuracy against the truth, model metrics.

How it is shown is `cli.demo_tables` (a terminal) and `cli.demo_page` (a browser).
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx

from cli.demo_findings import attribution, confusion_rows, findings
from resources.clickhouse import ClickHouse
from resources.control_plane_client import ControlPlaneClient
from resources.embedded.stack import service_urls
from resources.errors import ModelNotFoundError, ServiceUnavailableError
from resources.lake import Lake
from resources.model_registry import ModelRegistry

if TYPE_CHECKING:
    from cli.demo_steps import Demo, DemoWorld
    from resources.settings import Settings

PERIOD = "30d"
MARTS = ("installs", "campaign_daily", "kpi_daily")


def build_report(demo: Demo, world: DemoWorld) -> dict[str, Any]:
    """The whole report; `failures` says which numbers do not agree."""
    settings = demo.settings
    clickhouse, lake, models = ClickHouse.from_settings(settings), Lake(settings), ModelRegistry(settings)
    tenants = [tenant_report(demo, world, tenant_id, lake, clickhouse) for tenant_id in world.events]
    ltv = {tenant_id: model_metrics(models, tenant_id) for tenant_id in world.events}
    failures = [failure for tenant in tenants for failure in disagreements(tenant)]
    failures += [f"{tenant_id}: no champion model" for tenant_id, metrics in ltv.items() if not metrics]
    urls = service_urls(settings)
    urls |= {f"dashboard {tenant['tenant_id']}": tenant["dashboard"]["url"] for tenant in tenants}
    return {
        "ok": not failures,
        "failures": failures,
        "tenants": tenants,
        "attribution": attribution(world, clickhouse),
        "confusion": confusion_rows(world, clickhouse),
        "findings": {tenant_id: findings(clickhouse, tenant_id) for tenant_id in world.events},
        "ltv": ltv,
        "urls": urls,
    }


def tenant_report(
    demo: Demo, world: DemoWorld, tenant_id: str, lake: Lake, clickhouse: ClickHouse
) -> dict[str, Any]:
    """Counts of one tenant along its way: sent, lake, marts, exports, plane, dashboard."""
    raw = lake.read("raw.events", f"tenant_id = '{tenant_id}'", ["event_id"]).height
    clean = lake.read("clean.events", f"tenant_id = '{tenant_id}'", ["event_id"]).height
    quarantined = lake.read("raw.quarantine", f"tenant_id = '{tenant_id}'", ["reason_code"])
    plane = ControlPlaneClient(demo.settings).call("GET", f"/v1/tenants/{tenant_id}")["planeUrl"]
    campaigns = clickhouse.query_rows(CREDIT, {"tenant": tenant_id})
    with closing(sign_in(demo.settings, tenant_id, plane)) as session:
        held, shown = plane_rows(session), dashboard_totals(session)
    return {
        "tenant_id": tenant_id,
        "sent": len(world.events[tenant_id]),
        "clean": clean,
        "duplicates": raw - clean,
        "quarantined": quarantined.height,
        "quarantined_by_reason": dict(
            quarantined.group_by("reason_code").len().sort("reason_code").iter_rows()
        ),
        "installs": sum(row["installs"] for row in campaigns),
        "campaign_credit": campaigns,
        "mart_totals": clickhouse.query_rows(TOTALS, {"tenant": tenant_id})[0],
        "export_rows": export_rows(demo, tenant_id),
        "tenant_rows": held,
        "dashboard": {"url": plane, **shown},
    }


CREDIT = """
SELECT source, campaign, sum(installs) AS installs, sum(revenue_micros) AS revenue_micros,
       sum(spend_micros) AS spend_micros
FROM marts.campaign_daily WHERE tenant_id = {tenant:String} AND model = 'last_touch'
GROUP BY source, campaign HAVING installs > 0 OR spend_micros > 0 ORDER BY installs DESC, source, campaign"""
TOTALS = """
SELECT sum(events) AS events, sum(sessions) AS sessions, sum(purchases) AS purchases,
       sum(revenue_micros) AS "revenueMicros",
       (SELECT count() FROM marts.installs WHERE tenant_id = {tenant:String}) AS installs,
       (SELECT sum(spend_micros) FROM marts.campaign_daily
        WHERE tenant_id = {tenant:String} AND model = 'last_touch') AS "spendMicros"
FROM marts.kpi_daily WHERE tenant_id = {tenant:String}"""


def sign_in(settings: Settings, tenant_id: str, plane_url: str) -> httpx.Client:
    """A signed-in session of the tenant's first administrator.

    Raises:
        ServiceUnavailableError: the plane does not answer or refuses.
    """
    password = (settings.tenants_dir / tenant_id / "initial_admin_password").read_text().strip()
    client = httpx.Client(base_url=plane_url, timeout=30.0, trust_env=False)
    credentials = {"user": "admin", "password": password, "mode": "bearer"}
    answer = client.post("/api/v1/auth", json=credentials)
    if not answer.is_success:
        client.close()
        raise ServiceUnavailableError(
            f"tenant {tenant_id}: its plane refuses the first sign-in: {answer.text}"
        )
    client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    return client


def plane_rows(session: httpx.Client) -> dict[str, int]:
    """Rows per mart and scores that the tenant's plane holds."""
    rows = {mart["mart"]: mart["rows"] for mart in session.get("/api/v1/marts").json()["marts"]}
    return {**rows, "ltv_scores": session.get("/api/v1/ml/scores?limit=1").json()["total"]}


def dashboard_totals(session: httpx.Client) -> dict[str, Any]:
    """The dashboard's totals over its longest period that covers the demo."""
    stats = session.get(f"/api/v1/dashboard/stats?period={PERIOD}").json()
    return {"from": stats["from"], "to": stats["to"], "totals": stats["totals"], "ltv": stats["ltv"]}


def export_rows(demo: Demo, tenant_id: str) -> dict[str, int]:
    """Rows per dataset as the manifests tell; of scores, the newest date's (the plane shows those)."""
    rows: dict[str, int] = {}
    for path in sorted((demo.settings.exports_dir / tenant_id).glob("*/date=*/manifest.json")):
        dataset = path.parts[-3]
        count = sum(entry["rows"] for entry in json.loads(path.read_text())["files"])
        if dataset == "ltv_scores":
            rows[dataset] = count or rows.get(dataset, 0)
        else:
            rows[dataset] = rows.get(dataset, 0) + count
    return rows


def model_metrics(models: ModelRegistry, tenant_id: str) -> dict[str, Any]:
    """Version and metrics of the tenant's champion; empty when there is none."""
    try:
        champion = models.by_alias(f"ltv_{tenant_id}", "champion")
    except ModelNotFoundError:
        return {}
    return {"version": champion.version, **models.metrics(champion)}


def disagreements(tenant: dict[str, Any]) -> list[str]:
    """Sentences about numbers of one tenant that ought to be equal and are not."""
    name = tenant["tenant_id"]
    failures = []
    accounted = tenant["clean"] + tenant["duplicates"] + tenant["quarantined"]
    if tenant["sent"] != accounted:
        failures.append(f"{name}: sent {tenant['sent']} but clean + duplicates + quarantined = {accounted}")
    for dataset in (*MARTS, "ltv_scores"):
        exported, held = tenant["export_rows"].get(dataset, 0), tenant["tenant_rows"].get(dataset, 0)
        if exported != held or not exported:
            failures.append(f"{name}: {exported} rows of {dataset} exported, {held} in the tenant's plane")
    shown = tenant["dashboard"]["totals"]
    for key, value in tenant["mart_totals"].items():
        if shown[key] != value:
            failures.append(f"{name}: the dashboard shows {key} {shown[key]}, the mart has {value}")
    return failures
