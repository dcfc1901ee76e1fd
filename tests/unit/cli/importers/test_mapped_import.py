"""CSV and NDJSON by a mapping file: what it can say, what it may not, and the example of the user guide."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cli.importers.formats import Choices, ImportFormat, importer_of
from resources.errors import ContractError
from resources.settings import APPLICATION_ROOT
from tests.support.imports import TENANT, events_of, records_of

MAPPING = """
[source]
timezone = "Europe/Berlin"

[event_type]
column = "Kind"
values = { order = "purchase", visit = "session" }
otherwise = "event"

[fields]
deviceId = { column = "Device" }
timestamp = { column = "Time", timestamps = "%d.%m.%Y %H:%M:%S" }
revenueMicros = { column = "Total", convert = "decimal_to_micros" }
currency = { column = "Currency", default = "EUR", convert = "upper" }
eventName = { column = "Name", default = "unnamed" }
durationMs = { column = "Millis" }
platform = { column = "OS", values = { "iPhone OS" = "ios", Android = "android" } }
country = { constant = "DE" }

[metadata]
leave_out = ["Mail"]
"""
CSV = """Kind;Device;Time;Total;Currency;Name;Millis;OS;Mail;Shop
order;d-1;02.11.2026 09:30:00;12.345678;usd;;;Android;a@example.org;"Köln;
Süd"
visit;d-1;02.11.2026 09:31:00;;;;42000;iPhone OS;;
other;d-2;02.11.2026 09:32:00;7;;Signup;;;;
"""


def mapped(tmp_path: Path, mapping: str = MAPPING, file_format: ImportFormat = ImportFormat.CSV) -> Any:
    (tmp_path / "shop.toml").write_text(mapping)
    return importer_of(file_format, Choices(mapping=tmp_path / "shop.toml"))


def written(tmp_path: Path, text: str, name: str = "shop.csv") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_columns_become_fields_by_type_and_the_rest_is_metadata(tmp_path: Path) -> None:
    order, visit, other = events_of(mapped(tmp_path), written(tmp_path, CSV))
    origin = {"importedFrom": "shop.toml"}
    common = {"tenantId": TENANT, "country": "DE"}
    assert order == common | {
        "eventId": order["eventId"],
        "eventType": "purchase",
        "timestamp": "2026-11-02T08:30:00Z",
        "deviceId": "d-1",
        "platform": "android",
        "revenueMicros": 12_345_678,
        "currency": "USD",
        "metadata": {"Shop": "Köln;\nSüd", "importedRow": 1, **origin},
    }
    assert visit == common | {
        "eventId": visit["eventId"],
        "eventType": "session",
        "timestamp": "2026-11-02T08:31:00Z",
        "deviceId": "d-1",
        "platform": "ios",
        "durationMs": 42_000,
        "metadata": {"importedRow": 2, **origin},
    }
    assert (other["eventType"], other["eventName"]) == ("event", "Signup")
    assert other["metadata"] == {"Kind": "other", "Total": "7", "importedRow": 3, **origin}


def test_equal_rows_are_two_events_unless_columns_tell_them_apart(tmp_path: Path) -> None:
    row = CSV.splitlines(keepends=True)[3]
    path = written(tmp_path, CSV.splitlines(keepends=True)[0] + row + row)
    first, second = events_of(mapped(tmp_path), path)
    assert first["eventId"] != second["eventId"]
    by_columns = MAPPING.replace("[source]", '[source]\nid = ["Device", "Time"]')
    first, second = events_of(mapped(tmp_path, by_columns), path)
    assert first["eventId"] == second["eventId"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("order;d-1;02.11.2026 09:30:00;1,50;;;;;;", "Total is no number like 1234.56"),
        ("order;d-1;2026-11-02;1;;;;;;", "Time is no time like %d.%m.%Y %H:%M:%S"),
        ("visit;d-1;02.11.2026 09:30:00;;;;1.5;;;", "Millis is no whole number"),
        ("visit;d-1;02.11.2026 09:30:00;;;;;Symbian;;", "OS has a value that the mapping does not know"),
        ("visit;d-1", "2 fields, not 10"),
        ("visit;;02.11.2026 09:30:00;;;;;;;", "Device is empty, and every session needs deviceId"),
    ],
)
def test_a_row_that_the_mapping_cannot_read_says_why(tmp_path: Path, line: str, reason: str) -> None:
    path = written(tmp_path, CSV.splitlines()[0] + "\n" + line + "\n")
    (record,) = records_of(mapped(tmp_path), path)
    assert (record.lines, record.source) == ((), line.encode())
    assert reason in record.reason


def test_a_time_that_the_mapping_itself_says_moves_with_the_file(tmp_path: Path) -> None:
    fixed = MAPPING.replace(
        '{ column = "Time", timestamps = "%d.%m.%Y %H:%M:%S" }', "{ constant = 2026-11-02T00:00:00Z }"
    )
    path = written(tmp_path, CSV)
    assert {event["timestamp"] for event in events_of(mapped(tmp_path, fixed), path, shift_days=2)} == {
        "2026-11-04T00:00:00Z"
    }


def test_a_kind_that_no_rule_knows_is_rejected_without_otherwise(tmp_path: Path) -> None:
    strict = MAPPING.replace('otherwise = "event"', "").replace("eventName =", "#")
    records = records_of(mapped(tmp_path, strict), written(tmp_path, CSV))
    assert [bool(record.lines) for record in records] == [True, True, False]
    assert records[2].reason == "Kind has a value that the mapping gives no event type"


NDJSON_MAPPING = """
[event_type]
constant = "purchase"

[fields]
eventId = { pointer = "/id" }
deviceId = { pointer = "/user/device/0" }
timestamp = { pointer = "/at", timestamps = "unix_ms" }
revenueMicros = { pointer = "/total", convert = "decimal_to_micros" }
currency = { pointer = "/a~1b" }

[metadata]
leave_out = ["/user/mail"]
"""
EVENT_ID = "6f1c2b9e-0f5d-4c6e-9a57-1d1f0c0a7e01"


def test_json_pointers_reach_into_objects_and_money_is_exact(tmp_path: Path) -> None:
    line = (
        f'{{"id":"{EVENT_ID}","user":{{"device":["d-1"],"mail":"a@example.org","tags":[1,2.5]}},'
        '"at":1794300000123,"total":9007199254.740991,"a/b":"USD","big":18446744073709551615}\n'
    )
    importer = mapped(tmp_path, NDJSON_MAPPING, ImportFormat.NDJSON)
    (event,) = events_of(importer, written(tmp_path, line, "a.ndjson"))
    assert event == {
        "eventId": EVENT_ID,
        "tenantId": TENANT,
        "eventType": "purchase",
        "deviceId": "d-1",
        "timestamp": "2026-11-10T08:40:00.123000Z",
        "revenueMicros": 9_007_199_254_740_991,
        "currency": "USD",
        "metadata": {
            "user": {"device": ["d-1"], "tags": [1, 2.5]},
            "big": 18_446_744_073_709_551_615,
            "importedFrom": "shop.toml",
            "importedRow": 1,
        },
    }


def test_lines_that_are_no_objects_are_rejected_with_their_text(tmp_path: Path) -> None:
    fine = f'{{"id":"{EVENT_ID}","user":{{"device":["d"]}},"at":1794300000123,"total":1,"a/b":"USD"}}'
    path = written(tmp_path, f"[1]\n\nnot json\n{fine}\n", "a.ndjson")
    records = records_of(mapped(tmp_path, NDJSON_MAPPING, ImportFormat.NDJSON), path)
    assert [(record.row, bool(record.reason)) for record in records] == [(1, True), (3, True), (4, False)]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("deviceId =", "device_id =", "fields.device_id is no field of the contract: did you mean deviceId"),
        (
            "deviceId =",
            "shoeSize =",
            "fields.shoeSize is no field of the contract: choose from adId, adgroup",
        ),
        ("deviceId =", "tenantId =", "fields.tenantId cannot be mapped: it is --tenant"),
        ("deviceId =", "#", "fields lacks deviceId, which every event needs"),
        ("currency =", "#", "fields lacks currency, which every purchase needs"),
        ("currency =", 'skanVersion = {constant="4"}\ncurrency =', "fields.skanVersion is"),
        ('"purchase"', '"order"', "event_type knows no type order: choose one of ad_spend, click"),
        ('column = "Kind"', "", "event_type needs a constant, or a column and its values"),
        (
            "decimal_to_micros",
            "to_cents",
            "cannot convert by to_cents: choose decimal_to_micros, lower, upper",
        ),
        (
            '{ column = "Device" }',
            '{ pointer = "/d" }',
            "fields.deviceId needs either a column or a constant",
        ),
        ('{ column = "Device" }', '"Device"', "fields.deviceId must be a table"),
        ('{ column = "Device" }', '{ colum = "D" }', "fields.deviceId.colum is not known here: choose from"),
        ("Europe/Berlin", "Europe/Atlantis", "Europe/Atlantis is no time zone"),
        ("%d.%m.%Y %H:%M:%S", "german", "fields.timestamp has no timestamps like german"),
        ("[metadata]", "[meta]", "meta is not known here: choose from event_type, fields, metadata, source"),
        ('["Mail"]', '"Mail"', "metadata.leave_out must be a list of columns"),
        ("[source]", '[source]\ndelimiter = "--"', "source.delimiter must be one character"),
        ("[source]", "[source", "shop.toml is no TOML"),
        ("country =", '"referrer.clickTime" =', "fields.referrer.clickTime is a field of install alone"),
    ],
)
def test_a_wrong_mapping_is_refused_in_one_sentence(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in MAPPING
    with pytest.raises(ContractError, match=re.escape(sentence)):
        mapped(tmp_path, MAPPING.replace(old, new, 1))


def test_columns_that_the_file_lacks_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, CSV.replace("Device;Time", "Gadget;When"))
    with pytest.raises(
        ContractError, match=r"lacks the columns Device, Time; correct the file or the mapping"
    ):
        mapped(tmp_path).survey(path, TENANT)


@pytest.mark.parametrize(
    ("file_format", "choices", "sentence"),
    [
        (ImportFormat.CSV, Choices(), "--format csv needs --mapping FILE"),
        (ImportFormat.ADJUST, Choices(mapping=Path("x.toml")), "--mapping is for csv and ndjson"),
        (ImportFormat.NDJSON, Choices(timezone="UTC"), "--timezone means nothing for ndjson"),
        (ImportFormat.APPSFLYER, Choices(timezone="Moon/Base"), "Moon/Base is no time zone"),
    ],
)
def test_choices_that_do_not_fit_the_format_are_refused(
    file_format: ImportFormat, choices: Choices, sentence: str
) -> None:
    with pytest.raises(ContractError, match=re.escape(sentence)):
        importer_of(file_format, choices)


def test_another_mapping_is_another_import(tmp_path: Path) -> None:
    before = mapped(tmp_path).options
    assert mapped(tmp_path, MAPPING + "\n# a word").options != before


def test_the_example_of_the_user_guide_works_as_it_stands(tmp_path: Path) -> None:
    guide = (APPLICATION_ROOT / "docs/user-guide.md").read_text()
    section = guide.split("## Importing an export", 1)[1].split("\n## ", 1)[0]
    mapping = re.search(r"```toml\n(.*?)```", section, re.DOTALL)
    table = re.search(r"```csv\n(.*?)```", section, re.DOTALL)
    assert mapping is not None
    assert table is not None
    path = written(tmp_path, table[1])
    purchase, session = events_of(mapped(tmp_path, mapping[1]), path)
    assert (purchase["eventType"], purchase["revenueMicros"], purchase["currency"]) == (
        "purchase", 19_990_000, "EUR",
    )  # fmt: skip
    assert purchase["timestamp"] == "2026-11-19T08:30:00Z"
    assert (session["eventType"], session["metadata"]["Shop"]) == ("session", "Berlin")
    assert b"@" not in b"".join(records_of(mapped(tmp_path, mapping[1]), path)[0].lines)
