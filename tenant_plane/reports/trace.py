"""One install and why it is credited as it is: the decision's own rows, nothing is decided again here.

The platform sends the first `CANDIDATES_SENT` candidates of a conversion, in the waterfall's order.
"""

from __future__ import annotations

import datetime as dt
from typing import cast

from resources.errors import TraceNotFoundError
from tenant_plane.detail_views import InstallItem, InstallList, InstallTrace, TraceCandidate
from tenant_plane.mart_store import MartStore, Row
from tenant_plane.reports.periods import day, newest_window, whole

CANDIDATES_SENT = 50  # as `touch_decisions` is exported: assets.export_contract

MATCHING = """
($search = '' OR starts_with(install_id, $search) OR contains(lower(source), lower($search))
    OR contains(lower(campaign), lower($search)))
"""
COLUMNS = "install_id, install_time, app_id, platform, country, source, campaign, match_type, tier"
LIST = f"""
SELECT {COLUMNS} FROM slices WHERE {MATCHING}
ORDER BY install_time DESC, install_id LIMIT $limit OFFSET $offset
"""  # noqa: S608 - our own constants; values are bound
COUNT = f"SELECT count(*) AS total FROM slices WHERE {MATCHING}"  # noqa: S608 - as above
INSTALL = f"""
SELECT event_date, {COLUMNS}, touch_id, touch_type, touch_time, ctit_ms, medium, adgroup, creative, assists,
    ruleset_hash
FROM slices WHERE install_id = $install_id ORDER BY event_date DESC LIMIT 1
"""  # noqa: S608 - as above
CANDIDATES = """
SELECT touch_id, touch_type, touch_time, source, medium, campaign, adgroup, creative, match_type, tier, ctit_ms,
    window_ms, candidate_rank, waterfall_position, verdict, reason
FROM slices WHERE conversion_id = $install_id AND app_id = $app_id
ORDER BY waterfall_position = 0, waterfall_position, tier, touch_time DESC, touch_id
"""


def installs(
    tenant_id: str, period: str, search: str, marts: MartStore, *, limit: int, offset: int
) -> InstallList:
    """Installs whose id begins with the search, or whose source or campaign holds it; newest first."""
    window = newest_window(marts, period)
    rows: list[Row] = []
    total = 0
    if window is not None:
        asked = {"search": search}
        counted = marts.query(COUNT, "installs", window.start, window.end, asked)
        total = whole(counted[0], "total")
        page = asked | {"limit": limit, "offset": offset}
        rows = marts.query(LIST, "installs", window.start, window.end, page)
    more = bool(rows) and offset + len(rows) < total
    return InstallList(
        tenant_id=tenant_id,
        period=period,
        from_=window.start if window else None,
        to=window.end if window else None,
        total=total,
        items=[_item(row) for row in rows],
        next_offset=offset + len(rows) if more else None,
    )


def trace(tenant_id: str, install_id: str, marts: MartStore) -> InstallTrace:
    """The trace of one install, of any date that is stored here.

    Raises:
        TraceNotFoundError: no stored slice holds an install of that id.
    """
    asked: dict[str, object] = {"install_id": install_id}
    found = marts.query(INSTALL, "installs", dt.date.min, dt.date.max, asked)
    if not found:
        raise TraceNotFoundError(
            f"tenant {tenant_id} has no install of that id here: its day may not have been sent yet, or the id "
            "is a session's or a purchase's"
        )
    install = found[0]
    date = day(install, "event_date")
    place = asked | {"app_id": install["app_id"]}
    candidates = marts.query(CANDIDATES, "touch_decisions", date, date, place)
    return InstallTrace(
        tenant_id=tenant_id,
        install=_item(install),
        touch_id=str(install["touch_id"]),
        touch_type=str(install["touch_type"]),
        touch_time=cast("dt.datetime | None", install["touch_time"]),
        ctit_ms=cast("int | None", install["ctit_ms"]),
        medium=str(install["medium"]),
        adgroup=str(install["adgroup"]),
        creative=str(install["creative"]),
        assists=cast("list[str]", install["assists"]),
        ruleset_hash=str(install["ruleset_hash"]),
        has_candidates=marts.has("touch_decisions", date),
        candidates=[TraceCandidate.model_validate(row) for row in candidates],
        may_be_cut=len(candidates) >= CANDIDATES_SENT,
    )


def _item(row: Row) -> InstallItem:
    return InstallItem.model_validate({name: row[name] for name in InstallItem.model_fields})
