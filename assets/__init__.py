"""The global plane's asset graph: `build_defs()` assembles it; each asset's logic is in pure functions.

Resources are swapped through `build_defs(resource_overrides)` and `definitions.py`, never patched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from resources.settings import Settings


def build_defs(settings: Settings) -> dg.Definitions:
    """Assets, checks, jobs and sensors of the global plane, without their resources."""
    from assets.automation import build_automation  # noqa: PLC0415 - keeps `import assets.partitions` cheap
    from assets.channel_credits import channel_credits_asset  # noqa: PLC0415 - as above
    from assets.checks.clean import clean_checks  # noqa: PLC0415 - as above
    from assets.clean import clean_events  # noqa: PLC0415 - as above
    from assets.exports import tenant_exports  # noqa: PLC0415 - as above
    from assets.maintenance import build_maintenance_defs  # noqa: PLC0415 - as above
    from assets.marts import build_marts  # noqa: PLC0415 - as above
    from assets.quarantine_growth import build_growth_defs  # noqa: PLC0415 - as above
    from assets.raw import RAW_EVENTS  # noqa: PLC0415 - as above
    from assets.redelivery import build_redelivery_defs  # noqa: PLC0415 - as above
    from assets.restate import build_restatement_defs  # noqa: PLC0415 - as above
    from assets.skan_postbacks import skan_postbacks  # noqa: PLC0415 - as above
    from assets.tenants import build_tenant_defs  # noqa: PLC0415 - as above
    from assets.usage import build_usage_defs  # noqa: PLC0415 - as above

    graph = dg.Definitions(
        assets=[
            RAW_EVENTS,
            clean_events,
            skan_postbacks,
            build_marts(settings),
            channel_credits_asset,
            tenant_exports,
        ],
        asset_checks=clean_checks(),
    )
    return dg.Definitions.merge(
        graph,
        build_automation(settings),
        build_redelivery_defs(settings),
        build_restatement_defs(),
        build_tenant_defs(settings),
        build_growth_defs(settings),
        build_usage_defs(),
        build_maintenance_defs(settings),
    )
