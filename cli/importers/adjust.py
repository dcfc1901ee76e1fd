"""Adjust's raw data as CSV (cloud storage uploads, and callbacks kept as CSV), row by row.

Source: Adjust, "Cloud storage uploads", https://help.adjust.com/en/article/cloud-storage-uploads (the header is
the CSV definition: placeholders in braces, parameters, constants; UTF-8, comma, gzip), and the placeholders of
"Impression callbacks", "Install callbacks", "Updated attribution callbacks", "Ad spend callbacks" beside it,
e.g. https://help.adjust.com/en/article/install-callbacks. Times are Unix seconds (`1404214665`) or, as in the
first page's example, `2016-04-04T23:16UTC`. Placeholders go with or without braces; `{idfa||gps_adid}` is the
first of the two that is filled; parameters may stand in brackets.

| activity_kind | events |
|---|---|
| `click`, `impression`, `san_click`, `san_impression` | the touch |
| `install` | the touch it is attributed to (none when organic), the `install` |
| `reattribution`, `reattribution_reinstall` | the touch, and an `event` of that name |
| `session`, `uninstall` | the same |
| `event`, `ad_revenue`, `subscription` | `purchase` with revenue, else `event` |
| `cost_updated` | `ad_spend` |
| any other (`reinstall`, `rejected_install`, …) | an `event` of that name |
| `gdpr_forget_device` | none: rejected, for a person's erasure is no event |
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from cli.importers import RowError, values
from cli.importers.rows import Event, Job, SourceRow
from cli.importers.tables import require_columns
from cli.importers.vendor import UNKNOWN, Columns, Touch, VendorImporter, fitting

REQUIRED = ("activity_kind", "created_at")
TOUCH_KINDS = {
    "click": "click", "impression": "impression", "san_click": "click", "san_impression": "impression",
}  # fmt: skip
REATTRIBUTIONS = frozenset({"reattribution", "reattribution_reinstall"})
ERASURES = frozenset({"gdpr_forget_device", "gdpr_erased_user"})
_DEVICE_IDS = ("gps_adid", "idfa", "fire_adid", "oaid", "android_id", "idfv", "adid")
_ANY_DEVICE_ID = "device_id"  # columns such as {idfa||gps_adid}
_REVENUE = (
    ("revenue_float", "currency", ""),
    ("reporting_revenue", "reporting_currency", ""),
    ("revenue_usd", "revenue_usd_currency", "USD"),  # that column names no currency
)
_TOUCH_DETAILS = {"adgroup": "adgroup_name", "creative": "creative_name"}
_TOUCH_METADATA = ("tracker", "tracker_name", "match_type", "reftag", "click_referer")
_LEVELS = ("network_name", "campaign_name", "adgroup_name", "creative_name")  # of tracker_name, joined by ::
_PERSONAL_NAME = re.compile(
    r"(?:^|[_|])(?:idfa|idfv|gps_adid|adid|fire_adid|android_id|oaid|imei|mac|web_uuid|ip_address|user_agent)(?:[_|]|$)"
)
_CLICK_ID = re.compile(r"(?:^|[?&])(?:adjust_reftag|click_id|clickid|gclid)=([^&\s]{1,256})")


class Adjust(VendorImporter):
    """The importer of this format."""

    name = "adjust"
    devices = (_ANY_DEVICE_ID, *_DEVICE_IDS)
    personal = frozenset({*devices, "user_id", "external_device_id", "ip_address", "user_agent", "mac_md5"})
    common: ClassVar[Mapping[str, str]] = {
        "appId": "app_id", "userId": "user_id", "platform": "os_name", "osVersion": "os_version",
        "country": "country", "ip": "ip_address", "userAgent": "user_agent",
    }  # fmt: skip

    def is_personal(self, name: str) -> bool:
        """Ids of devices and persons, and what is made of them: `idfa_md5`, `mac_sha1`, `idfa_or_gps_adid`."""
        return super().is_personal(name) or _PERSONAL_NAME.search(name) is not None

    def column_names(self, path: Path, header: Sequence[str]) -> list[str]:
        """`{created_at}` and `created_at` as `created_at`, `[user_id]` as `user_id`."""
        names = [_canonical(column) for column in header]
        missing = [name for name in REQUIRED if name not in names]
        require_columns(path, "Adjust export", missing, "add the placeholders to the export's CSV definition")
        return names

    def row_events(self, row: SourceRow[Columns], job: Job) -> list[Event]:
        """The touch first, then what it led to."""
        content = row.content
        kind = content.get("activity_kind").lower().replace(" ", "_")
        moment = self.moment(content, "created_at")
        if not kind or moment is None:
            raise RowError(f"{'created_at' if kind else 'activity_kind'} is empty")
        if kind in ERASURES:
            raise RowError("it asks for a person's erasure: that is `unmogrowp erase`, not an event")
        _fill_levels(content)
        content.used |= {"activity_kind", "created_at"}
        device = self.device_of(content)
        common = self.common_fields(content)
        if kind == "cost_updated":
            return [self._ad_spend(content, job, common, moment)]
        if kind in TOUCH_KINDS:
            common["deviceId"] = device or content.stand_in_device()
            return [self._touch_row(content, job, common, TOUCH_KINDS[kind], moment)]
        if not device:
            raise RowError(f"no device id is filled, nor adid, and {kind} needs one")
        common["deviceId"] = device
        touches = self._attributed(content, job, common) if kind in REATTRIBUTIONS | {"install"} else []
        if kind == "install":
            click_id = touches[0].get("clickId") if touches else None
            return [*touches, self._install(content, job, common, moment, click_id)]
        return [*touches, self._main(content, job, common, kind, moment)]

    def _main(self, columns: Columns, job: Job, common: Event, kind: str, moment: dt.datetime) -> Event:
        said = columns.text()  # events of one second differ in parameters whose names nobody knows
        if kind in {"session", "uninstall"}:
            event = self.event(job, kind, moment, common, said)
        elif revenue := self.revenue_fields(columns, _REVENUE):
            columns.used.discard("activity_kind")
            event = self.event(job, "purchase", moment, {**common, **revenue}, said)
        else:
            name = kind
            if kind == "event":
                name = columns.take("event_name") or columns.get("event_token") or kind
            event = self.event(job, "event", moment, {**common, "eventName": name}, said)
        return {**event, "metadata": self.metadata(columns, job)}

    def _install(
        self, columns: Columns, job: Job, common: Event, created: dt.datetime, click_id: str | None
    ) -> Event:
        moment = self.moment(columns, "installed_at") or created
        if moment != created:
            columns.used.discard("created_at")
        columns.used.add("installed_at")
        is_organic = _is_organic(columns)
        fields: Event = {
            **common,
            "source": "organic" if is_organic else "ad_network",
            "campaign": columns.take("campaign_name") or ("organic" if is_organic else UNKNOWN),
            **fitting("install", columns, _TOUCH_DETAILS, use=True),
            **(self._click_of(columns, job, click_id) if click_id else {}),
        }
        event = self.event(job, "install", moment, fields)
        return {**event, "metadata": self.metadata(columns, job)}

    def _click_of(self, columns: Columns, job: Job, click_id: str) -> Event:
        """The attributed click's id; as the store's referrer where the store gave one."""
        begin = self.moment(columns, "install_begin_time")
        if begin is None and not columns.get("referrer"):
            return {"clickId": click_id}
        times = {"clickTime": self.moment(columns, "click_time"), "installBeginTime": begin}
        told = {name: values.rfc3339(moment, job.shift_days) for name, moment in times.items() if moment}
        columns.used |= {"click_time", "install_begin_time"}
        return {"referrer": {"clickId": click_id, **told}}

    def _attributed(self, columns: Columns, job: Job, common: Event) -> list[Event]:
        """The touch of an install: its impression when it says so or has no click, else its click."""
        clicked, shown = (self.moment(columns, name) for name in ("click_time", "impression_time"))
        by_impression = columns.get("impression_based") in {"1", "true"} or clicked is None
        moment = shown if by_impression else clicked
        if _is_organic(columns) or moment is None:
            return []
        kind = "impression" if by_impression else "click"
        touch = _touch(columns, kind, moment, fitting(kind, columns, _TOUCH_DETAILS, use=False))
        metadata = self.metadata(columns, job, only=_TOUCH_METADATA)
        return [self.earlier_touch_event(job, touch, common, metadata)]

    def _touch_row(self, columns: Columns, job: Job, common: Event, kind: str, moment: dt.datetime) -> Event:
        details = fitting(kind, columns, _TOUCH_DETAILS, use=True)
        touch = _touch(columns, kind, moment, details)
        columns.used |= {"network_name", "campaign_name"}
        return self.touch_event(job, touch, common, self.metadata(columns, job))

    def _ad_spend(self, columns: Columns, job: Job, common: Event, moment: dt.datetime) -> Event:
        amount, currency = columns.get("cost_amount"), columns.take("cost_currency").upper()
        if not amount or not currency:
            raise RowError("cost_amount or cost_currency is empty, and ad spend needs both")
        micros, is_exact = values.micros_of(amount, "cost_amount")
        if is_exact:
            columns.used.add("cost_amount")
        fields = {
            **{name: text for name, text in common.items() if name not in {"ip", "userAgent", "userId"}},
            "source": columns.take("network_name") or UNKNOWN,
            "campaign": columns.take("campaign_name") or UNKNOWN,
            **fitting("ad_spend", columns, _TOUCH_DETAILS, use=True),
            "spendMicros": micros,
            "currency": currency,
        }
        event = self.event(job, "ad_spend", moment, fields, columns.text())
        return {**event, "metadata": self.metadata(columns, job)}


def _canonical(column: str) -> str:
    name = re.sub(r"^\[(.*)\]$", r"\1", column.strip()).replace("{", "").replace("}", "").strip()
    alternatives = name.split("||")
    return _ANY_DEVICE_ID if alternatives[1:] and set(alternatives) <= set(_DEVICE_IDS) else name


def _fill_levels(columns: Columns) -> None:
    """Network, campaign, ad group and creative from `tracker_name` where they have no columns of their own."""
    name = columns.get("tracker_name")
    if name and not any(columns.get(level) for level in _LEVELS):
        columns.values |= dict(zip(_LEVELS, unquote(name).split("::"), strict=False))


def _is_organic(columns: Columns) -> bool:
    said = columns.get("is_organic").lower()
    return said in {"1", "true"} if said else columns.get("network_name").lower() == "organic"


def _touch(columns: Columns, kind: str, moment: dt.datetime, details: Mapping[str, str]) -> Touch:
    handle = columns.get("reftag")
    if not handle:
        found = _CLICK_ID.search(unquote(columns.get("referrer") or columns.get("click_referer")))
        handle = found[1] if found else ""
    source = columns.get("network_name") or UNKNOWN
    return Touch(kind, moment, source, columns.get("campaign_name") or UNKNOWN, handle, details)
