"""Upkeep of what the graph has written, as jobs: no asset is computed here, and no row changes.

`lake_upkeep` maintains the lake's tables every night. The work itself is `resources.lake_maintenance`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from resources.settings import Settings


def build_maintenance_defs(settings: Settings) -> dg.Definitions:
    """Jobs and schedules of upkeep, without their resources."""
    from assets.maintenance.lake_upkeep import lake_upkeep, lake_upkeep_schedule  # noqa: PLC0415 - as in assets

    return dg.Definitions(jobs=[lake_upkeep], schedules=[lake_upkeep_schedule(settings)])
