"""What a month costs: pure functions from usage and price to lines in integer micros. Reading and keeping: `invoices`.

Billed are clean events: distinct and valid; repeats and refused ones are free. A month is a draft until its events can
no longer change by themselves (its last day and LATE_DAYS), then final. What changes after that, by a replay or an
erasure, is a correction line of the next invoice, at the prices that the month was billed by.
"""

from __future__ import annotations

import datetime as dt
import re
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypedDict

from resources.errors import ContractError
from resources.plans import Price

MONTH_PATTERN = r"^\d{4}-(0[1-9]|1[0-2])$"
_MILLION = 1_000_000


class Line(TypedDict):
    """One line. `month` is the one it is for: an earlier one's, of a correction."""

    kind: Literal["base", "events", "correction"]
    month: str
    description: str
    quantity: int
    amount_micros: int


class Invoice(TypedDict):
    """An invoice as it is kept: with all that its amounts follow from."""

    month: str
    plan: str
    currency: str
    base_micros: int
    included_events: int
    micros_per_million_events: int
    billed_days: int
    events: int
    lines: list[Line]
    total_micros: int


def month_of(day: dt.date) -> str:
    """`2026-11`."""
    return f"{day.year:04d}-{day.month:02d}"


def days_of_month(month: str) -> tuple[dt.date, dt.date]:
    """A month's first and last day.

    Raises:
        ContractError: it is none.
    """
    if re.fullmatch(MONTH_PATTERN, month) is None or month < "1970":
        raise ContractError("name a month such as 2026-11")
    year, number = map(int, month.split("-"))
    return dt.date(year, number, 1), dt.date(year, number, monthrange(year, number)[1])


def months_between(first: str, last: str) -> list[str]:
    """Every month of first..last, ascending."""
    months, day = [], days_of_month(first)[0]
    while (month := month_of(day)) <= last:
        months.append(month)
        day = days_of_month(month)[1] + dt.timedelta(days=1)
    return months


def final_from(month: str, late_days: int) -> dt.date:
    """The first day on which the month's invoice is final."""
    return days_of_month(month)[1] + dt.timedelta(days=late_days + 1)


def usage_lines(month: str, plan: str, price: Price, events: int, billed_days: int) -> list[Line]:
    """A month's own lines; base and included events are those of the billed days, rounded down."""
    first, last = days_of_month(month)
    days = (last - first).days + 1
    included = price.included_events * billed_days // days
    overage = max(0, events - included)
    part = f", {billed_days} of {days} days" if billed_days < days else ""
    return [
        Line(
            kind="base",
            month=month,
            description=f"plan {plan}{part}",
            quantity=billed_days,
            amount_micros=price.base_micros * billed_days // days,
        ),
        Line(
            kind="events",
            month=month,
            description=f"{events} events, {included} of them included",
            quantity=overage,
            amount_micros=_rounded(overage * price.micros_per_million_events, _MILLION),
        ),
    ]


def invoice_for(
    month: str, plan: str, price: Price, *, events: int, billed_days: int, corrections: Iterable[Line] = ()
) -> Invoice:
    """The month's invoice."""
    lines = [*usage_lines(month, plan, price, events, billed_days), *corrections]
    return Invoice(
        month=month,
        plan=plan,
        currency=price.currency,
        base_micros=price.base_micros,
        included_events=price.included_events,
        micros_per_million_events=price.micros_per_million_events,
        billed_days=billed_days,
        events=events,
        lines=lines,
        total_micros=sum(line["amount_micros"] for line in lines),
    )


def corrections_of(final: Sequence[Invoice], events_now: Mapping[str, int]) -> list[Line]:
    """What earlier months cost now less what was billed for them in `final`, corrections included.

    Args:
        final: every final invoice so far.
        events_now: month → its clean events as they are counted now.
    """
    lines = []
    for invoice in sorted(final, key=lambda each: each["month"]):
        month, events = invoice["month"], events_now[invoice["month"]]
        due = sum(
            line["amount_micros"]
            for line in usage_lines(month, invoice["plan"], price_of(invoice), events, invoice["billed_days"])
        )
        billed = sum(
            line["amount_micros"] for each in final for line in each["lines"] if line["month"] == month
        )
        if due != billed:
            word = "credit" if due < billed else "charge"
            lines.append(
                Line(
                    kind="correction",
                    month=month,
                    description=f"{word} for {month}: {events} events after {invoice['events']} were billed",
                    quantity=events - invoice["events"],
                    amount_micros=due - billed,
                )
            )
    return lines


def price_of(invoice: Invoice) -> Price:
    """The price that the invoice was made by."""
    return Price(
        invoice["currency"],
        invoice["base_micros"],
        invoice["included_events"],
        invoice["micros_per_million_events"],
    )


def _rounded(numerator: int, denominator: int) -> int:
    """Nearest integer, halves up, of two numbers that are not negative."""
    return (2 * numerator + denominator) // (2 * denominator)
