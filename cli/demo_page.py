"""The demo's report as one page: plots inline, nothing to fetch, light and dark, every plot also as a table.

The numbers are `cli.demo_report`'s; the same at a terminal is `cli.demo_tables`.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import polars as pl

from cli.demo_tables import MICROS, MODEL_HEADS, confusion_table, model_rows
from resources.attribution_summaries import CTIT_BINS, credit_by_model, ranked_channels
from resources.charts import histograms, named_series, stacked_bars

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

STYLE = """
:root { color-scheme: light dark; --chart-ink: #1f2328; --chart-quiet: #59636e; --chart-paper: #ffffff;
  --page: #f6f8fa; --line: #d1d9e0; --good: #1a7f37; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --chart-ink: #e6edf3; --chart-quiet: #9198a1;
  --chart-paper: #161b22; --page: #0d1117; --line: #3d444d; --good: #3fb950; --bad: #f85149; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 16px; background: var(--page); color: var(--chart-ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: .5rem 0; } h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; }
.cards { display: grid; gap: 16px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); }
.card { background: var(--chart-paper); border: 1px solid var(--line); border-radius: 8px; padding: 12px;
  margin: 0; min-width: 0; }
.wide { grid-column: 1 / -1; }
.card h3 { font-size: 1rem; margin: 0 0 .5rem; }
svg { display: block; width: 100%; height: auto; max-width: 560px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; width: 100%; }
th, td { padding: 3px 6px; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--chart-quiet); font-weight: 600; vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
td.none { color: var(--chart-quiet); }
td.sentence { min-width: 260px; }
summary { cursor: pointer; color: var(--chart-quiet); font-size: .9rem; margin-top: 8px; }
.quiet { color: var(--chart-quiet); } .good { color: var(--good); } .bad { color: var(--bad); }
"""


SENTENCE = 40  # characters from which a cell needs a width of its own


def write_page(directory: Path, report: dict[str, Any]) -> Path:
    """Write `report.html` into the directory, and say where it is."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "report.html"
    path.write_text(page(report), encoding="utf-8")
    return path


def page(report: dict[str, Any]) -> str:
    """The whole document."""
    tenants = "".join(
        _tenant(tenant, report["findings"][tenant["tenant_id"]], report["ltv"].get(tenant["tenant_id"], {}))
        for tenant in report["tenants"]
    )
    verdict = (
        '<p class="good">Both sides of every step agree.</p>'
        if report["ok"]
        else f'<p class="bad">Numbers that do not agree: {escape("; ".join(report["failures"]))}</p>'
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>UnMoGrowP demo</title><style>{STYLE}</style></head><body><main>"
        f"<h1>UnMoGrowP demo</h1>{verdict}{_overview(report)}{tenants}</main></body></html>\n"
    )


def _overview(report: dict[str, Any]) -> str:
    tenants = report["tenants"]
    counts = ("sent", "clean", "duplicates", "quarantined", "installs")
    events = [[name, *(tenant[name] for tenant in tenants)] for name in counts]
    heads = ("events", *(tenant["tenant_id"] for tenant in tenants))
    cards = [_card("What became of every delivery", table_html(heads, events))]
    if report["attribution"]:
        rows = [
            (key.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else f"{value:,}")
            for key, value in report["attribution"].items()
        ]
        cards.append(_card("Attribution against the truth", table_html(("measure", "value"), rows)))
    cards.append(_card("Seconds", table_html(("step", "s"), list(report["seconds"].items()))))
    if report["confusion"]:
        note = (
            '<p class="quiet">Installs: what caused them (down), what was decided (across). ! is credit that went to '
            "another touch than the one that caused the install.</p>"
        )
        cards.append(
            _card(
                "Truth against decision", note + table_html(*confusion_table(report["confusion"])), wide=True
            )
        )
    return f'<section class="cards" aria-label="Overview">{"".join(cards)}</section>'


def _tenant(tenant: dict[str, Any], found: dict[str, Any], metrics: dict[str, Any]) -> str:
    cards = [
        _credit(found["credits"], "install", "conversions", "Installs by channel"),
        _credit(found["credits"], "purchase", "revenue_micros", "Revenue by channel"),
        _ctit(found["ctit"]),
        _matches(found["matches"]),
        _card("Lifetime value model", _model(metrics)),
        _card("Fraud", _fraud(found["fraud"]), wide=True),
    ]
    name = escape(tenant["tenant_id"])
    heading = f'<h2>{name}<span class="quiet"> · {found["from"]} to {found["to"]}</span></h2>'
    return f'<section aria-label="Tenant {name}">{heading}<div class="cards">{"".join(cards)}</div></section>'


def _credit(credits_: Sequence[dict[str, Any]], kind: str, measure: str, title: str) -> str:
    rows = [row for row in credits_ if row["conversion_type"] == kind]
    if not rows:
        return _card(title, f'<p class="quiet">No {kind}s yet: nothing to credit.</p>')
    models = list(dict.fromkeys(row["model"] for row in rows))
    # one order for all conversions, so that a channel has the same colour in every plot
    ranked = ranked_channels(pl.DataFrame(credits_))
    shown, amounts = credit_by_model(pl.DataFrame(rows), models, measure, ranked=ranked)
    if measure == "revenue_micros":
        amounts = {
            model: {channel: micros / MICROS for channel, micros in of_model.items()}
            for model, of_model in amounts.items()
        }
    lines = [
        (model, *(f"{of_model.get(channel, 0.0):,.2f}" for channel in shown))
        for model, of_model in amounts.items()
    ]
    heads = ["model", *map(named_series, shown)]
    return _figure(stacked_bars(f"{title}, under every model", amounts, shown), heads, lines)


def _ctit(rows: Sequence[dict[str, Any]]) -> str:
    title = "Time from click (or view) to install"
    if not rows:
        return _card(title, '<p class="quiet">No attributed installs yet.</p>')
    counts: dict[str, list[int]] = {}
    for row in rows:
        counts.setdefault(row["match"], []).append(row["installs"])
    return _figure(
        histograms(title, CTIT_BINS, counts),
        ["match", *CTIT_BINS],
        [(match, *of) for match, of in counts.items()],
    )


def _matches(rows: Sequence[dict[str, Any]]) -> str:
    title = "How installs were matched"
    if not rows:
        return _card(title, '<p class="quiet">No installs yet.</p>')
    total = sum(row["installs"] for row in rows)
    lines = [(row["tier"], row["match"], row["installs"], f"{row['installs'] / total:.1%}") for row in rows]
    return _card(title, table_html(("tier", "match", "installs", "share"), lines))


def _model(metrics: dict[str, Any]) -> str:
    if not metrics:
        return '<p class="quiet">No model was trained yet.</p>'
    champion = f"Champion, version {metrics['version']}, beside its baselines on held-out rows."
    rows = [(str(metric).replace("_", " "), *values) for metric, *values in model_rows(metrics)]
    return f'<p class="quiet">{escape(champion)}</p>' + table_html(MODEL_HEADS, rows)


def _fraud(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return '<p class="quiet">Nothing was rejected or flagged.</p>'
    columns = ("source", "rule", "verdict", "days", "touches", "installs", "reason")
    heads = ("publisher", *columns[1:6], "why, on its worst day")
    return table_html(heads, [[row[key] for key in columns] for row in rows])


def _figure(svg: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    fallback = f"<details><summary>as a table</summary>{table_html(heads, rows)}</details>"
    return f'<figure class="card">{svg}{fallback}</figure>'


def _card(title: str, body: str, *, wide: bool = False) -> str:
    style = "card wide" if wide else "card"
    return f'<div class="{style}"><h3>{escape(title)}</h3>{body}</div>'


def table_html(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table that scrolls by itself where it is too wide; numbers to the right, every text escaped."""
    lines = [list(row) for row in rows]
    numeric = [bool(lines) and all(_is_number(row[place]) for row in lines) for place in range(len(heads))]
    head = "".join(
        _cell("th", name, right, ' scope="col"') for name, right in zip(heads, numeric, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_cell('td', cell, right) for cell, right in zip(row, numeric, strict=True))}</tr>"
        for row in lines
    )
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(tag: str, content: object, right: bool, more: str = "") -> str:
    said = f"{content:,}" if isinstance(content, int | float) else str(content)
    kinds = [
        *(["number"] if right else []),
        *(["none"] if content == 0 else []),
        *(["sentence"] if len(said) > SENTENCE else []),
    ]
    style = f' class="{" ".join(kinds)}"' if kinds else ""
    return f"<{tag}{more}{style}>{escape(said)}</{tag}>"


def _is_number(content: object) -> bool:
    """Whether a cell is a number, or the text of one: `1,234.50`, `12.3%`."""
    if isinstance(content, int | float):
        return True
    text = str(content).replace(",", "").removesuffix("%").removeprefix("-")
    return text.replace(".", "", 1).isdecimal()
