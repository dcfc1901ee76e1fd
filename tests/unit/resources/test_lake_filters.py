"""Row filters quote their values, and refuse what they cannot quote."""

from __future__ import annotations

import datetime as dt

import pytest
from pyiceberg.expressions import parser

from resources.errors import ContractError
from resources.lake_filters import above, all_of, at_least, below, equals, is_in

DAY = dt.date(2026, 11, 1)


def test_every_filter_is_one_that_pyiceberg_reads() -> None:
    text = all_of(
        equals("tenant_id", "t1"), is_in("event_date", [DAY]), above("n", 1), below("n", 9), at_least("n", 2)
    )
    assert "t1" in repr(parser.parse(text))


def test_no_values_match_no_row() -> None:
    assert is_in("event_date", []) == "false"


@pytest.mark.parametrize("value", ["t1' or 'a' = 'a", "t1\\"])
def test_a_value_that_could_leave_its_quotes_is_refused(value: str) -> None:
    with pytest.raises(ContractError, match="quote"):
        equals("tenant_id", value)
