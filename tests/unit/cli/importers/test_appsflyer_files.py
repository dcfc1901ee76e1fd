"""AppsFlyer exports as files: Data Locker's names, ids, what is refused, and what does not depend on the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.importers.appsflyer import AppsFlyer
from resources.errors import ContractError
from tests.support.appsflyer_rows import GAID, HEADER, IN_APP, INSTALL, events
from tests.support.imports import SHA256, TENANT, events_of, records_of, write_table


def test_overlapping_exports_give_the_same_events_and_another_shift_other_ones(tmp_path: Path) -> None:
    path = write_table(tmp_path / "one.csv", HEADER, [INSTALL, IN_APP])
    later = write_table(tmp_path / "two.csv", HEADER, [IN_APP, INSTALL])
    ids = {event["eventId"] for event in events_of(AppsFlyer(), path)}
    assert {event["eventId"] for event in events_of(AppsFlyer(), later)} == ids
    moved = events_of(AppsFlyer(), path, shift_days=3)
    assert not {event["eventId"] for event in moved} & ids
    assert [event["timestamp"] for event in moved][:2] == ["2026-11-13T09:00:00Z", "2026-11-13T09:05:00Z"]


def test_ids_that_are_no_device_id_of_the_event_never_reach_metadata_and_are_counted(tmp_path: Path) -> None:
    personal = {
        "Android ID": "9774d56d682e549c",
        "IMEI": "490154203237518",
        "Original URL": "https://l.example/x?pid=net&clickid=abc&af_ip=198.51.100.9&android_id=9774D56D682E549C&c=1",
    }
    path = write_table(tmp_path / "raw.csv", HEADER, [INSTALL | personal])
    lines = b"".join(line for record in records_of(AppsFlyer(), path) for line in record.lines)
    for value in (*list(personal.values())[:2], "9774D56D682E549C", "198.51.100.9", "1762700000000-7944042"):
        assert value.encode() not in lines
    assert b"af_ip=[personal]&android_id=[personal]&c=1" in lines
    survey = AppsFlyer().survey(path, TENANT)
    assert survey.left_out == {"appsflyer_id": 1, "android_id": 1, "imei": 1}


def test_a_limited_advertising_id_is_none_and_the_vendors_own_id_is_the_last_resort(tmp_path: Path) -> None:
    limited = INSTALL | {"Advertising ID": "00000000-0000-0000-0000-000000000000"}
    assert events(tmp_path, limited)[1]["deviceId"] == INSTALL["AppsFlyer ID"]
    assert events(tmp_path, limited | {"IDFV": "5B5B1B14-00E1"})[1]["deviceId"] == "5B5B1B14-00E1"


def test_what_the_contract_does_not_take_stays_in_metadata(tmp_path: Path) -> None:
    odd = {"Country Code": "Europe", "Platform": "smart fridge", "OS Version": "v" * 33, "Adset": "a" * 257}
    _, install = events(tmp_path, INSTALL | odd)
    assert not {"country", "platform", "osVersion", "adgroup"} & install.keys()
    told = {name: install["metadata"][name] for name in ("country_code", "platform", "os_version", "adset")}
    assert list(told.values()) == list(odd.values())


def test_data_lockers_column_names_mean_the_same(tmp_path: Path) -> None:
    names = {"Channel": "af_channel", "Campaign ID": "af_c_id", "Adset": "af_adset", "Ad": "af_ad"}
    locker = {names.get(name, name.lower().replace(" ", "_")): value for name, value in INSTALL.items()}
    path = write_table(tmp_path / "locker.csv", list(locker), [locker])
    assert events_of(AppsFlyer(), path) == events(tmp_path, INSTALL)


def test_data_lockers_clicks_are_touches_with_or_without_a_device(tmp_path: Path) -> None:
    row = {"Event Name": "click", "Event Time": "2026-11-10 09:00:00", "Media Source": "net", "Campaign": "C"}
    known, unknown = events(tmp_path, row | {"Advertising ID": GAID}, row | {"IP": "203.0.113.9"})
    assert (known["eventType"], known["deviceId"]) == ("click", GAID)
    assert unknown["deviceId"].startswith("unknown-")
    assert unknown["ip"] == "203.0.113.9"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"Event Time": "11/19/2016 8:32:12 PM"}, "event_time is no time like 2026-11-02 08:30:00"),
        ({"Event Time": "2026-02-30 10:00:00"}, "event_time is no time that there is"),
        ({"Event Time": ""}, "event_time is empty"),
        ({"Event Name": ""}, "event_name is empty"),
        ({"Advertising ID": "", "AppsFlyer ID": ""}, "no device id"),
        ({"Event Revenue": "$5.00"}, "event_revenue is no number like 1234.56"),
        ({"Event Revenue": "1,234.5"}, "event_revenue is no number"),
        ({"Event Revenue": "NaN"}, "event_revenue is no number"),
        ({"Event Revenue": "1e999999999"}, "event_revenue is no number"),
    ],
)
def test_a_row_that_cannot_be_an_event_says_why_and_gives_none(
    tmp_path: Path, broken: dict[str, str], reason: str
) -> None:
    path = write_table(tmp_path / "raw.csv", HEADER, [INSTALL, IN_APP | broken])
    record = records_of(AppsFlyer(), path)[1]
    assert record.lines == ()
    assert reason in record.reason
    survey = AppsFlyer().survey(path, TENANT)
    assert (survey.rows, survey.rejected, survey.events) == (2, 1, {"click": 1, "install": 1})


def test_a_file_without_the_vendors_columns_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write_table(tmp_path / "x.csv", ["Event Time", "IP"], [{"IP": "1.1.1.1"}])
    with pytest.raises(
        ContractError, match="it lacks the columns Event Name, AppsFlyer ID; export it as CSV"
    ):
        AppsFlyer().survey(path, TENANT)
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(ContractError, match="is empty: give a file"):
        AppsFlyer().survey(tmp_path / "empty.csv", TENANT)
    with pytest.raises(ContractError, match="holds no rows"):
        AppsFlyer().survey(write_table(tmp_path / "raw.csv", HEADER, []), TENANT)
    nothing = write_table(tmp_path / "bad.csv", HEADER, [INSTALL | {"Event Name": ""}])
    with pytest.raises(ContractError, match=r"none of the 1 rows .*row 1: event_name is empty"):
        AppsFlyer().survey(nothing, TENANT)


def test_the_ids_do_not_depend_on_the_file(tmp_path: Path) -> None:
    path = write_table(tmp_path / "raw.csv", HEADER, [INSTALL])
    again = AppsFlyer().records(path, TENANT, SHA256[::-1], shift_days=0, after_row=0)
    assert [record.lines for record in again] == [record.lines for record in records_of(AppsFlyer(), path)]
