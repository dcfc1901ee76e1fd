"""Quotas, alerts and invoices in the registry, the same over SQLite and a real PostgreSQL."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from resources.billing import Invoice, invoice_for
from resources.errors import ContractError, QuotaExceededError, TenantNotFoundError, UsersQuotaError
from resources.plans import LIMIT_MAX, Price, Quota, plan_quotas
from resources.registry import DoorLimits, Registry, TenantState
from resources.registry.engine import open_engine

NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


@pytest.fixture
def house(registry: Registry) -> Registry:
    for tenant_id in ("t1", "t2"):
        registry.request(tenant_id, "starter", "ann")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            registry.transition(tenant_id, state, actor="job")
    return registry


def limit_of(registry: Registry, tenant_id: str, quota: Quota) -> int:
    return next(each.limit for each in registry.quotas(tenant_id) if each.quota is quota)


def test_a_tenant_has_its_plans_limits_until_an_operator_sets_its_own(house: Registry) -> None:
    plan = plan_quotas("starter")
    assert {each.quota: each.limit for each in house.quotas("t1")} == plan
    house.set_quotas("t1", {Quota.EVENTS_PER_DAY: 7, Quota.USERS: 9}, "olga", "a good customer")
    assert house.door_limits() == {
        "t1": DoorLimits(plan[Quota.EVENTS_PER_SECOND], 7),
        "t2": DoorLimits(plan[Quota.EVENTS_PER_SECOND], plan[Quota.EVENTS_PER_DAY]),
    }
    entry = house.audit("t1")[-1]
    assert (entry.action, entry.actor, entry.reason) == ("quota.set", "olga", "a good customer")
    assert entry.before == {"events_per_day": plan[Quota.EVENTS_PER_DAY], "users": plan[Quota.USERS]}
    assert entry.after == {"events_per_day": 7, "users": 9}
    assert [each.quota for each in house.quotas("t1") if each.is_override] == ["events_per_day", "users"]


def test_setting_the_same_again_is_not_audited_and_none_goes_back_to_the_plan(house: Registry) -> None:
    for _ in range(2):
        house.set_quotas("t1", {Quota.EVENTS_PER_DAY: 7}, "olga")
    assert [each.action for each in house.audit("t1")].count("quota.set") == 1
    house.set_quotas("t1", {Quota.EVENTS_PER_DAY: None}, "olga")
    house.change_plan("t1", "enterprise", "olga")
    assert limit_of(house, "t1", Quota.EVENTS_PER_DAY) == plan_quotas("enterprise")[Quota.EVENTS_PER_DAY]


@pytest.mark.parametrize("limit", [0, -1, LIMIT_MAX + 1])
def test_a_limit_that_is_none_is_refused_and_nothing_is_written(house: Registry, limit: int) -> None:
    with pytest.raises(ContractError, match="t1: users must be between"):
        house.set_quotas("t1", {Quota.EVENTS_PER_DAY: 5, Quota.USERS: limit}, "olga")
    assert not any(each.is_override for each in house.quotas("t1"))


def test_quotas_of_an_unknown_tenant_are_not_there(house: Registry) -> None:
    with pytest.raises(TenantNotFoundError):
        house.quotas("ghost")
    with pytest.raises(TenantNotFoundError):
        house.set_quotas("ghost", {Quota.USERS: 5}, "olga")


def test_a_suspended_tenant_has_no_limits_at_the_door(house: Registry) -> None:
    house.transition("t2", TenantState.SUSPENDED, actor="ann")
    assert list(house.door_limits()) == ["t1"]


def test_each_share_of_a_quota_is_told_once_per_period_whoever_sees_it(house: Registry) -> None:
    def note(used: int) -> int:
        return len(house.note_quota_use("t1", Quota.EVENTS_PER_DAY, "2026-11-20", used, 100))

    assert [note(used) for used in (79, 80, 81, 99)] == [0, 1, 0, 0]
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(note, [100] * 4)) == 1
    assert house.note_quota_use("t1", Quota.EVENTS_PER_DAY, "2026-11-21", 80, 100)
    assert [(each.period, each.share_percent, each.used) for each in house.quota_alerts("t1")] == [
        ("2026-11-20", 80, 80),
        ("2026-11-20", 100, 100),
        ("2026-11-21", 80, 80),
    ]
    assert house.quota_alerts("t2") == ()
    assert "tenant upgrade t1" in str(house.quota_alerts()[0])


def test_pulled_bytes_are_counted_per_day_and_refused_whole_beyond_the_limit(house: Registry) -> None:
    house.set_quotas("t1", {Quota.EXPORT_BYTES_PER_DAY: 100}, "olga")
    today, tomorrow = NOON.date(), NOON.date() + dt.timedelta(days=1)
    house.charge_pulled_bytes("t1", today, 90, NOON)
    with pytest.raises(QuotaExceededError, match="t1 has used its export_bytes_per_day of 100") as refused:
        house.charge_pulled_bytes("t1", today, 11, NOON)
    assert (refused.value.quota, refused.value.retry_after_s) == ("export_bytes_per_day", 12 * 3600 + 1)
    house.charge_pulled_bytes("t1", today, 10, NOON)
    house.charge_pulled_bytes("t1", tomorrow, 1, NOON)
    assert house.pulled_bytes("t1", [today, tomorrow]) == {today: 100, tomorrow: 1}
    assert house.pulled_bytes("t2", [today]) == {}
    assert [each.share_percent for each in house.quota_alerts("t1")] == [80, 100]


def test_a_tenant_gets_no_more_users_than_its_quota_and_the_platform_any_number(house: Registry) -> None:
    house.set_quotas("t1", {Quota.USERS: 2}, "olga")
    house.create_user("one@t1", "t1", (), "ann")
    house.create_user("two@t1", "t1", (), "ann")
    with pytest.raises(UsersQuotaError, match="t1 may have 2 users"):
        house.create_user("three@t1", "t1", (), "ann")
    house.create_user("one@t2", "t2", (), "ann")
    house.create_user("someone@platform", None, (), "ann")
    assert [(each.quota, each.share_percent) for each in house.quota_alerts()] == [
        ("users", 80),
        ("users", 100),
    ]


def invoice(month: str, events: int = 1) -> Invoice:
    return invoice_for(month, "starter", Price("USD", 1, 0, 1), events=events, billed_days=1)


def test_a_final_invoice_stays_as_it_was_first_written(house: Registry) -> None:
    assert house.close_invoice("t1", invoice("2026-10"), "job") == invoice("2026-10")
    assert house.close_invoice("t1", invoice("2026-10", events=5), "job") == invoice("2026-10")
    house.close_invoice("t1", invoice("2026-09"), "job")
    assert [each["month"] for each in house.final_invoices("t1")] == ["2026-09", "2026-10"]
    assert house.final_invoices("t2") == []
    assert [each.action for each in house.audit("t1")].count("invoice.closed") == 2


@pytest.mark.parametrize(
    "statement", ["UPDATE registry_invoices SET month = '2026-01'", "DELETE FROM registry_invoices"]
)
def test_nobody_changes_a_final_invoice(house: Registry, database_url: str, statement: str) -> None:
    house.close_invoice("t1", invoice("2026-10"), "job")
    engine = open_engine(database_url)
    with pytest.raises(DBAPIError, match="append only"), engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_the_plan_of_a_moment_is_the_one_that_was_in_force_then(house: Registry) -> None:
    before = dt.datetime.now(dt.UTC)
    house.change_plan("t1", "enterprise", "ann")
    assert house.plan_at("t1", before) == "starter"
    assert house.plan_at("t1", dt.datetime.now(dt.UTC)) == "enterprise"
    assert house.plan_at("t1", NOON - dt.timedelta(days=9000)) == "starter"
