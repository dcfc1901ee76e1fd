"""The demo's page in a real browser: it loads nothing, fits a phone, and follows the reader's light or dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from cli.demo_page import write_page
from tests.support.demo_report import report

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

INK = "getComputedStyle(document.querySelector('svg text')).fill"
PAPER = "getComputedStyle(document.querySelector('svg rect')).fill"


@pytest.mark.parametrize(
    ("scheme", "ink", "paper"),
    [("light", "rgb(31, 35, 40)", "rgb(255, 255, 255)"), ("dark", "rgb(230, 237, 243)", "rgb(22, 27, 34)")],
)
def test_on_a_phone_nothing_sticks_out_and_charts_have_the_pages_colours(
    page: Page, tmp_path: Path, scheme: Literal["light", "dark"], ink: str, paper: str
) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.set_viewport_size({"width": 360, "height": 780})
    page.emulate_media(color_scheme=scheme)
    page.goto(write_page(tmp_path, report()).as_uri())
    assert requested == [page.url]
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert (page.evaluate(INK), page.evaluate(PAPER)) == (ink, paper)


def test_every_plot_opens_as_a_table_of_the_same_numbers(page: Page, tmp_path: Path) -> None:
    page.goto(write_page(tmp_path, report()).as_uri())
    figures = page.locator("figure")
    assert figures.count() == 3
    for figure in figures.all():
        assert not figure.get_by_role("table").is_visible()
        figure.get_by_text("as a table").click()
        assert figure.get_by_role("table").is_visible()
    assert page.get_by_role("img", name="Installs by channel, under every model").is_visible()
