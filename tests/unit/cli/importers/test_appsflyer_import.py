"""AppsFlyer's raw-data reports as events: one golden row for each kind of row the vendor documents.

Sources: "Raw data field dictionary" (support.appsflyer.com, article 208387843) for columns, touch types and
times; "In-App Events" (dev.appsflyer.com/hc/docs/inappevents) for revenue. Rows are made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.importers.appsflyer import AppsFlyer
from cli.importers.values import zone_of
from resources.errors import ContractError
from tests.support.imports import SHA256, TENANT, events_of, golden, records_of, write_table

_HEADER_LINE = (
    "Attributed Touch Type,Attributed Touch Time,Install Time,Event Time,Event Name,Event Value,Event Revenue,"
    "Event Revenue Currency,Event Revenue USD,Event Source,Is Receipt Validated,Partner,Media Source,Channel,"
    "Keywords,Campaign,Campaign ID,Adset,Adset ID,Ad,Ad ID,Ad Type,Site ID,Sub Site ID,Sub Param 1,Cost Model,"
    "Cost Value,Cost Currency,Contributor 1 Partner,Contributor 1 Media Source,Contributor 1 Campaign,"
    "Contributor 1 Touch Type,Contributor 1 Touch Time,Contributor 2 Partner,Contributor 2 Media Source,"
    "Contributor 2 Campaign,Contributor 2 Touch Type,Contributor 2 Touch Time,Region,Country Code,State,City,"
    "Postal Code,DMA,IP,WIFI,Operator,Carrier,Language,AppsFlyer ID,Advertising ID,IDFA,Android ID,"
    "Customer User ID,IMEI,IDFV,Platform,Device Type,OS Version,App Version,SDK Version,App ID,App Name,"
    "Bundle ID,Is Retargeting,Retargeting Conversion Type,Is Primary Attribution,User Agent,HTTP Referrer,"
    "Original URL,Install App Store,Match Type,Google Play Referrer,Google Play Click Time,"
    "Google Play Install Begin Time"
)
HEADER = _HEADER_LINE.split(",")
GAID = "38400000-8cf0-41bd-823e-10b96e40000d"
INSTALL = {
    "Attributed Touch Type": "click",
    "Attributed Touch Time": "2026-11-10 09:00:00",
    "Install Time": "2026-11-10 09:05:00",
    "Event Time": "2026-11-10 09:05:00",
    "Event Name": "install",
    "Media Source": "net_int",
    "Channel": "Feed",
    "Campaign": "Spring",
    "Campaign ID": "c-9",
    "Adset": "Women 30+",
    "Ad": "Video, blue",
    "Country Code": "UK",
    "City": "Leeds",
    "IP": "203.0.113.7",
    "AppsFlyer ID": "1762700000000-7944042",
    "Advertising ID": GAID,
    "Customer User ID": "customer-4711",
    "Platform": "android",
    "OS Version": "14",
    "App Version": "2.0.2",
    "App ID": "com.example.game",
    "User Agent": "Dalvik/2.1.0",
    "Match Type": "id_matching",
}
IN_APP = INSTALL | {"Event Name": "level_up", "Event Time": "2026-11-11 10:00:00.250"}
TOUCH = {"deviceId": GAID, "appId": "com.example.game", "platform": "android"}
COMMON = TOUCH | {
    "userId": "customer-4711", "osVersion": "14", "country": "GB", "ip": "203.0.113.7", "userAgent": "Dalvik/2.1.0",
}  # fmt: skip
AD = {"campaign": "Spring", "medium": "Feed", "adgroup": "Women 30+", "creative": "Video, blue"}


def events(tmp_path: Path, *rows: dict[str, str], **options: Any) -> list[dict[str, Any]]:
    return events_of(AppsFlyer(**options), write_table(tmp_path / "raw.csv", HEADER, rows))


def test_a_non_organic_install_is_its_click_and_the_install_joined_by_the_click_id(tmp_path: Path) -> None:
    click, install = events(tmp_path, INSTALL)
    assert golden(click) == TOUCH | AD | {
        "timestamp": "2026-11-10T09:00:00Z",
        "eventType": "click",
        "source": "net_int",
        "clickId": f"appsflyer-{click['eventId']}",
        "metadata": {
            "campaign_id": "c-9", "match_type": "id_matching", "importedFrom": "appsflyer", "importedRow": 1,
        },
    }  # fmt: skip
    assert golden(install) == COMMON | AD | {
        "timestamp": "2026-11-10T09:05:00Z",
        "eventType": "install",
        "source": "ad_network",
        "clickId": click["clickId"],
        "metadata": {
            "attributed_touch_type": "click", "attributed_touch_time": "2026-11-10 09:00:00",
            "media_source": "net_int", "campaign_id": "c-9", "city": "Leeds", "app_version": "2.0.2",
            "match_type": "id_matching", "importedFrom": "appsflyer", "importedRow": 1,
        },
    }  # fmt: skip


def test_google_play_times_make_the_stores_referrer_with_the_networks_click_id(tmp_path: Path) -> None:
    play = {
        "Google Play Referrer": "utm_source=net&gclid=Cj0K-1",
        "Google Play Click Time": "2026-11-10 09:00:01",
        "Google Play Install Begin Time": "2026-11-10 09:02:00",
    }
    click, install = events(tmp_path, INSTALL | play)
    assert click["clickId"] == "Cj0K-1"
    assert install["referrer"] == {
        "clickId": "Cj0K-1",
        "clickTime": "2026-11-10T09:00:01Z",
        "installBeginTime": "2026-11-10T09:02:00Z",
    }
    assert "clickId" not in install
    assert install["metadata"]["google_play_referrer"] == play["Google Play Referrer"]


def test_contributors_are_further_touches_before_the_attributed_one(tmp_path: Path) -> None:
    contributors = {
        "Contributor 1 Media Source": "second_int",
        "Contributor 1 Campaign": "Autumn",
        "Contributor 1 Touch Type": "impression",
        "Contributor 1 Touch Time": "2026-11-09 20:00:00",
        "Contributor 2 Partner": "agency",
        "Contributor 2 Touch Type": "click",
        "Contributor 2 Touch Time": "2026-11-08 20:00:00",
    }
    assists_and_click = events(tmp_path, INSTALL | contributors)[:-1]
    told = [(each["eventType"], each["source"], each["campaign"]) for each in assists_and_click]
    assert told == [
        ("click", "agency", "unknown"),
        ("impression", "second_int", "Autumn"),
        ("click", "net_int", "Spring"),
    ]
    assert "ip" not in assists_and_click[0]  # the address is the install's, not the touch's


@pytest.mark.parametrize("media_source", ["organic", ""])
def test_an_organic_install_gives_no_touch(tmp_path: Path, media_source: str) -> None:
    organic = {name: INSTALL[name] for name in INSTALL if not name.startswith("Attributed")}
    (install,) = events(tmp_path, organic | {"Media Source": media_source, "Campaign": "None"})
    assert (install["eventType"], install["source"], install["campaign"]) == ("install", "organic", "organic")
    assert "clickId" not in install


def test_an_impression_is_no_click_and_television_is_no_touch_of_ours(tmp_path: Path) -> None:
    viewed, install = events(tmp_path, INSTALL | {"Attributed Touch Type": "Impression"})
    assert (viewed["eventType"], "clickId" in viewed, "clickId" in install) == ("impression", False, False)
    (seen_on_tv,) = events(tmp_path, INSTALL | {"Attributed Touch Type": "TV"})
    assert (seen_on_tv["eventType"], seen_on_tv["source"]) == ("install", "ad_network")
    assert seen_on_tv["metadata"]["attributed_touch_type"] == "TV"


def test_an_in_app_event_gives_itself_alone_with_the_rest_in_metadata(tmp_path: Path) -> None:
    (event,) = events(tmp_path, IN_APP | {"Event Value": '{"level":7,"user":"CUSTOMER-4711"}'})
    assert golden(event) == COMMON | {
        "timestamp": "2026-11-11T10:00:00.250000Z",
        "eventType": "event",
        "eventName": "level_up",
        "metadata": {
            "attributed_touch_type": "click", "attributed_touch_time": "2026-11-10 09:00:00",
            "install_time": "2026-11-10 09:05:00", "event_value": '{"level":7,"user":"[personal]"}',
            "media_source": "net_int", "channel": "Feed", "campaign": "Spring", "campaign_id": "c-9",
            "adset": "Women 30+", "ad": "Video, blue", "city": "Leeds", "app_version": "2.0.2",
            "match_type": "id_matching", "importedFrom": "appsflyer", "importedRow": 1,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "micros", "currency"),
    [
        ({"Event Revenue": "200.12", "Event Revenue Currency": "EUR"}, 200_120_000, "EUR"),
        ({"Event Revenue": "0.1", "Event Revenue Currency": ""}, 100_000, "USD"),
        ({"Event Revenue": "-1234.56", "Event Revenue Currency": "USD"}, -1_234_560_000, "USD"),
        ({"Event Revenue": "", "Event Revenue USD": "9007199254.740991"}, 9_007_199_254_740_991, "USD"),
        ({"Event Revenue": "0", "Event Revenue Currency": "USD"}, 0, "USD"),
    ],
)
def test_revenue_is_a_purchase_to_the_micro(
    tmp_path: Path, columns: dict[str, str], micros: int, currency: str
) -> None:
    value = {"Event Value": '{"af_content_id":"gems-100"}', "Event Name": "af_purchase"}
    (purchase,) = events(tmp_path, IN_APP | value | columns)
    told = (purchase["eventType"], purchase["revenueMicros"], purchase["currency"], purchase["productId"])
    assert told == ("purchase", micros, currency, "gems-100")
    assert purchase["metadata"]["event_name"] == "af_purchase"
    assert "event_revenue" not in purchase["metadata"]


def test_money_finer_than_a_micro_is_rounded_and_kept_as_written(tmp_path: Path) -> None:
    (purchase,) = events(tmp_path, IN_APP | {"Event Revenue": "0.00012345", "Event Revenue Currency": "USD"})
    assert purchase["revenueMicros"] == 123
    assert purchase["metadata"]["event_revenue"] == "0.00012345"


def test_no_revenue_and_zero_revenue_are_plain_events(tmp_path: Path) -> None:
    free = events(tmp_path, IN_APP | {"Event Revenue": "0.0"}, IN_APP | {"Event Name": "af_purchase"})
    assert [(event["eventType"], event["eventName"]) for event in free] == [
        ("event", "level_up"),
        ("event", "af_purchase"),
    ]
    assert free[0]["metadata"]["event_revenue"] == "0.0"


def test_re_engagements_bring_their_touch_and_uninstalls_are_uninstalls(tmp_path: Path) -> None:
    rows = (
        INSTALL | {"Event Name": "re-engagement", "Is Retargeting": "true"},
        IN_APP | {"Event Name": "uninstall"},
    )
    click, engagement, uninstall = events(tmp_path, *rows)
    assert (click["eventType"], engagement["eventName"]) == ("click", "re-engagement")
    assert uninstall["eventType"] == "uninstall"


def test_a_conversion_reported_twice_for_retargeting_counts_once(tmp_path: Path) -> None:
    money = {"Event Name": "af_purchase", "Event Revenue": "5", "Event Revenue Currency": "USD"}
    primary, other = events(
        tmp_path,
        IN_APP | money | {"Is Primary Attribution": "true", "Media Source": "retarget_int"},
        IN_APP | money | {"Is Primary Attribution": "false"},
    )
    assert primary["eventId"] == other["eventId"]
    later, dearer = events(
        tmp_path,
        IN_APP | money | {"Event Time": "2026-11-11 10:00:01"},
        IN_APP | money | {"Event Revenue": "6"},
    )
    assert len({primary["eventId"], later["eventId"], dearer["eventId"]}) == 3


def test_overlapping_exports_give_the_same_events_and_another_shift_other_ones(tmp_path: Path) -> None:
    path = write_table(tmp_path / "one.csv", HEADER, [INSTALL, IN_APP])
    later = write_table(tmp_path / "two.csv", HEADER, [IN_APP, INSTALL])
    ids = {event["eventId"] for event in events_of(AppsFlyer(), path)}
    assert {event["eventId"] for event in events_of(AppsFlyer(), later)} == ids
    moved = events_of(AppsFlyer(), path, shift_days=3)
    assert not {event["eventId"] for event in moved} & ids
    assert [event["timestamp"] for event in moved][:2] == ["2026-11-13T09:00:00Z", "2026-11-13T09:05:00Z"]


def test_times_are_of_the_zone_that_is_said_and_a_zone_in_the_file_goes_first(tmp_path: Path) -> None:
    def stamps(time: str, zone: str) -> str:
        (event,) = events(tmp_path, IN_APP | {"Event Time": time}, zone=zone_of(zone))
        return str(event["timestamp"])

    assert stamps("2026-11-11 10:00:00", "Asia/Manila") == "2026-11-11T02:00:00Z"
    assert stamps("2026-11-11 10:00:00.5+0530", "Asia/Manila") == "2026-11-11T04:30:00.500000Z"
    assert stamps("2026-11-11 10:00:00 UTC", "Asia/Manila") == "2026-11-11T10:00:00Z"
    assert stamps("2026-10-25 02:30:00", "Europe/Berlin") == "2026-10-25T00:30:00Z"  # twice there: the first


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
