"""Quotas, usage and invoices over HTTP, and by the command line: who may, what it says, what stays."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cli.billing import money
from cli.main import app
from control_plane.app import create_app
from resources.billing import days_of_month
from resources.clickhouse import ClickHouse
from resources.embedded.stack import free_port
from resources.invoices import Billing
from resources.plans import Quota, plan_price, plan_quotas
from resources.registry import Registry, TenantState
from resources.settings import Settings
from tests.support.control_plane_server import PARQUET, Server, admin_headers
from tests.support.served_app import served
from tests.support.trace_world import served as clickhouse_served
from tests.support.usage_rows import put_usage

TENANT, OTHER = "t123", "t456"
TODAY = dt.datetime.now(dt.UTC).date()
MONTH = f"{TODAY:%Y-%m}"
MILLION = 1_000_000


@dataclass
class Plane:
    settings: Settings
    client: httpx.Client
    registry: Registry
    clickhouse: ClickHouse
    admin: dict[str, str]
    key: dict[str, str]

    def get(self, path: str, status: int = 200, headers: dict[str, str] | None = None) -> Any:
        answer = self.client.get(path, headers=self.admin if headers is None else headers)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    settings = Settings(
        home=tmp_path_factory.mktemp("home"), clickhouse_port=free_port("127.0.0.1", 0, set())
    )
    registry = Registry.from_settings(settings)
    registry.migrate()
    for tenant in (TENANT, OTHER):
        registry.request(tenant, "starter", "test")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            registry.transition(tenant, state, actor="test")
    key = {"Authorization": f"Bearer {registry.mint_key(TENANT, 'export', 'test')}"}
    with (
        clickhouse_served(settings) as clickhouse,
        served(create_app(settings, registry)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        made = Plane(settings, client, registry, clickhouse, admin_headers(settings, url), key)
        # before the first slice of anybody there is no table, which is nothing else than no use
        assert made.get(f"/v1/tenants/{TENANT}/usage") == {"tenantId": TENANT, "days": []}
        assert made.get(f"/v1/tenants/{TENANT}/invoices/{MONTH}")["events"] == 0
        put_usage(clickhouse, TENANT, {TODAY: 7 * MILLION})
        put_usage(clickhouse, OTHER, {TODAY: 1})
        yield made
    registry.close()


def test_usage_is_the_tenants_own_by_day(plane: Plane) -> None:
    [day] = plane.get(f"/v1/tenants/{TENANT}/usage")["days"]
    assert (day["eventDate"], day["eventsReceived"], day["eventsClean"]) == (
        TODAY.isoformat(),
        7 * MILLION + 3,
        7 * MILLION,
    )
    assert plane.get(f"/v1/tenants/{TENANT}/usage?from=2026-01-01&to=2026-01-31")["days"] == []
    plane.get(f"/v1/tenants/{TENANT}/usage?from=2026-02-01&to=2026-01-31", 422)
    plane.get(f"/v1/tenants/{TENANT}/usage?from=2020-02-01&to=2026-01-31", 422)


def test_the_running_month_is_a_draft_of_its_days_since_the_tenant_came(plane: Plane) -> None:
    invoice = plane.get(f"/v1/tenants/{TENANT}/invoices/{MONTH}")
    price = plan_price("starter")
    first, last = days_of_month(MONTH)
    days, of_month = (last - TODAY).days + 1, (last - first).days + 1
    overage = 7 * MILLION - price.included_events * days // of_month
    events_micros = (2 * overage * price.micros_per_million_events + MILLION) // (2 * MILLION)
    assert (invoice["status"], invoice["plan"], invoice["currency"]) == ("draft", "starter", "USD")
    assert [line["amountMicros"] for line in invoice["lines"]] == [
        price.base_micros * days // of_month,
        events_micros,
    ]
    assert invoice["totalMicros"] == sum(line["amountMicros"] for line in invoice["lines"])
    assert plane.get(f"/v1/tenants/{TENANT}/invoices")["items"] == [invoice]
    plane.get(f"/v1/tenants/{TENANT}/invoices/2019-01", 404)
    plane.get(f"/v1/tenants/{TENANT}/invoices/2026-13", 422)


def test_a_closed_month_keeps_its_amounts_and_what_changes_later_is_in_the_next(plane: Plane) -> None:
    tenant = "t789"
    plane.registry.request(tenant, "starter", "test")
    billing = Billing(plane.registry, plane.clickhouse, late_days=30, actor="test")
    next_month = days_of_month(MONTH)[1] + dt.timedelta(days=1)
    after_late_window = days_of_month(MONTH)[1] + dt.timedelta(days=31)
    put_usage(plane.clickhouse, tenant, {TODAY: 9 * MILLION})
    assert billing.invoice(tenant, MONTH, next_month).status == "draft"
    closed = billing.invoice(tenant, MONTH, after_late_window)
    assert closed.status == "final"
    put_usage(plane.clickhouse, tenant, {TODAY: 8 * MILLION})
    assert billing.invoice(tenant, MONTH, after_late_window) == closed
    following = billing.invoice(tenant, f"{next_month:%Y-%m}", after_late_window)
    assert following.status == "draft"
    [correction] = [line for line in following.invoice["lines"] if line["kind"] == "correction"]
    # a million fewer, all of them beyond the included ones
    assert (correction["month"], correction["amount_micros"]) == (MONTH, -12 * MILLION)
    assert "credit" in correction["description"]


def test_an_operator_sets_a_limit_and_no_tenant_key_reads_or_sets_one(plane: Plane) -> None:
    path = f"/v1/tenants/{OTHER}/quotas"
    body = {"limits": {"eventsPerDay": 99}, "reason": "agreed by phone"}
    for headers, status in ((plane.key, 403), ({}, 401)):
        assert plane.client.patch(path, json=body, headers=headers).status_code == status
    answer = plane.client.patch(path, json=body, headers=plane.admin)
    assert answer.status_code == 200, answer.text
    quotas = {each["quota"]: each for each in plane.get(path)["quotas"]}
    limit = plan_quotas("starter")
    assert quotas["events_per_day"] == {
        "quota": "events_per_day",
        "limit": 99,
        "planLimit": limit[Quota.EVENTS_PER_DAY],
        "isOverride": True,
    }
    assert not quotas["users"]["isOverride"]
    assert plane.registry.audit(OTHER)[-1].reason == "agreed by phone"
    plane.client.patch(path, json={"limits": {"eventsPerDay": None}}, headers=plane.admin)
    assert not any(each["isOverride"] for each in plane.get(path)["quotas"])


@pytest.mark.parametrize(
    "limits", [{"eventsPerDay": 0}, {"eventsPerDay": "many"}, {"storage": 5}, {"users": 2**63}, None]
)
def test_a_limit_that_is_none_is_422(plane: Plane, limits: object) -> None:
    answer = plane.client.patch(f"/v1/tenants/{OTHER}/quotas", json={"limits": limits}, headers=plane.admin)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_pulls_beyond_the_days_volume_are_429_with_the_limits_name(plane: Plane) -> None:
    shelf = Server(plane.settings, plane.registry, plane.client, plane.client)
    shelf.export(TENANT, "installs", "2026-01-02", PARQUET)
    limit = 2 * len(PARQUET)
    plane.client.patch(
        f"/v1/tenants/{TENANT}/quotas", json={"limits": {"exportBytesPerDay": limit}}, headers=plane.admin
    )
    headers = {**plane.key, "X-Tenant-ID": TENANT}
    path = "/v1/exports/installs/2026-01-02"
    assert [plane.client.get(path, headers=headers).status_code for _ in range(2)] == [200, 200]
    refused = plane.client.get(path, headers=headers)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 86_401
    assert refused.json()["errors"][0]["pointer"] == "quota:export_bytes_per_day"
    assert plane.client.get("/v1/exports", headers=headers).status_code == 200
    shares = [each["sharePercent"] for each in plane.get(f"/v1/tenants/{TENANT}/quota-alerts")["items"]]
    assert shares == [80, 100]
    everywhere = plane.get("/v1/quota-alerts?limit=1")
    assert (len(everywhere["items"]), everywhere["next"] is not None) == (1, True)


def test_more_users_than_the_quota_are_409(plane: Plane) -> None:
    plane.client.patch(f"/v1/tenants/{OTHER}/quotas", json={"limits": {"users": 1}}, headers=plane.admin)
    path = f"/v1/tenants/{OTHER}/users"
    assert plane.client.post(path, json={"name": "one@other"}, headers=plane.admin).status_code == 201
    refused = plane.client.post(path, json={"name": "two@other"}, headers=plane.admin)
    assert refused.status_code == 409
    assert "may have 1 users" in refused.json()["detail"]


def run(plane: Plane, monkeypatch: pytest.MonkeyPatch, *arguments: str, exit_code: int = 0) -> Any:
    monkeypatch.setenv("UNMOGROWP_HOME", str(plane.settings.home))
    monkeypatch.setenv("UNMOGROWP_CONTROL_PLANE_PORT", str(plane.client.base_url.port))
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout) if exit_code == 0 else str(result.exception)


def test_the_command_line_says_the_same(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = run(plane, monkeypatch, "usage", TENANT)
    assert usage["days"][0]["eventsClean"] == 7 * MILLION
    assert run(plane, monkeypatch, "invoice", TENANT, "--month", MONTH) == plane.get(
        f"/v1/tenants/{TENANT}/invoices/{MONTH}"
    )
    set_to = run(plane, monkeypatch, "tenant", "quota", TENANT, "--set", "storage_bytes=5_000")
    assert {each["limit"] for each in set_to["quotas"] if each["isOverride"]} >= {5000}
    back = run(plane, monkeypatch, "tenant", "quota", TENANT, "--reset", "storage_bytes")
    assert "storage_bytes" not in {each["quota"] for each in back["quotas"] if each["isOverride"]}
    assert run(plane, monkeypatch, "tenant", "quota-alerts")["alerts"]
    for wrong in ("events_per_day=many", "events=5", "events_per_day"):
        refusal = run(plane, monkeypatch, "tenant", "quota", TENANT, "--set", wrong, exit_code=1)
        assert "events" in refusal


def test_people_read_tables_with_exact_money_and_a_way_out_where_there_is_nothing(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNMOGROWP_HOME", str(plane.settings.home))
    monkeypatch.setenv("UNMOGROWP_CONTROL_PLANE_PORT", str(plane.client.base_url.port))
    monkeypatch.setenv("COLUMNS", "160")

    def shown(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    total = plane.get(f"/v1/tenants/{TENANT}/invoices/{MONTH}")["totalMicros"]
    invoice = shown("invoice", TENANT)
    assert money(total, "USD") in invoice
    assert "final from" in invoice
    assert "7,000,000" in shown("usage", TENANT)
    assert "nothing of t123 was metered" in shown(
        "usage", TENANT, "--from", "2026-01-01", "--to", "2026-01-02"
    )
    assert "events_per_second" in shown("tenant", "quota", TENANT)
    plane.registry.request("quiet", "starter", "test")
    assert "no quota was used to 80 %" in shown("tenant", "quota", "quiet")


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (0, "0.000000 USD"),
        (1, "0.000001 USD"),
        (-12_500_000, "-12.500000 USD"),
        (4_900_000_000, "4,900.000000 USD"),
    ],
)
def test_money_is_written_exactly(micros: int, shown: str) -> None:
    assert money(micros, "USD") == shown
