"""The world's facts as v1 events (`schemas/events/v1`). No drawing of facts, no order of delivery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simulator import draws
from simulator import parameters as p
from simulator.activity import Activity
from simulator.draws import Bools, Ints, Rng, Texts
from simulator.population import CLICK, Population
from simulator.spend import Spend
from simulator.touches import Touches, click_ids


@dataclass(frozen=True)
class EventColumns:
    """Events of one type as columns in the order of their JSON fields, all of one length."""

    event_type: str
    event_id: Texts
    time_ms: Ints
    fields: Mapping[str, Sequence[object]]

    def __len__(self) -> int:
        return len(self.time_ms)

    def documents(self, tenant_id: str) -> list[dict[str, object]]:
        """The events as JSON objects."""
        names = ("eventId", "tenantId", "timestamp", "eventType", *self.fields)
        rows = zip(
            self.event_id.tolist(),
            [tenant_id] * len(self),
            draws.rfc3339(self.time_ms),
            [self.event_type] * len(self),
            *self.fields.values(),
            strict=True,
        )
        return [dict(zip(names, row, strict=True)) for row in rows]


def touch_events(rng: Rng, tenant_id: str, touches: Touches) -> list[EventColumns]:
    """Impressions and clicks."""
    impressions, clicks = touches.where(~touches.is_click), touches.where(touches.is_click)
    impression_fields = touch_fields(tenant_id, impressions)
    impression_fields["adId"] = [f"ad-{event_id}" for event_id in impressions.event_id.tolist()]
    click_fields = touch_fields(tenant_id, clicks)
    click_fields["clickId"] = click_ids(clicks.event_id)
    click_fields["ip"] = draws.addresses(rng, len(clicks))
    return [
        EventColumns("impression", impressions.event_id, impressions.time_ms, impression_fields),
        EventColumns("click", clicks.event_id, clicks.time_ms, click_fields),
    ]


def install_events(
    rng: Rng, tenant_id: str, people: Population, install_id: Texts, touch_id: Texts
) -> list[EventColumns]:
    """First opens: with the store's referrer, with a deep link's click id, or with the device id alone."""
    clicked = people.cause == CLICK
    by_referrer = clicked & people.android
    by_deep_link = clicked & ~people.android & draws.happens(rng, len(people), p.DEEP_LINK_SHARE)
    plain = ~by_referrer & ~by_deep_link

    def columns(mask: Bools, claim: Mapping[str, Sequence[object]]) -> EventColumns:
        some = people.where(mask)
        fields = {
            **person_fields(tenant_id, some),
            "campaign": ["unknown"] * len(some),  # the app does not know: attribution decides
            "ip": draws.addresses(rng, len(some)),
            **claim,
        }
        return EventColumns("install", install_id[mask], some.install_ms, fields)

    claimed = ["ad_network"]
    referrers = _referrers(rng, people.where(by_referrer), touch_id[by_referrer])
    deep_links = click_ids(touch_id[by_deep_link])
    return [
        columns(by_referrer, {"source": claimed * len(referrers), "referrer": referrers}),
        columns(by_deep_link, {"source": claimed * len(deep_links), "clickId": deep_links}),
        columns(plain, {}),
    ]


def activity_events(
    rng: Rng, tenant_id: str, people: Population, activity: Activity, os_version: Texts | None = None
) -> list[EventColumns]:
    """Sessions, named events, purchases and uninstalls of installed people, on their OS versions if given."""
    session_id = draws.uuids(rng, len(activity.session_ms))
    other_currency = draws.happens(rng, len(activity.purchase_ms), p.OTHER_CURRENCY_SHARE)
    prices = np.asarray(p.PRICES_MICROS)[activity.purchase_price]
    names = np.asarray(p.EVENT_NAMES)

    def columns(event_type: str, person: Ints, time_ms: Ints, **extra: Sequence[object]) -> EventColumns:
        fields = {**person_fields(tenant_id, people.where(person)), **extra}
        if os_version is not None:
            fields["osVersion"] = os_version[person].tolist()
        return EventColumns(event_type, draws.uuids(rng, len(time_ms)), time_ms, fields)

    return [
        columns(
            "session",
            activity.session_person,
            activity.session_ms,
            sessionId=session_id.tolist(),
            durationMs=activity.session_duration_ms.tolist(),
        ),
        columns(
            "event", activity.event_person, activity.event_ms, eventName=names[activity.event_name].tolist()
        ),
        columns(
            "purchase",
            activity.purchase_person,
            activity.purchase_ms,
            revenueMicros=prices.tolist(),
            currency=np.where(other_currency, p.OTHER_CURRENCY, p.CURRENCY).tolist(),
            productId=[f"pack_{index + 1}" for index in activity.purchase_price.tolist()],
        ),
        columns("uninstall", activity.uninstall_person, activity.uninstall_ms),
    ]


def spend_events(rng: Rng, tenant_id: str, spend: Spend) -> EventColumns:
    """Daily costs, stamped at noon of the day they belong to."""
    fields: dict[str, Sequence[object]] = {
        "appId": _app_ids(tenant_id, spend.app),
        "source": _texts(p.NETWORKS, spend.network),
        "campaign": _texts(p.CAMPAIGNS, spend.campaign),
        "spendMicros": spend.spend_micros.tolist(),
        "currency": [p.CURRENCY] * len(spend.day_ms),
        "reportedImpressions": spend.impressions.tolist(),
        "reportedClicks": spend.clicks.tolist(),
    }
    noon_ms = spend.day_ms + p.DAY_MS // 2
    return EventColumns("ad_spend", draws.uuids(rng, len(noon_ms)), noon_ms, fields)


def _referrers(rng: Rng, people: Population, touch_id: Texts) -> list[object]:
    """The store's install referrer: click, its time, and when the download began between click and open."""
    share = 0.2 + 0.6 * rng.random(len(people))
    begin_ms = people.touch_ms + ((people.install_ms - people.touch_ms) * share).astype(np.int64)
    return [
        {"clickId": click_id, "clickTime": clicked, "installBeginTime": began}
        for click_id, clicked, began in zip(
            click_ids(touch_id), draws.rfc3339(people.touch_ms), draws.rfc3339(begin_ms), strict=True
        )
    ]


def person_fields(tenant_id: str, people: Population) -> dict[str, Sequence[object]]:
    """What every event of an app says of its device and user."""
    return {
        "deviceId": people.device_id.tolist(),
        "appId": _app_ids(tenant_id, people.app),
        "userId": people.user_id.tolist(),
        "platform": np.where(people.android, "android", "ios").tolist(),
        "osVersion": np.where(people.android, "16", "20.1").tolist(),
        "country": _texts(p.COUNTRIES, people.country),
    }


def touch_fields(tenant_id: str, touches: Touches) -> dict[str, Sequence[object]]:
    """What every touch says of its device and ad."""
    return {
        "deviceId": touches.device_id.tolist(),
        "appId": _app_ids(tenant_id, touches.app),
        "platform": np.where(touches.android, "android", "ios").tolist(),
        "country": _texts(p.COUNTRIES, touches.country),
        "source": _texts(p.PUBLISHERS, touches.network),
        "medium": _texts(p.MEDIA, touches.network),
        "campaign": _texts(p.CAMPAIGNS, touches.campaign),
    }


def app_ids(tenant_id: str) -> list[str]:
    """The tenant's apps."""
    return [name.format(tenant=tenant_id) for name in p.APPS]


def _app_ids(tenant_id: str, app: Ints) -> list[object]:
    return _texts(app_ids(tenant_id), app)


def _texts(choices: Sequence[str], index: Ints) -> list[object]:
    texts: list[object] = np.asarray(choices)[index].tolist()
    return texts
