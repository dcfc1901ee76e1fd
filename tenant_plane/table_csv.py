"""Rows as CSV that a spreadsheet opens safely: text that it would run as a formula gets a leading apostrophe."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from starlette.responses import Response

from tenant_plane.views import View

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(rows: Iterable[Sequence[str]]) -> str:
    """Cells that are text already, as lines of CSV."""
    sink = io.StringIO()
    csv.writer(sink).writerows(rows)
    return sink.getvalue()


def csv_cell(value: object) -> str:
    """One value as a cell; nothing for null."""
    if value is None:
        return ""
    text = " ".join(value) if isinstance(value, list) else str(value)
    is_text = not isinstance(value, int | float)
    return f"'{text}" if is_text and text.startswith(FORMULA_STARTS) else text


def table_response(kind: type[View], rows: Iterable[View], filename: str) -> Response:
    """A table of the dashboard as a file, its columns named as in JSON."""
    names = list(kind.model_fields)
    heads = [kind.model_fields[name].alias or name for name in names]
    cells = [[csv_cell(getattr(row, name)) for name in names] for row in rows]
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return Response(csv_lines([heads, *cells]), headers=headers, media_type="text/csv")
