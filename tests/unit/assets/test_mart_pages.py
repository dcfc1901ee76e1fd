"""Asset pages of the dbt marts over a real ClickHouse: the run's own slice, and no page that fails a run."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from assets.mart_pages import PAGES, with_pages
from assets.pages import code, fraud_markdown, installs_markdown
from assets.partitions import RunSlices
from resources.attribution_summaries import (
    CTIT_BINS,
    CTIT_EDGES_MS,
    ctit_counts,
    fraud_findings,
    installs_by_match,
    match_counts,
)
from tests.support.credit_marts import DAY, NEXT, put_toy, served
from tests.support.page_marts import put_fraud, put_installs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.clickhouse import ClickHouse

EMPTY = dt.date(2026, 5, 1)


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with served(tmp_path_factory.mktemp("pages")) as opened:
        edges = [(1, "device_id", "click", edge) for edge in CTIT_EDGES_MS]
        below = [(1, "device_id", "click", edge - 1) for edge in CTIT_EDGES_MS]
        others: list[Any] = [
            (3, "device_id", "impression", 5_000),
            (5, "organic", "", None),
            (5, "organic", "", None),
        ]
        put_installs(opened, "t_page", DAY, [*edges, *below, *others])
        put_installs(opened, "t_page", NEXT, [(2, "probabilistic", "click", 3_600_000)])
        put_installs(opened, "t_other", DAY, [(1, "referrer", "click", 1)])
        put_fraud(
            opened,
            "t_page",
            DAY,
            [("net|x", "injection", 5, 4, "4 of 9"), ("net_y", "injection", 1, 1, "one")],
        )
        put_fraud(opened, "t_page", NEXT, [("net|x", "injection", 7, 6, "6 of 8")])
        put_fraud(opened, "t_other", DAY, [("net_z", "injection", 9, 9, "theirs")])
        put_toy(opened, "t_page", DAY)
        yield opened


def pages_of(clickhouse: ClickHouse, tenant: str, *dates: dt.date) -> dict[str, dict[str, Any]]:
    """Metadata by mart of a run's results, as values."""
    outputs = [dg.Output(None, output_name=name, metadata={"status": "ok"}) for name in (*PAGES, "kpi_daily")]
    results = with_pages(outputs, clickhouse, RunSlices(tenant, dates))
    return {
        result.output_name: {name: value.value for name, value in result.metadata.items()}
        for result in results
    }


def test_installs_are_counted_at_the_edges_of_the_bins_of_one_tenants_days(clickhouse: ClickHouse) -> None:
    installs = installs_by_match(clickhouse, "t_page", DAY, DAY)
    counts = ctit_counts(installs)
    # an edge is in the bin above it, a millisecond less in the one below
    assert counts["device_id"] == [1, *[2] * (len(CTIT_BINS) - 2), 1]
    assert counts["view by device_id"] == [1, *[0] * (len(CTIT_BINS) - 1)]
    assert "organic" not in counts
    assert match_counts(installs) == [(1, "device_id", 14), (3, "view by device_id", 1), (5, "organic", 2)]
    both = match_counts(installs_by_match(clickhouse, "t_page", DAY, NEXT))
    assert (2, "probabilistic", 1) in both


def test_fraud_is_summed_by_publisher_with_the_reason_of_its_worst_day(clickhouse: ClickHouse) -> None:
    rows = fraud_findings(clickhouse, "t_page", DAY, NEXT).rows()
    assert rows == [
        ("net|x", "injection", "rejected", 2, 12, 10, "6 of 8"),
        ("net_y", "injection", "rejected", 1, 1, 1, "one"),
    ]


def test_a_runs_results_carry_their_pages_and_keep_what_dbt_said(clickhouse: ClickHouse) -> None:
    pages = pages_of(clickhouse, "t_page", DAY)
    assert {page["status"] for page in pages.values()} == {"ok"}
    assert pages["kpi_daily"] == {"status": "ok"}
    assert pages["installs"]["installs"] == 17
    assert "| device_id | 1 | 2 | 2 | 2 | 2 | 2 | 2 | 1 |" in pages["installs"]["click_to_install_time"]
    assert "data:image/svg+xml;base64," in pages["installs"]["click_to_install_time"]
    assert "| 1 | device_id | 14 | 82.4% |" in pages["installs"]["tiers"]
    assert pages["fraud_daily"]["findings"] == 2
    assert "| `net\\|x` | injection | rejected | 5 | 4 | 4 of 9 |" in pages["fraud_daily"]["publishers"]
    credit = pages["attribution_credits"]["purchase_credit"].splitlines()
    assert credit[2] == "| channel | last | linear |"
    assert credit[4] == "| `C` | 19.00 | 8.83 |"


def test_days_without_anything_have_pages_that_say_so(clickhouse: ClickHouse) -> None:
    pages = pages_of(clickhouse, "t_page", EMPTY)
    assert pages["installs"] == {
        "status": "ok",
        "installs": 0,
        "click_to_install_time": "no installs on these days",
        "tiers": "no installs on these days",
    }
    assert pages["fraud_daily"]["publishers"] == "nothing was rejected or flagged on these days"
    assert pages["attribution_credits"]["credit"] == "no conversions on these days"


def test_a_page_that_cannot_be_read_says_why_and_the_result_stands(clickhouse: ClickHouse) -> None:
    clickhouse.command("RENAME TABLE fraud_daily TO fraud_daily_elsewhere")
    try:
        pages = pages_of(clickhouse, "t_page", DAY)
    finally:
        clickhouse.command("RENAME TABLE fraud_daily_elsewhere TO fraud_daily")
    assert pages["fraud_daily"]["status"] == "ok"
    assert pages["fraud_daily"]["page"].startswith("could not be read: ClickHouse at ")
    assert pages["installs"]["installs"] == 17


def test_results_of_checks_pass_by(clickhouse: ClickHouse) -> None:
    check = dg.AssetCheckResult(passed=True, asset_key=dg.AssetKey("installs"), check_name="unique")
    assert list(with_pages([check], clickhouse, RunSlices("t_page", (DAY,)))) == [check]


def test_a_tenants_text_is_no_markup_of_a_page(clickhouse: ClickHouse) -> None:
    assert code("a`b|c\nd") == "`a'b\\|c d`"
    assert code("") == "(none)"
    installs = installs_by_match(clickhouse, "t_page", EMPTY, EMPTY)
    assert installs_markdown(installs)[0] == "no installs on these days"
    many = fraud_findings(clickhouse, "t_page", DAY, NEXT)
    assert len(fraud_markdown(many).splitlines()) == 2 + 2
