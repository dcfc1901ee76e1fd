"""Truth of the full world beyond the plain one's: how matches were made, fraud, returns, purchases, publishers.

Read from the world's facts; no rule of attribution is here, but which flooding click came last before an install.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from simulator import parameters as p
from simulator.activity import Activity
from simulator.draws import Ints, Texts
from simulator.full_events import Opens
from simulator.installers import DEVICE_ID, MATCH_KINDS, Installers
from simulator.population import CLICK, ORGANIC
from simulator.returns import Returns
from simulator.truth import INSTALLS, installs_as_told

FRAUDS = ("", "click_flooding", "hyper_engagement", "injection", "device_farm")
NO_FRAUD, FLOODING, HYPER, INJECTION, FARM = range(len(FRAUDS))
_FULL_INSTALLS: dict[str, pa.DataType] = {
    "user_id": pa.string(),
    "match_kind": pa.string(),  # what links the touch: referrer, click_id, device_id, probabilistic; empty if none
    "fraud_kind": pa.string(),  # whose fraud reached for the credit; empty when nobody's
    "is_reinstall": pa.bool_(),  # within the re-attribution window of the device's last new install
}
FULL_INSTALLS = pa.schema([*INSTALLS, *pa.schema(_FULL_INSTALLS)])
_CONVERSIONS: dict[str, pa.DataType] = {
    "tenant_id": pa.string(),
    "conversion_id": pa.string(),  # event id of the install, session or purchase
    "conversion_type": pa.string(),  # re_attribution, reinstall, re_engagement, return (by nobody's click), purchase
    "install_id": pa.string(),  # the device's new install that it follows
    "user_id": pa.string(),
    "true_touch_id": pa.string(),  # null where no touch caused it; a purchase's is its install's
    "conversion_time": pa.timestamp("ms", tz="UTC"),
}
CONVERSIONS = pa.schema(_CONVERSIONS)
_TOUCHES: dict[str, pa.DataType] = {
    "tenant_id": pa.string(),
    "touch_id": pa.string(),
    "fraud_kind": pa.string(),
}
TOUCHES = pa.schema(_TOUCHES)  # the fraudulent ones alone
_PUBLISHERS: dict[str, pa.DataType] = {
    "tenant_id": pa.string(),
    "source": pa.string(),
    "fraud_kind": pa.string(),  # empty for an honest one
}
PUBLISHERS = pa.schema(_PUBLISHERS)


def installs_table(
    tenant_id: str, first: Opens, fraud: Ints, again: Opens, is_reinstall: Sequence[bool]
) -> pa.Table:
    """First opens and later ones, by time."""
    caused = again.touch_ms > 0
    later = replace(
        again.installers.people,
        cause=np.where(caused, CLICK, ORGANIC),
        install_ms=again.time_ms - again.installers.devices.skew_ms,
    )
    parts = []
    for opens, people, kind, frauds, reinstalls in (
        (first, first.installers.people, first.kind, fraud, [False] * len(fraud)),
        (again, later, np.where(caused, DEVICE_ID, 0), np.zeros(len(later), dtype=np.int64), is_reinstall),
    ):
        extra: dict[str, Any] = {
            "user_id": people.user_id.tolist(),
            "match_kind": np.asarray(MATCH_KINDS)[kind].tolist(),
            "fraud_kind": np.asarray(FRAUDS)[frauds].tolist(),
            "is_reinstall": reinstalls,
        }
        told = installs_as_told(tenant_id, people, opens.event_id, opens.touch_id)
        for name, values in extra.items():
            field = FULL_INSTALLS.field(name)
            told = told.append_column(field, pa.array(values, field.type))
        parts.append(told)
    return pa.concat_tables(parts).sort_by("install_time")


def conversions_table(
    tenant_id: str,
    installed: Installers,
    ids: tuple[Texts, Texts],
    returns: Returns,
    *,
    purchases: tuple[Activity, Texts],
) -> pa.Table:
    """Returns and purchases, each with the new install that it follows.

    Args:
        tenant_id: the tenant.
        installed: who installed.
        ids: event id of each one's first install, and of the touch that caused it.
        returns: who came back.
        purchases: what they bought, and the event ids of that.
    """
    install_id, (activity, purchase_id) = ids[0], purchases
    is_new = is_new_install(installed, returns)
    types = np.select(
        [returns.is_reinstall & returns.is_caused, returns.is_reinstall, returns.is_caused],
        ["re_attribution", "reinstall", "re_engagement"],
        "return",
    )
    told, buyer = ~is_new, activity.purchase_person
    bought_under, bought_by = _followed(installed, ids, returns, activity)
    person = np.append(returns.person[told], buyer)
    touch = np.append(returns.touch_id[told], bought_by)
    times_ms = np.append(returns.time_ms[told], activity.purchase_ms)
    columns: dict[str, Any] = {
        "tenant_id": [tenant_id] * len(person),
        "conversion_id": np.append(returns.event_id[told], purchase_id).tolist(),
        "conversion_type": [*types[told].tolist(), *["purchase"] * len(buyer)],
        "install_id": np.append(install_id[returns.person[told]], bought_under).tolist(),
        "user_id": installed.people.user_id[person].tolist(),
        "true_touch_id": pa.array(touch.tolist(), mask=touch == ""),
        "conversion_time": pa.array(times_ms, pa.timestamp("ms", tz="UTC")),
    }
    return pa.table(columns, schema=CONVERSIONS)


def _followed(
    installed: Installers, ids: tuple[Texts, Texts], returns: Returns, activity: Activity
) -> tuple[Texts, Texts]:
    """The new install that each purchase follows, the device's latest, and the touch that caused that."""
    (install_id, touch_id), is_new = ids, is_new_install(installed, returns)
    again, later_ms = returns.person[is_new], installed.people.install_ms.copy()
    later_id, later_touch = install_id.copy(), touch_id.copy()
    later_ms[again], later_id[again] = returns.time_ms[is_new], returns.event_id[is_new]
    later_touch[again] = returns.touch_id[is_new]
    buyer = activity.purchase_person
    is_later = activity.purchase_ms >= later_ms[buyer]
    return (
        np.where(is_later, later_id[buyer], install_id[buyer]),
        np.where(is_later, later_touch[buyer], touch_id[buyer]),
    )


def is_new_install(installed: Installers, returns: Returns) -> Any:
    """Reinstalls so late that they count as new ones."""
    since_ms = returns.time_ms - installed.people.install_ms[returns.person]
    return returns.is_reinstall & (since_ms > p.REATTRIBUTION_WINDOW_MS)


def touches_table(tenant_id: str, fraudulent: Sequence[tuple[int, Texts]]) -> pa.Table:
    """Event ids of fraudulent touches, by kind."""
    ids = [event_id for _, group in fraudulent for event_id in group.tolist()]
    kinds = [FRAUDS[kind] for kind, group in fraudulent for _ in range(len(group))]
    return pa.table(
        {"tenant_id": [tenant_id] * len(ids), "touch_id": ids, "fraud_kind": kinds}, schema=TOUCHES
    )


def publishers_table(tenant_id: str) -> pa.Table:
    """Every publisher and what it does wrong."""
    kinds = [""] * len(p.NETWORKS) + list(p.FRAUD_KINDS)
    sources = list(p.PUBLISHERS)
    columns = {"tenant_id": [tenant_id] * len(kinds), "source": sources, "fraud_kind": kinds}
    return pa.table(columns, schema=PUBLISHERS)
