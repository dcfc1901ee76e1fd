"""The heat map as lines for a spreadsheet: one per cohort and age."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from tenant_plane.report_views import Cohorts
from tenant_plane.views import View


class CohortLine(View):
    """One cell of the heat map with its cohort."""

    from_: dt.date = Field(alias="from")
    to: dt.date
    size: int
    spend_micros: int
    day: int
    retention: float | None
    revenue_per_install_micros: float | None
    roas: float | None


def cohort_lines(report: Cohorts) -> list[CohortLine]:
    """Every cell of every row."""
    return [
        CohortLine(from_=row.from_, to=row.to, size=row.size, spend_micros=row.spend_micros, **vars(cell))
        for row in report.rows
        for cell in row.cells
    ]
