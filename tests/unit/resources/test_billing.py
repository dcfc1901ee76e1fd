"""Invoices by hand: base, included events, overage, part of a month, and what changes after a month is final."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest

from resources.billing import (
    Invoice,
    Line,
    corrections_of,
    days_of_month,
    final_from,
    invoice_for,
    months_between,
)
from resources.errors import ContractError
from resources.plans import PLANS_FILE, Price, Quota, plan_price, plan_quotas, shares_reached
from resources.registry import Plan

# 49 for 5 million, each further million 12
PRICE = Price("USD", 49_000_000, 5_000_000, 12_000_000)


def billed(month: str, events: int, days: int, corrections: Sequence[Line] = ()) -> Invoice:
    return invoice_for(month, "starter", PRICE, events=events, billed_days=days, corrections=corrections)


def amounts(invoice: Invoice) -> list[int]:
    return [line["amount_micros"] for line in invoice["lines"]]


@pytest.mark.parametrize(
    ("events", "overage_micros"),
    [
        (0, 0),
        (5_000_000, 0),
        (5_000_001, 12),  # 12 micros each
        (6_000_000, 12_000_000),
        (7_654_321, 31_851_852),  # 2,654,321 x 12
    ],
)
def test_a_whole_month_is_the_base_and_each_event_beyond_the_included_ones(
    events: int, overage_micros: int
) -> None:
    invoice = billed("2026-11", events, 30)
    assert amounts(invoice) == [49_000_000, overage_micros]
    assert invoice["total_micros"] == 49_000_000 + overage_micros


def test_half_a_month_has_half_the_base_and_half_the_included_events() -> None:
    invoice = billed("2026-11", 3_000_000, 15)
    # 24.50; 2.5 million included; half a million more
    assert amounts(invoice) == [24_500_000, 6_000_000]


def test_parts_of_a_micro_are_rounded_half_up_and_base_days_down() -> None:
    price = Price("USD", 100, 0, 500_000)  # half a micro per event
    odd = invoice_for("2026-10", "starter", price, events=3, billed_days=10)
    assert amounts(odd) == [32, 2]  # 100 x 10 / 31 = 32.26; 1.5


def test_events_that_a_replay_brings_later_are_charged_and_erased_ones_credited_once() -> None:
    october = billed("2026-10", 6_000_000, 31)
    november = billed("2026-11", 0, 30, corrections_of([october], {"2026-10": 5_500_000}))
    assert amounts(november) == [49_000_000, 0, -6_000_000]
    assert november["lines"][2]["month"] == "2026-10"
    assert november["total_micros"] == 43_000_000
    final = [october, november]
    assert corrections_of(final, {"2026-10": 5_500_000, "2026-11": 0}) == []
    [again] = corrections_of(final, {"2026-10": 7_000_000, "2026-11": 0})
    assert (again["kind"], again["amount_micros"], again["quantity"]) == ("correction", 18_000_000, 1_000_000)


def test_a_month_is_final_after_its_late_window() -> None:
    assert final_from("2026-11", 30) == dt.date(2026, 12, 31)
    assert final_from("2026-02", 1) == dt.date(2026, 3, 2)


def test_months_follow_each_other_over_years_and_a_thirteenth_is_none() -> None:
    assert months_between("2026-11", "2027-02") == ["2026-11", "2026-12", "2027-01", "2027-02"]
    assert days_of_month("2028-02")[1] == dt.date(2028, 2, 29)
    with pytest.raises(ContractError, match="such as 2026-11"):
        days_of_month("2026-13")


@pytest.mark.parametrize("plan", list(Plan))
def test_every_plan_has_every_quota_and_a_price(plan: str) -> None:
    assert set(plan_quotas(plan)) == set(Quota)
    assert all(limit > 0 for limit in plan_quotas(plan).values())
    assert plan_price(plan).base_micros > 0


def test_a_larger_plan_allows_more_of_everything() -> None:
    small, middle, large = (plan_quotas(plan) for plan in Plan)
    assert all(small[quota] < middle[quota] < large[quota] for quota in Quota)


def test_a_plan_that_is_not_in_the_file_is_said_so() -> None:
    with pytest.raises(ContractError, match=PLANS_FILE.name):
        plan_quotas("gold")


@pytest.mark.parametrize(
    ("used", "shares"), [(79, ()), (80, (80,)), (99, (80,)), (100, (80, 100)), (101, (80, 100))]
)
def test_shares_are_reached_at_and_above(used: int, shares: tuple[int, ...]) -> None:
    assert shares_reached(used, 100) == shares
