"""AppsFlyer raw-data reports (CSV of the Export page, the Pull API and Data Locker), row by row.

Source: AppsFlyer, "Raw data field dictionary",
https://support.appsflyer.com/hc/en-us/articles/208387843-Raw-data-field-dictionary, and for revenue
https://dev.appsflyer.com/hc/docs/inappevents (a plain number, positive or negative; US dollars unless the app
says otherwise). Columns go by their name on the Export page or in Data Locker. Times are `2019-09-17 00:09:25`
without a zone: UTC from Data Locker and by default from the Pull API, the app's own zone from the Export page,
which is then said with --zone; a time that carries a zone of its own keeps it.

| row (Event Name) | events |
|---|---|
| `install` | the attributed touch, the contributors' touches, the `install` |
| `reinstall`, `re-attribution`, `re-engagement` | the touches, and an `event` of that name |
| `uninstall` | `uninstall` |
| `click`, `impression` (Data Locker) | the touch |
| any other, with revenue | `purchase` |
| any other | `event` |

A row of an in-app event repeats the touch of its install, so it gives none: that comes with the install's row.
Touches are clicks and impressions; TV and preinstalls are none of the contract's, and stay in metadata. Rows
of one app, device, moment, name, value and revenue are one event: AppsFlyer reports a conversion of a
retargeting window twice (Is Primary Attribution), and revenue must not count twice.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import orjson

from cli.importers import RowError, values
from cli.importers.rows import Event, Job, SourceRow
from cli.importers.tables import require_columns
from cli.importers.vendor import UNKNOWN, Columns, Touch, VendorImporter, fitting

REQUIRED = ("Event Name", "Event Time")
TOUCHED_NAMES = frozenset({"install", "reinstall", "re-attribution", "re-engagement"})
TOUCH_TYPES = frozenset({"click", "impression"})
CONTRIBUTORS = (1, 2, 3)
# Data Locker's names that differ from the Export page's.
_ALIASES = {
    "af_prt": "partner", "af_channel": "channel", "af_keywords": "keywords", "af_c_id": "campaign_id",
    "af_adset": "adset", "af_adset_id": "adset_id", "af_ad": "ad", "af_ad_id": "ad_id", "af_ad_type": "ad_type",
    "af_siteid": "site_id", "af_sub_siteid": "sub_site_id", "gp_referrer": "google_play_referrer",
    "gp_click_time": "google_play_click_time", "gp_install_begin": "google_play_install_begin_time",
    "amazon_aid": "amazon_fire_id", "oaid": "oaid",
}  # fmt: skip
_TOUCH_DETAILS = {"medium": "channel", "adgroup": "adset", "creative": "ad"}
_TOUCH_METADATA = (
    "partner", "keywords", "campaign_id", "adset_id", "ad_id", "ad_type", "site_id", "sub_site_id", "match_type",
)  # fmt: skip
_REVENUE = (
    ("event_revenue", "event_revenue_currency", "USD"),
    ("event_revenue_usd", "event_revenue_usd_currency", "USD"),  # the dollars' column names no currency
)
_CLICK_ID = re.compile(r"(?:^|[?&])(?:clickid|click_id|gclid)=([^&\s]{1,256})")


class AppsFlyer(VendorImporter):
    """The importer of this format."""

    name = "appsflyer"
    devices = ("advertising_id", "idfa", "oaid", "amazon_fire_id", "android_id", "idfv", "appsflyer_id")
    personal = frozenset({*devices, "imei", "customer_user_id", "ip", "user_agent"})
    common: ClassVar[Mapping[str, str]] = {
        "appId": "app_id", "userId": "customer_user_id", "platform": "platform", "osVersion": "os_version",
        "country": "country_code", "ip": "ip", "userAgent": "user_agent",
    }  # fmt: skip

    def column_names(self, path: Path, header: Sequence[str]) -> list[str]:
        """`Event Time` and `event_time` as `event_time`."""
        names = [_canonical(column) for column in header]
        missing = [column for column in REQUIRED if _canonical(column) not in names]
        if not set(self.devices) & set(names):
            missing.append("AppsFlyer ID")
        require_columns(
            path, "AppsFlyer raw-data report", missing, "export it as CSV with the vendor's own column names"
        )
        return names

    def row_events(self, row: SourceRow[Columns], job: Job) -> list[Event]:
        """The touches first, then what they led to."""
        content = row.content
        name = content.get("event_name")
        device = self.device_of(content)
        if not name:
            raise RowError("event_name is empty")
        if name in TOUCH_TYPES:
            return [self._touch_row(content, job, name, device)]
        if not device:
            raise RowError("no device id is filled, nor appsflyer_id")
        common = {"deviceId": device, **self.common_fields(content)}
        if name not in TOUCHED_NAMES:
            return [self._other(content, job, common, name)]
        touches = self._assists(content, job, common)
        attributed = self._attributed(content)
        if attributed is not None:
            metadata = self.metadata(content, job, only=_TOUCH_METADATA)
            touches.append(self.earlier_touch_event(job, attributed, common, metadata))
        if name != "install":
            return [*touches, self._other(content, job, common, name)]
        click = touches[-1].get("clickId") if attributed is not None else None
        return [*touches, self._install(content, job, common, click)]

    def _touch_row(self, columns: Columns, job: Job, kind: str, device: str) -> Event:
        """A touch of its own; one without a device id is known by its click id alone."""
        common = {
            "deviceId": device or columns.stand_in_device(),
            **self.common_fields(columns),
        }
        moment = self.moment(columns, "attributed_touch_time") or self.moment(columns, "event_time")
        if moment is None:
            raise RowError("attributed_touch_time and event_time are empty")
        columns.used |= {"event_name", "attributed_touch_time", "media_source", "campaign"}
        details = fitting(kind, columns, _TOUCH_DETAILS, use=True)
        touch = _touch(columns, kind, moment, details)
        return self.touch_event(job, touch, common, self.metadata(columns, job))

    def _assists(self, columns: Columns, job: Job, common: Event) -> list[Event]:
        """The contributors' touches, the latest last."""
        found = [self._contribution(columns, number) for number in reversed(CONTRIBUTORS)]
        metadata = self.metadata(columns, job, only=("install_time",))
        return [self.earlier_touch_event(job, touch, common, metadata) for touch in found if touch]

    def _attributed(self, columns: Columns) -> Touch | None:
        kind = columns.get("attributed_touch_type").lower()
        moment = self.moment(columns, "attributed_touch_time")
        if kind not in TOUCH_TYPES or moment is None or _is_organic(columns):
            return None
        return _touch(columns, kind, moment, fitting(kind, columns, _TOUCH_DETAILS, use=False))

    def _contribution(self, columns: Columns, number: int) -> Touch | None:
        prefix = f"contributor_{number}_"
        kind = columns.get(f"{prefix}touch_type").lower()
        moment = self.moment(columns, f"{prefix}touch_time")
        if kind not in TOUCH_TYPES or moment is None:
            return None
        source = columns.get(f"{prefix}media_source") or columns.get(f"{prefix}partner") or UNKNOWN
        return Touch(kind, moment, source, columns.get(f"{prefix}campaign") or UNKNOWN)

    def _install(self, columns: Columns, job: Job, common: Event, click_id: str | None) -> Event:
        moment = self.moment(columns, "install_time") or self.moment(columns, "event_time")
        if moment is None:
            raise RowError("install_time and event_time are empty")
        columns.used.add("install_time")
        if moment == self.moment(columns, "event_time"):
            columns.used.add("event_time")
        columns.used.add("event_name")
        is_organic = _is_organic(columns)
        fields = {
            **common,
            "source": _install_source(columns, is_organic=is_organic),
            "campaign": columns.take("campaign") or ("organic" if is_organic else UNKNOWN),
            **fitting("install", columns, _TOUCH_DETAILS, use=True),
            **(self._click_of(columns, job, click_id) if click_id else {}),
        }
        event = self.event(job, "install", moment, fields)
        return {**event, "metadata": self.metadata(columns, job)}

    def _click_of(self, columns: Columns, job: Job, click_id: str) -> Event:
        """The attributed click's id; as the store's referrer where Google Play gave times."""
        times = {
            "clickTime": self.moment(columns, "google_play_click_time"),
            "installBeginTime": self.moment(columns, "google_play_install_begin_time"),
        }
        told = {name: values.rfc3339(moment, job.shift_days) for name, moment in times.items() if moment}
        if not told:
            return {"clickId": click_id}
        columns.used |= {"google_play_click_time", "google_play_install_begin_time"}
        return {"referrer": {"clickId": click_id, **told}}

    def _other(self, columns: Columns, job: Job, common: Event, name: str) -> Event:
        moment = self.moment(columns, "event_time")
        if moment is None:
            raise RowError("event_time is empty")
        columns.used.add("event_time")
        identity = [name, *(columns.get(column) for column in ("event_value", "event_revenue"))]
        if name == "uninstall":
            columns.used.add("event_name")
            event = self.event(job, "uninstall", moment, common)
        elif revenue := self.revenue_fields(columns, _REVENUE, zero_counts=name == "af_purchase"):
            fields = {**common, **revenue, **_product(columns)}
            event = self.event(job, "purchase", moment, fields, *identity)
        else:
            columns.used.add("event_name")
            event = self.event(job, "event", moment, {**common, "eventName": name}, *identity)
        return {**event, "metadata": self.metadata(columns, job)}


def _canonical(column: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
    name = re.sub(r"^contributor(\d)_", r"contributor_\1_", name)
    if name.startswith("contributor_") and name.endswith("_af_prt"):
        return f"{name.removesuffix('_af_prt')}_partner"
    return _ALIASES.get(name, name)


def _is_organic(columns: Columns) -> bool:
    return columns.get("media_source").lower() == "organic" or not columns.get("attributed_touch_type")


def _touch(columns: Columns, kind: str, moment: dt.datetime, details: dict[str, str]) -> Touch:
    source = columns.get("media_source") or columns.get("partner") or UNKNOWN
    return Touch(kind, moment, source, columns.get("campaign") or UNKNOWN, _click_id(columns), details)


def _install_source(columns: Columns, *, is_organic: bool) -> str:
    if is_organic:
        return "organic"
    return "cross" if columns.get("media_source") == "af_cross_promotion" else "ad_network"


def _click_id(columns: Columns) -> str:
    """The network's click id, from the store's referrer or the link that was clicked."""
    for name in ("google_play_referrer", "original_url"):
        found = _CLICK_ID.search(unquote(columns.get(name)))
        if found is not None:
            return found[1]
    return ""


def _product(columns: Columns) -> Event:
    """`af_content_id` of the event value, where that is one product's."""
    try:
        value = orjson.loads(columns.get("event_value"))
    except orjson.JSONDecodeError:
        return {}
    product = value.get("af_content_id") if isinstance(value, dict) else None
    return (
        {"productId": product}
        if isinstance(product, str) and values.fits("purchase", "productId", product)
        else {}
    )
