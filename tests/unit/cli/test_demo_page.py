"""The demo's report as a page and at a terminal: the same numbers as the JSON, whatever is missing or oddly named."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from rich.console import Console

from cli.demo_findings import credit_rows
from cli.demo_page import page, table_html, write_page
from cli.demo_tables import confusion_lines, confusion_table, credit_table, ctit_table, render_report
from resources.attribution_summaries import CTIT_BINS
from resources.credit.channel_models import PATH_MODELS
from tests.support.demo_report import CONFUSION, HOSTILE, NOTHING, credit, report

if TYPE_CHECKING:
    from pathlib import Path


class Document(HTMLParser):
    """Tags with their attributes, and the cells of every table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self._cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.tables[-1][-1][-1] += data


def terminal(given: dict[str, Any], width: int = 100) -> str:
    out = io.StringIO()
    render_report(Console(file=out, width=width), given)
    return out.getvalue()


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    document = Document(page(report()))
    assert {"script", "link", "img", "iframe"}.isdisjoint(tag for tag, _ in document.tags)
    given = [
        value
        for tag, attributes in document.tags
        for name, value in attributes.items()
        if name in ("src", "href")
    ]
    assert given == []
    assert "url(" not in page(report())
    assert "default-src 'none'" in page(report())


def test_every_figure_has_a_title_and_the_same_numbers_as_a_table() -> None:
    html = page(report())
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        assert re.search(r"<svg.*?<title id=.*?</title><desc id=.*?</desc>", figure, re.DOTALL)
    tables = [Document(figure).tables[0] for figure in figures]
    assert tables[0] == [
        ["model", "net_a", HOSTILE],
        ["first", "30.00", "10.00"],
        ["markov_1", "12.50", "27.50"],
    ]
    assert tables[1] == [["model", "net_a", HOSTILE], ["first", "7.25", "0.00"]]  # the same order and colours
    assert tables[2] == [["match", *CTIT_BINS], ["device_id", "0", "4", "1,200", "8", "0", "0", "0", "0"]]
    assert "markov_1 · net_a: 12.50" in figures[0]


def test_the_page_shows_truth_against_decision_fraud_and_the_model() -> None:
    tables = Document(page(report())).tables
    assert [
        ["true \\ decided", "device_id", "device_id!", "organic"],
        ["click", "25", "5", "0"],
        ["organic", "0", "0", "10"],
    ] in tables
    assert any(row[:3] == [HOSTILE, "injection", "rejected"] for table in tables for row in table)
    assert any(row == ["mae", "0.5", "0.5", "0.5"] for table in tables for row in table)
    assert any(row == ["1", "device_id", "30", "75.0%"] for table in tables for row in table)


def test_without_conversions_the_page_says_so_and_draws_nothing() -> None:
    html = page(report(NOTHING, confusion=[], attribution={}, ltv={"t1": {}}))
    assert "<svg" not in html
    for sentence in (
        "No installs yet: nothing to credit.",
        "No purchases yet: nothing to credit.",
        "No attributed installs yet.",
        "No installs yet.",
        "No model was trained yet.",
        "Nothing was rejected or flagged.",
    ):
        assert sentence in html
    assert "Truth against decision" not in html


def test_numbers_that_do_not_agree_are_on_the_page() -> None:
    html = page(report(ok=False, failures=["t1: sent 11 <but> clean 10"]))
    assert "t1: sent 11 &lt;but&gt; clean 10" in html
    assert "Both sides" not in html


def test_the_page_is_written_where_it_is_said_to_be(tmp_path: Path) -> None:
    path = write_page(tmp_path / "report", report())
    assert path == tmp_path / "report" / "report.html"
    assert path.read_text(encoding="utf-8") == page(report())


def test_numbers_stand_to_the_right_and_texts_are_escaped() -> None:
    document = Document(table_html(("name", "n", "share"), [("<a>", 1_234, "12.5%"), ("b", 0, "0.0%")]))
    assert document.tables == [[["name", "n", "share"], ["<a>", "1,234", "12.5%"], ["b", "0", "0.0%"]]]
    cells = [attributes.get("class") for tag, attributes in document.tags if tag == "td"]
    assert cells == [None, "number", "number", None, "number none", "number"]
    assert Document(table_html(("a",), [])).tables == [[["a"]]]


def test_the_terminal_shows_credit_times_and_truth_with_bars() -> None:
    said = terminal(report())
    assert "t1: installs by channel and model" in said
    assert re.search(r"markov_1 .* ██▌ +12\.5 .* █████▌ +27\.5", said)
    assert re.search(r"<10 min .* ██████ +1,200", said)
    assert re.search(r"click +│ +25 │ +5 │ +0 ", said)
    assert "As a page, with plots: report.html" in said


def test_the_terminal_says_what_there_is_not() -> None:
    said = terminal(report(NOTHING, confusion=[], attribution={}, ltv={"t1": {}}))
    for sentence in ("no installs yet, no credit to give", "no purchases yet", "no fraud found"):
        assert sentence in said


@pytest.mark.parametrize(("width", "named"), [(40, 1), (80, 2), (200, 9), (400, 12)])
def test_the_credit_table_has_as_many_channels_as_fit_and_loses_no_credit(width: int, named: int) -> None:
    channels = [f"net_{number:02}" for number in range(12)]
    rows = [credit("install", "last", channel, 10.0, 0) for channel in channels]
    heads, lines = credit_table(rows, "conversions", width)
    assert heads == ["model", *channels[:named], *(["others"] if named < len(channels) else [])]
    assert sum(float(str(cell).split()[-1]) for cell in lines[0][1:]) == 120.0


def test_what_was_true_and_decided_is_a_matrix_and_where_that_is_too_wide_a_list() -> None:
    assert confusion_lines(CONFUSION) == confusion_table(CONFUSION)
    many = [
        {"true": "click", "decided": f"kind {number}", "stolen": "", "installs": number}
        for number in range(9)
    ]
    heads, lines = confusion_lines(many)
    assert heads == ["true", "decided", "installs"]
    assert lines == [("click", f"kind {number}", number) for number in range(1, 9)]


def test_times_without_any_install_have_no_bar() -> None:
    heads, lines = ctit_table([{"match": "referrer", "ctit": name, "installs": 0} for name in CTIT_BINS])
    assert heads == ["CTIT", "referrer"]
    assert [line[0] for line in lines] == list(CTIT_BINS)
    assert {str(line[1]).strip() for line in lines} == {"0"}


def test_credit_of_a_period_is_in_the_order_of_the_models_and_without_conversions_empty() -> None:
    key = {"app_id": "app", "conversion_type": "install", "event_name": ""}
    sums = pl.DataFrame(
        [
            {**key, "model": model, "channel": channel, "conversions": 1.0, "revenue_micros": 5}
            for model in ("linear", "first")
            for channel in ("b", "a")
        ]
    )
    paths = pl.DataFrame([{**key, "path": ["a", "b"], "conversions": 2, "nulls": 1, "value_micros": 10}])
    rows = credit_rows(pl.concat([sums, sums.with_columns(app_id=pl.lit("other"))]), paths)
    assert [(row["model"], row["channel"]) for row in rows][:4] == [
        ("first", "a"),
        ("first", "b"),
        ("linear", "a"),
        ("linear", "b"),
    ]
    assert [row["model"] for row in rows][4::2] == list(PATH_MODELS)
    assert rows[0] == credit("install", "first", "a", 2.0, 10)  # both apps
    assert credit_rows(sums.clear(), paths.clear()) == []
