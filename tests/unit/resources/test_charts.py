"""Charts: what is drawn is what was given, whatever it is called, and nothing given says so."""

from __future__ import annotations

import base64
from xml.etree import ElementTree as ET

import pytest

from resources.charts import COLOURS, histograms, markdown_image, stacked_bars, text_bar

SVG = "{http://www.w3.org/2000/svg}"
BINS = ("<10 s", "<1 h", "≥1 h")


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own document


def marks(svg: str) -> list[tuple[str, float, float]]:
    """(title, width, height) of every mark that says a number."""
    found = []
    for rect in drawn(svg).iter(f"{SVG}rect"):
        title = rect.find(f"{SVG}title")
        if title is not None:
            found.append((title.text or "", float(rect.attrib["width"]), float(rect.attrib["height"])))
    return found


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in drawn(svg).iter(f"{SVG}text")]


def test_a_bars_widths_are_its_shares_and_every_mark_says_its_amount() -> None:
    rows = {"first": {"a": 30.0, "b": 10.0}, "markov_1": {"a": 1.5, "b": 1.5, "c": 3.0}}
    got = marks(stacked_bars("credit", rows, ["a", "b", "c"]))
    assert [title for title, _, _ in got] == [
        "first · a: 30.00",
        "first · b: 10.00",
        "first · c: 0.00",
        "markov_1 · a: 1.50",
        "markov_1 · b: 1.50",
        "markov_1 · c: 3.00",
    ]
    whole = sum(width for _, width, _ in got[:3])
    assert [width / whole for _, width, _ in got] == pytest.approx([0.75, 0.25, 0, 0.25, 0.25, 0.5], abs=1e-4)


def test_an_amount_below_zero_has_no_width_and_a_row_without_amounts_says_nothing() -> None:
    svg = stacked_bars("credit", {"shapley": {"a": -2.0, "b": 4.0}, "w": {}}, ["a", "b"])
    (below, no_width, _), (above, width, _) = marks(svg)
    assert (below, above) == ("shapley · a: -2.00", "shapley · b: 4.00")
    assert no_width == 0
    assert width == marks(stacked_bars("all", {"shapley": {"b": 4.0}}, ["b"]))[0][1]  # the whole bar
    assert "nothing" in texts(svg)


def test_a_histograms_heights_are_its_counts_on_the_scale_of_its_row() -> None:
    rows = {"device_id": [10, 40, 0], "probabilistic": [1, 0, 2]}
    got = marks(histograms("CTIT", BINS, rows))
    assert [title for title, _, _ in got[:3]] == [
        "device_id · <10 s: 10",
        "device_id · <1 h: 40",
        "device_id · ≥1 h: 0",
    ]
    heights = [height for _, _, height in got]
    assert [height / max(heights) for height in heights] == pytest.approx([0.25, 1, 0, 0.5, 0, 1], abs=1e-3)
    assert texts(histograms("CTIT", BINS, rows)).count("<1 h") == 1
    assert "device_id: 50" in texts(histograms("CTIT", BINS, rows))


@pytest.mark.parametrize("svg", [stacked_bars("credit", {}, []), histograms("CTIT", BINS, {})])
def test_without_rows_a_chart_says_that_there_is_nothing_to_show(svg: str) -> None:
    assert "nothing to show yet" in texts(svg)
    assert marks(svg) == []


def test_a_histogram_of_zeros_draws_no_bar() -> None:
    assert [height for _, _, height in marks(histograms("CTIT", BINS, {"a": [0, 0, 0]}))] == [0.0] * 3


def test_long_names_are_shortened_where_they_are_drawn_and_whole_where_they_are_told() -> None:
    name = "a_network_with_a_name_that_goes_on_and_on_and_on"
    svg = stacked_bars("credit", {name: {name: 1.0}}, [name])
    shortened = [text for text in texts(svg) if text.endswith("…")]
    assert len(shortened) == 2  # the row's label and the legend
    assert all(len(text) < 30 and name.startswith(text[:-1]) for text in shortened)
    assert [node.text for node in drawn(svg).iter(f"{SVG}title")].count(name) == 2
    assert f"{name} · {name}: 1.00" in [title for title, _, _ in marks(svg)]


def test_names_are_text_and_never_markup_and_a_missing_name_is_said() -> None:
    svg = stacked_bars("<b>&", {"m": {"<script>": 1.0, "": 1.0}}, ["<script>", ""])
    assert not list(drawn(svg).iter(f"{SVG}script"))
    assert "<b>&" in texts(svg)
    assert "(none)" in texts(svg)


def test_a_chart_has_a_title_and_a_description_that_a_screen_reader_finds() -> None:
    root = drawn(stacked_bars("credit", {"m": {"a": 1.0}}, ["a"]))
    told = {node.attrib["id"]: node.text for node in root if "id" in node.attrib}
    assert root.attrib["role"] == "img"
    assert [told[name] for name in root.attrib["aria-labelledby"].split()] == ["credit", "Shares of a in m."]


def test_charts_of_one_page_have_ids_of_their_own() -> None:
    one = drawn(stacked_bars("credit", {"m": {"a": 1.0}}, ["a"]))
    other = drawn(stacked_bars("credit", {"m": {"a": 2.0, "b": 1.0}}, ["a", "b"]))
    assert one.attrib["aria-labelledby"] != other.attrib["aria-labelledby"]


def test_as_many_series_as_colours_are_drawn_apart() -> None:
    names = [f"n{number}" for number in range(len(COLOURS))]
    svg = stacked_bars("credit", {"m": dict.fromkeys(names, 1.0)}, names)
    fills = [rect.attrib["fill"] for rect in drawn(svg).iter(f"{SVG}rect") if "fill" in rect.attrib]
    assert fills == [*COLOURS, *COLOURS]  # the bar and the legend


@pytest.mark.parametrize(
    ("amount", "largest", "bar"),
    [
        (8, 8, "████"),
        (4, 8, "██"),
        (5, 8, "██▌"),
        (0, 8, ""),
        (-1, 8, ""),
        (0.001, 8, "▏"),
        (9, 8, "████"),
        (1, 0, ""),
    ],
)
def test_a_bar_of_text_is_as_long_as_its_share(amount: float, largest: float, bar: str) -> None:
    assert text_bar(amount, largest, 4) == bar


def test_an_image_in_markdown_carries_the_whole_svg() -> None:
    svg = stacked_bars("credit", {"m": {"a": 1.0}}, ["a"])
    text = markdown_image(svg, "credit")
    assert text.startswith("![credit](data:image/svg+xml;base64,")
    assert base64.b64decode(text.partition("base64,")[2].rstrip(")")).decode() == svg
