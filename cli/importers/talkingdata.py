"""TalkingData AdTracking (`train.csv`, `train_sample.csv`): clicks, some with the time of the download.

Every row is a `click`; a row with `attributed_time` is an `install` as well, whose referrer names that click.
Rows are numbered from 1 and ids come from the file's hash and the row's number, so two equal rows are two
events and a second import is the same events. The file names no device (its `device` is a type of device):
each row is a device of its own, and only the click id joins install and click.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import orjson

from cli.importers import Record, Survey, id_namespace
from cli.importers.rejected import RejectedLayout
from cli.importers.tables import TableRow, csv_layout, open_table
from resources.errors import ContractError

HEADER = ["ip", "app", "device", "os", "channel", "click_time", "attributed_time", "is_attributed"]


class TalkingData:
    """The importer of this format."""

    refused_share_max = 0.0
    options = "talkingdata"

    def survey(self, path: Path, tenant_id: str) -> Survey:  # noqa: ARG002 - the file names no tenant
        """Counts rows and installs, and events per day."""
        clicks, installs = Counter[str](), Counter[str]()
        rows = 0
        for row in read_rows(path):
            rows = row.number
            fields = row.values
            clicks[fields[5][:10]] += 1
            if fields[6]:
                installs[fields[6][:10]] += 1
        if not rows:
            raise ContractError(f"{path.name} holds no rows: give a TalkingData file with at least one click")
        days = {_day(path, text): count for text, count in (clicks + installs).items()}
        return Survey(rows, {"click": rows, "install": installs.total()}, days)

    def records(
        self, path: Path, tenant_id: str, sha256: str, *, shift_days: int, after_row: int
    ) -> Iterator[Record]:
        """The rows after `after_row`: a click each, and its install right behind it."""
        for row in read_rows(path):
            if row.number > after_row:
                events = row_events(row.number, row.values, tenant_id, sha256, shift_days)
                yield Record(row.number, row.source, tuple(map(orjson.dumps, events)))

    def rejected_layout(self, path: Path) -> RejectedLayout:
        """The same columns and two more."""
        return csv_layout(path, ",")


def read_rows(path: Path) -> Iterator[TableRow]:
    """The rows, all of eight fields.

    Raises:
        ContractError: header or a row is not of this format.
    """
    with open_table(path, ",") as table:
        if table.header != HEADER:
            raise ContractError(f"{path.name} is no TalkingData file: its header must be {','.join(HEADER)}")
        for row in table.rows():
            if row.problem:
                raise ContractError(f"{path.name}, row {row.number}: {row.problem}; correct it")
            yield row


def row_events(
    number: int, row: list[str], tenant_id: str, sha256: str, shift_days: int
) -> list[dict[str, object]]:
    """The one or two events of a row; only whole days are added, so every interval stays as it is."""
    ip, app, device, os_version, channel, click_time, attributed_time, _ = row
    namespace = _namespace(sha256)
    handle = f"td-{sha256[:12]}-{number}"
    clicked = _timestamp(click_time, shift_days)
    metadata = {"ip": ip, "device": device, "os": os_version, "channel": channel, "app": app, "row": number}
    click: dict[str, object] = {
        "eventId": str(uuid.uuid5(namespace, f"{number}:click")),
        "tenantId": tenant_id,
        "timestamp": clicked,
        "deviceId": handle,
        "eventType": "click",
        "appId": f"td.app.{app}",
        "source": f"channel_{channel}",
        "campaign": f"app_{app}",
        "clickId": handle,
        "metadata": metadata,
    }
    if not attributed_time:
        return [click]
    install: dict[str, object] = {
        "eventId": str(uuid.uuid5(namespace, f"{number}:install")),
        "tenantId": tenant_id,
        "timestamp": _timestamp(attributed_time, shift_days),
        "deviceId": handle,
        "eventType": "install",
        "appId": f"td.app.{app}",
        "campaign": "unknown",  # attribution has to find it
        "referrer": {"clickId": handle, "clickTime": clicked},
        "metadata": {"row": number},
    }
    return [click, install]


@cache
def _namespace(sha256: str) -> uuid.UUID:
    return id_namespace(sha256)


@cache  # a file has few days and many rows
def _shifted_date(date: str, shift_days: int) -> str:
    return (dt.date.fromisoformat(date) + dt.timedelta(days=shift_days)).isoformat()


def _timestamp(text: str, shift_days: int) -> str:
    """`2017-11-07 09:30:38` as RFC 3339 in UTC, moved by whole days; nonsense is the door's to refuse."""
    date, _, time = text.partition(" ")
    try:
        return f"{_shifted_date(date, shift_days)}T{time}Z"
    except ValueError:
        return text


def _day(path: Path, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise ContractError(f"{path.name}: {text!r} is no day like 2017-11-07; correct the file") from error
