"""What attribution vendors' CSV exports have in common: columns by name, devices, touches, money, metadata.

Which column means what is `appsflyer`'s and `adjust`'s. Event ids come from what happened (type, app, device,
moment, and what tells events of one moment apart), never from the file: exports that overlap, and rows that
repeat an earlier one, are the same events again and count once.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cli.importers import RowError, values
from cli.importers.personal import without_personal
from cli.importers.rejected import RejectedLayout
from cli.importers.rows import Event, Job, RowImporter, SourceRow
from cli.importers.tables import csv_layout, open_table

UNKNOWN = "unknown"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:unmogrowp:import")
_NO_ID = frozenset("0-")  # 00000000-0000-…: what a phone gives whose owner limits ad tracking
_NUMBERED = re.compile(r"_\d+$")
_PLATFORMS = {
    "ios": "ios", "iphone": "ios", "ipad": "ios", "android": "android", "amazon": "android",
    "windows": "windows", "windows-phone": "windows", "macos": "macos", "mac": "macos", "web": "web",
}  # fmt: skip
_COUNTRIES = {"UK": "GB"}  # AppsFlyer's own code for a country whose ISO code is another


class Columns:
    """One row by column; remembers which columns became fields, for the rest is metadata."""

    __slots__ = ("number", "used", "values")

    def __init__(self, number: int, names: Sequence[str], texts: Sequence[str]) -> None:
        self.number = number
        self.used: set[str] = set()
        self.values = {name: text for name, text in zip(names, texts, strict=True) if text}

    def get(self, name: str) -> str:
        """The column's text; empty where the export says nothing."""
        text = self.values.get(name, "").strip()
        return "" if text in values.NOTHING else text

    def stand_in_device(self) -> str:
        """A device id of the row's own, for touches that tell of none; the same row gives the same one."""
        return f"unknown-{uuid.uuid5(_NAMESPACE, self.text())}"

    def text(self) -> str:
        """All that the row says: what tells it from other rows when nothing else does."""
        return "\x1f".join(f"{name}={self.values[name]}" for name in sorted(self.values))

    def take(self, name: str) -> str:
        """The same, and the column is not repeated in metadata."""
        self.used.add(name)
        return self.get(name)


@dataclass(frozen=True)
class Touch:
    """An ad's click or impression as a row tells of it."""

    event_type: str
    moment: dt.datetime
    source: str
    campaign: str
    handle: str = ""  # the network's own id of the click
    details: Mapping[str, str] | None = None  # medium, adgroup, creative


class VendorImporter(RowImporter[Columns]):
    """An importer of one vendor's CSV."""

    name: str
    personal: ClassVar[frozenset[str]]
    common: ClassVar[Mapping[str, str]]  # field → column
    devices: ClassVar[Sequence[str]]  # the columns of device ids, the best first

    def __init__(self, zone: dt.tzinfo = dt.UTC) -> None:
        self.zone = zone
        self.options = f"{self.name} {zone}"
        self._is_personal: dict[str, bool] = {}  # by column

    @abstractmethod
    def column_names(self, path: Path, header: Sequence[str]) -> list[str]:
        """The header's columns under the names the rules know.

        Raises:
            ContractError: columns are missing.
        """

    def rows(self, path: Path) -> Iterator[SourceRow[Columns]]:
        """The file's rows."""
        with open_table(path) as table:
            names = told_apart(self.column_names(path, [name.strip() for name in table.header]))
            empty = Columns(0, (), ())
            for row in table.rows():
                content = empty if row.problem else Columns(row.number, names, row.values)
                yield SourceRow(row.number, row.source, content, row.problem)

    def rejected_layout(self, path: Path) -> RejectedLayout:
        """The same columns and two more."""
        return csv_layout(path)

    def moment(self, columns: Columns, name: str) -> dt.datetime | None:
        """A column's time in UTC, None where it is empty."""
        text = columns.get(name)
        return values.moment_of(text, self.zone, name) if text else None

    def device_of(self, columns: Columns) -> str:
        """The first device id that the row has, and its column is no metadata; empty where it has none."""
        for name in self.devices:
            text = columns.get(name)
            if text and not set(text) <= _NO_ID:
                columns.used.add(name)
                return text
        return ""

    def common_fields(self, columns: Columns) -> Event:
        """The fields that every event of the row has, as far as the contract takes what the columns say."""
        found: Event = {}
        for field, name in self.common.items():
            text = _normal(field, columns.get(name))
            if text and values.fits("event", field, text):
                found[field] = text
                columns.used.add(name)
        return found

    def event(
        self, job: Job, event_type: str, moment: dt.datetime, fields: Mapping[str, Any], *identity: str
    ) -> Event:
        """An event of this moment; `identity` tells it from others of its type, app, device and moment."""
        timestamp = values.rfc3339(moment, job.shift_days)
        parts = (event_type, fields.get("appId", ""), fields.get("deviceId", ""), timestamp, *identity)
        event_id = uuid.uuid5(_NAMESPACE, "\x1f".join(parts))
        return {
            "eventId": str(event_id),
            "tenantId": job.tenant_id,
            "timestamp": timestamp,
            "eventType": event_type,
            **fields,
        }

    def earlier_touch_event(self, job: Job, touch: Touch, common: Event, metadata: Event) -> Event:
        """A touch that the row of a later event tells of: address, agent and place are the later event's."""
        lasting = {name: common[name] for name in ("deviceId", "appId", "platform") if name in common}
        return self.touch_event(job, touch, lasting, metadata)

    def touch_event(self, job: Job, touch: Touch, common: Event, metadata: Event) -> Event:
        """The click or impression. The same touch told of by several rows is one event."""
        fields = {**common, "source": touch.source, "campaign": touch.campaign, **(touch.details or {})}
        event = self.event(job, touch.event_type, touch.moment, fields, touch.source, touch.campaign)
        if touch.event_type == "click":
            event["clickId"] = touch.handle or f"{self.name}-{event['eventId']}"
        event["metadata"] = metadata
        return event

    def metadata(self, columns: Columns, job: Job, only: Sequence[str] = ()) -> Event:
        """Every column that became no field (or those of `only`), but for personal ones, which are counted."""
        if only:
            rest = {name: columns.values[name] for name in only if name in columns.values}
        else:
            rest = {name: text for name, text in columns.values.items() if name not in columns.used}
        personal = self._personal_of(columns)
        if not only:
            job.left_out.update(name for name in personal if name not in columns.used and columns.get(name))
        own = [columns.values[name] for name in personal]
        plain = {name: text for name, text in rest.items() if name not in personal}
        return {**without_personal(plain, own), "importedFrom": self.name, "importedRow": columns.number}

    def _personal_of(self, columns: Columns) -> list[str]:
        known = self._is_personal
        for name in columns.values.keys() - known.keys():
            known[name] = self.is_personal(name)
        return [name for name in columns.values if known[name]]

    def is_personal(self, name: str) -> bool:
        """Whether the column holds personal values; `idfa_2` is a second column `idfa`."""
        return name in self.personal or _NUMBERED.sub("", name) in self.personal

    def revenue_fields(
        self, columns: Columns, pairs: Sequence[tuple[str, str, str]], *, zero_counts: bool = False
    ) -> Event | None:
        """Micros and currency of the first (amount, currency, default currency) that is filled; else None.

        None also of nothing earned, unless `zero_counts`. An amount finer than a micro is rounded, and then
        its column stays in metadata as well.

        Raises:
            RowError: the amount is no number.
        """
        for amount, currency, default in pairs:
            text = columns.get(amount)
            if not text:
                continue
            micros, is_exact = values.micros_of(text, amount)
            if not micros and not zero_counts:
                return None
            code = (columns.take(currency) or default).upper()
            if not code:
                raise RowError(f"{amount} is filled and {currency} is not: an amount needs its currency")
            if is_exact:
                columns.used.add(amount)
            return {"revenueMicros": micros, "currency": code}
        return None


def fitting(event_type: str, columns: Columns, fields: Mapping[str, str], *, use: bool) -> dict[str, str]:
    """The fields (field → column) whose column is filled with what the contract takes."""
    found = {}
    for field, name in fields.items():
        text = columns.get(name)
        if text and values.fits(event_type, field, text):
            found[field] = text
            if use:
                columns.used.add(name)
    return found


def _normal(field: str, text: str) -> str:
    if field == "platform":
        return _PLATFORMS.get(text.lower(), "")
    if field == "country":
        return _COUNTRIES.get(text.upper(), text.upper())
    return text


def told_apart(names: Sequence[str]) -> list[str]:
    """The names; the second column of a name is `name_2`, so that none hides another."""
    seen = Counter[str]()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result
