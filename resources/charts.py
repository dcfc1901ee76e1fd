"""Small charts as SVG and as bars of text, for people: asset pages, reports, terminals. No data is computed here.

Drawn by hand and not by matplotlib: a bar chart is a list of rectangles, and matplotlib costs a second of import.
Every mark says its number in a <title>. Colours of ink and paper are those of the page that the SVG is in
(`--chart-ink`, `--chart-paper`), and black on white where it is an image of its own.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Okabe and Ito's palette, distinguishable with any colour vision, and a grey for what is left
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
# 400 px: as wide as a phone's page and as the value column of a Dagster asset page
_WIDTH_PX, _LABEL_PX, _BAR_PX, _ROW_PX, _LEGEND_PX = 400, 118, 278, 22, 20
_PANEL_PX, _PANEL_BAR_PX, _TOP_PX = 78, 46, 30
_LETTER_PX = 6.3  # mean width of a letter of a 12 px sans-serif
_LEGEND_COLUMNS = 2
_INK, _QUIET, _PAPER = (
    f"fill:var(--chart-{name},{colour})"
    for name, colour in (("ink", "#1f2328"), ("quiet", "#59636e"), ("paper", "#ffffff"))
)
_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"


def stacked_bars(title: str, rows: Mapping[str, Mapping[str, float]], series: Sequence[str]) -> str:
    """An SVG with a bar per row, each filled by its series' shares; amounts below 0 have no width.

    Args:
        title: above the bars.
        rows: row label → series → amount; a row without any amount says so.
        series: series in the order of the bar, at most as many as COLOURS.
    """
    bottom_px = _TOP_PX + len(rows) * _ROW_PX
    parts = []
    for number, (label, amounts) in enumerate(rows.items()):
        named = [(name, amounts.get(name, 0.0)) for name in series]
        parts += _bar(label, named, _TOP_PX + number * _ROW_PX)
    legend_rows = -(-len(series) // _LEGEND_COLUMNS)
    parts += _legend(series, bottom_px + 6) if rows else []
    height_px = bottom_px + 6 + legend_rows * _LEGEND_PX if rows else _TOP_PX
    described = (
        f"Shares of {', '.join(map(named_series, series)) or 'nothing'} in {', '.join(rows) or 'nothing'}."
    )
    return _document(title, described, parts, height_px, is_empty=not rows)


def histograms(title: str, bins: Sequence[str], rows: Mapping[str, Sequence[int]]) -> str:
    """An SVG with a histogram per row over the same bins, each on a scale of its own; the count is over each bar."""
    parts = []
    for number, (label, counts) in enumerate(rows.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts += _panel(label, bins, counts, colour, _TOP_PX + number * _PANEL_PX)
    bottom_px = _TOP_PX + len(rows) * _PANEL_PX
    width_px = (_WIDTH_PX - 8) / max(len(bins), 1)
    for place, name in enumerate(bins if rows else ()):
        parts.append(_text(name, 4 + (place + 0.5) * width_px, bottom_px + 6, _QUIET, "middle", size_px=10))
    described = f"Counts by {', '.join(bins)}, of {', '.join(rows) or 'nothing'}."
    height_px = bottom_px + 14 if rows else _TOP_PX
    return _document(title, described, parts, height_px, is_empty=not rows)


def text_bar(amount: float, largest: float, width: int) -> str:
    """A bar of block characters, `largest` filling `width` of them; an amount above 0 is never invisible."""
    if amount <= 0 or largest <= 0:
        return ""
    eighths = max(round(8 * width * min(amount / largest, 1.0)), 1)
    full, rest = divmod(eighths, 8)
    return _FULL * full + (_EIGHTHS[rest] if rest else "")


def markdown_image(svg: str, alternative: str) -> str:
    """The SVG as an image inside Markdown, nothing to fetch."""
    encoded = base64.b64encode(svg.encode()).decode()
    return f"![{alternative}](data:image/svg+xml;base64,{encoded})"


def named_series(name: str) -> str:
    """A channel's name for people, where it may be missing."""
    return name or "(none)"


def _document(title: str, described: str, parts: Sequence[str], height_px: float, *, is_empty: bool) -> str:
    """The SVG around its marks; where there are none it says so."""
    height_px += 24 if is_empty else 0
    name = f"c{zlib.crc32((title + described + ''.join(parts)).encode()):08x}"  # ids of a page differ
    nothing = [_text("nothing to show yet", 4, _TOP_PX + 12, _QUIET)] if is_empty else []
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH_PX}" height="{height_px:.0f}"'
            f' viewBox="0 0 {_WIDTH_PX} {height_px:.0f}" font-family="system-ui, sans-serif" font-size="12"'
            f' role="img" aria-labelledby="{name}t {name}d">',
            f'<title id="{name}t">{escape(title)}</title><desc id="{name}d">{escape(described)}</desc>',
            f'<rect width="100%" height="100%" style="{_PAPER}"/>',
            _text(title, 4, 16, f"{_INK};font-weight:bold", room_px=_WIDTH_PX - 8),
            *parts,
            *nothing,
            "</svg>",
        ]
    )


def _bar(label: str, amounts: Sequence[tuple[str, float]], top_px: int) -> list[str]:
    total = sum(max(amount, 0.0) for _, amount in amounts)
    parts = [_text(label, _LABEL_PX - 6, top_px + 13, _INK, "end", room_px=_LABEL_PX - 8)]
    if not total:
        return [*parts, _text("nothing", _LABEL_PX, top_px + 13, _QUIET)]
    left_px = float(_LABEL_PX)
    for colour, (name, amount) in zip(COLOURS, amounts, strict=False):
        width_px = _BAR_PX * max(amount, 0.0) / total
        said = f"{label} · {named_series(name)}: {amount:,.2f}"
        parts.append(_mark((left_px, top_px, width_px, _ROW_PX - 5), colour, said))
        left_px += width_px
    return parts


def _panel(label: str, bins: Sequence[str], counts: Sequence[int], colour: str, top_px: int) -> list[str]:
    """One histogram: its name and sum, and a bar per bin under its count."""
    parts = [_text(f"{label}: {sum(counts):,}", 4, top_px + 8, _INK, room_px=_WIDTH_PX - 8)]
    base_px, most = top_px + 24 + _PANEL_BAR_PX, max(counts, default=0)
    width_px = (_WIDTH_PX - 8) / max(len(bins), 1)
    for place, (name, count) in enumerate(zip(bins, counts, strict=True)):
        left_px = 4 + place * width_px
        height_px = _PANEL_BAR_PX * count / most if most else 0.0
        box = (left_px + 1, base_px - height_px, width_px - 2, height_px)
        parts.append(_mark(box, colour, f"{label} · {name}: {count:,}"))
        over = (left_px + width_px / 2, base_px - height_px - 3)
        parts.append(_text(f"{count:,}" if count else "", *over, _QUIET, "middle", size_px=10))
    return parts


def _legend(series: Sequence[str], top_px: int) -> list[str]:
    parts = []
    column_px = _WIDTH_PX // _LEGEND_COLUMNS
    for number, (colour, name) in enumerate(zip(COLOURS, series, strict=False)):
        row, column = divmod(number, _LEGEND_COLUMNS)
        left_px, y_px = 6 + column * column_px, top_px + row * _LEGEND_PX
        parts.append(f'<rect x="{left_px}" y="{y_px}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(named_series(name), left_px + 17, y_px + 10, _INK, room_px=column_px - 26))
    return parts


def _mark(box: tuple[float, float, float, float], colour: str, said: str) -> str:
    left_px, top_px, width_px, height_px = box
    return (
        f'<rect x="{left_px:.2f}" y="{top_px:.2f}" width="{width_px:.2f}" height="{height_px:.2f}"'
        f' fill="{colour}"><title>{escape(said)}</title></rect>'
    )


def _text(
    said: str,
    x_px: float,
    y_px: float,
    style: str,
    anchor: str = "start",
    *,
    size_px: int = 12,
    room_px: float | None = None,
) -> str:
    """A line of text; what does not fit its room ends in an ellipsis and is whole in its <title>."""
    letters = int(room_px / _LETTER_PX) if room_px else len(said)
    shown, whole = said, ""
    if len(said) > letters:
        shown, whole = said[: letters - 1] + "…", f"<title>{escape(said)}</title>"
    return (
        f'<text x="{x_px:.1f}" y="{y_px:.1f}" font-size="{size_px}" text-anchor="{anchor}" style="{style}">'
        f"{escape(shown)}{whole}</text>"
    )
