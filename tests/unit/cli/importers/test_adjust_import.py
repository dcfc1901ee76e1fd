"""Adjust's raw data as events: one golden row for each activity kind the vendor documents.

Sources: "Cloud storage uploads" (help.adjust.com/en/article/cloud-storage-uploads) for the form of the file and
its times; "Install callbacks", "Impression callbacks", "Ad spend callbacks" beside it for placeholders. Rows
are made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.importers.adjust import Adjust
from resources.errors import ContractError
from tests.support.imports import TENANT, events_of, golden, records_of, write_table

_HEADER_LINE = (
    "{app_id},{app_version},{activity_kind},{event_name},{event_token},{created_at},{installed_at},{click_time},"
    "{impression_time},{install_begin_time},{adid},{idfa||gps_adid},{network_name},{campaign_name},"
    "{adgroup_name},{creative_name},{tracker},{country},{ip_address},{user_agent},{revenue_float},{currency},"
    "{reporting_revenue},{reporting_currency},{is_organic},{impression_based},{match_type},{reftag},{referrer},"
    "{os_name},{os_version},{cost_type},{cost_amount},{cost_currency},[user_id],item_number"
)
HEADER = _HEADER_LINE.split(",")
GAID = "38400000-8cf0-41bd-823e-10b96e40000d"
CREATED, CLICKED, SHOWN = "1794300000", "1794299900", "1794299000"  # 2026-11-10 08:40:00, 08:38:20, 08:23:20
ROW = {
    "{app_id}": "com.example.game",
    "{created_at}": CREATED,
    "{adid}": "18546f6171f67e29d1cb983322ad1329",
    "{idfa||gps_adid}": GAID,
    "{network_name}": "Net",
    "{campaign_name}": "Spring",
    "{adgroup_name}": "Women",
    "{creative_name}": "Video",
    "{tracker}": "abc123",
    "{country}": "de",
    "{ip_address}": "203.0.113.7",
    "{user_agent}": "Dalvik/2.1.0",
    "{os_name}": "android",
    "{os_version}": "14",
    "[user_id]": "user-4711",
}
TOUCH = {"deviceId": GAID, "appId": "com.example.game", "platform": "android"}
COMMON = TOUCH | {
    "userId": "user-4711", "country": "DE", "osVersion": "14", "ip": "203.0.113.7", "userAgent": "Dalvik/2.1.0",
}  # fmt: skip
AD = {"campaign": "Spring", "adgroup": "Women", "creative": "Video"}
LEVELS = {
    "network_name": "Net", "campaign_name": "Spring", "adgroup_name": "Women", "creative_name": "Video",
}  # fmt: skip
FROM = {"importedFrom": "adjust", "importedRow": 1}


def events(tmp_path: Path, kind: str, **columns: str) -> list[dict[str, Any]]:
    row = ROW | {"{activity_kind}": kind} | {f"{{{name}}}": value for name, value in columns.items()}
    return events_of(Adjust(), write_table(tmp_path / "adjust.csv", HEADER, [row]))


def test_an_install_is_the_click_it_is_attributed_to_and_the_install(tmp_path: Path) -> None:
    click, install = events(
        tmp_path, "install", installed_at=CREATED, click_time=CLICKED, match_type="referrer"
    )
    assert golden(click) == TOUCH | AD | {
        "timestamp": "2026-11-10T08:38:20Z",
        "eventType": "click",
        "source": "Net",
        "clickId": f"adjust-{click['eventId']}",
        "metadata": {"tracker": "abc123", "match_type": "referrer", **FROM},
    }
    assert golden(install) == COMMON | AD | {
        "timestamp": "2026-11-10T08:40:00Z",
        "eventType": "install",
        "source": "ad_network",
        "clickId": click["clickId"],
        "metadata": {
            "click_time": CLICKED, "network_name": "Net", "tracker": "abc123", "match_type": "referrer", **FROM,
        },
    }  # fmt: skip


def test_the_stores_referrer_and_begin_time_make_the_referrer(tmp_path: Path) -> None:
    click, install = events(
        tmp_path, "install", click_time=CLICKED, install_begin_time="1794299950", referrer="a=b&click_id=N-7"
    )
    assert click["clickId"] == "N-7"
    assert install["referrer"] == {
        "clickId": "N-7",
        "clickTime": "2026-11-10T08:38:20Z",
        "installBeginTime": "2026-11-10T08:39:10Z",
    }


def test_an_organic_install_gives_no_touch_and_an_impressions_install_an_impression(tmp_path: Path) -> None:
    (organic,) = events(tmp_path, "install", is_organic="1", click_time=CLICKED, campaign_name="")
    assert (organic["source"], organic["campaign"]) == ("organic", "organic")
    (named_organic,) = events(tmp_path, "install", network_name="Organic", click_time=CLICKED)
    assert named_organic["source"] == "organic"
    shown, _ = events(tmp_path, "install", click_time=CLICKED, impression_time=SHOWN, impression_based="1")
    assert (shown["eventType"], shown["timestamp"]) == ("impression", "2026-11-10T08:23:20Z")
    viewed, _ = events(tmp_path, "install", impression_time=SHOWN)
    assert viewed["eventType"] == "impression"


@pytest.mark.parametrize(
    ("kind", "event_type"),
    [
        ("click", "click"),
        ("impression", "impression"),
        ("san_click", "click"),
        ("san_impression", "impression"),
    ],
)
def test_a_touch_of_its_own_keeps_all_it_says(tmp_path: Path, kind: str, event_type: str) -> None:
    (touch,) = events(tmp_path, kind)
    touch.pop("clickId", None)
    assert golden(touch) == COMMON | AD | {
        "timestamp": "2026-11-10T08:40:00Z",
        "eventType": event_type,
        "source": "Net",
        "metadata": {"tracker": "abc123", **FROM},
    }


def test_a_click_and_the_install_that_tells_of_it_are_one_click(tmp_path: Path) -> None:
    (own,) = events(tmp_path, "click", created_at=CLICKED)
    told, install = events(tmp_path, "install", click_time=CLICKED)
    assert own["eventId"] == told["eventId"]
    assert own["clickId"] == told["clickId"] == install["clickId"]


def test_a_click_of_no_known_device_is_known_by_its_reftag(tmp_path: Path) -> None:
    columns = {"adid": "", "idfa||gps_adid": "", "reftag": "cRk-1"}
    (click,) = events(tmp_path, "click", **columns)
    assert click["deviceId"].startswith("unknown-")
    assert click["clickId"] == "cRk-1"


def test_sessions_uninstalls_and_named_events_are_themselves(tmp_path: Path) -> None:
    for kind in ("session", "uninstall"):
        (event,) = events(tmp_path, kind)
        metadata = {**LEVELS, "tracker": "abc123", **FROM}
        assert golden(event) == COMMON | {
            "timestamp": "2026-11-10T08:40:00Z", "eventType": kind, "metadata": metadata,
        }  # fmt: skip
    (named,) = events(tmp_path, "event", event_name="Level 4", event_token="tok1")
    assert (named["eventType"], named["eventName"]) == ("event", "Level 4")
    assert named["metadata"]["event_token"] == "tok1"
    (free,) = events(tmp_path, "event", event_name="Level 4", revenue_float="0.00")
    assert (free["eventType"], free["metadata"]["revenue_float"]) == ("event", "0.00")
    (by_token,) = events(tmp_path, "event", event_token="tok1")
    assert by_token["eventName"] == "tok1"


@pytest.mark.parametrize("kind", ["reinstall", "rejected_install", "updated attribution", "att_update"])
def test_kinds_without_a_type_of_ours_are_events_of_their_name(tmp_path: Path, kind: str) -> None:
    (event,) = events(tmp_path, kind, click_time=CLICKED)
    assert (event["eventType"], event["eventName"]) == ("event", kind.replace(" ", "_"))


def test_a_reattribution_brings_its_touch(tmp_path: Path) -> None:
    click, event = events(tmp_path, "reattribution", click_time=CLICKED)
    assert (click["eventType"], event["eventName"]) == ("click", "reattribution")


@pytest.mark.parametrize(
    ("kind", "columns", "micros", "currency"),
    [
        ("event", {"revenue_float": "20.00", "currency": "eur"}, 20_000_000, "EUR"),
        ("ad_revenue", {"revenue_float": "1.2e-04", "currency": "USD"}, 120, "USD"),
        ("subscription", {"reporting_revenue": "4.99", "reporting_currency": "USD"}, 4_990_000, "USD"),
    ],
)
def test_revenue_is_a_purchase_to_the_micro(
    tmp_path: Path, kind: str, columns: dict[str, str], micros: int, currency: str
) -> None:
    (purchase,) = events(tmp_path, kind, **columns)
    assert (purchase["eventType"], purchase["revenueMicros"], purchase["currency"]) == (
        "purchase", micros, currency,
    )  # fmt: skip
    assert purchase["metadata"]["activity_kind"] == kind


def test_the_cost_of_an_engagement_is_ad_spend(tmp_path: Path) -> None:
    (spend,) = events(tmp_path, "cost_updated", cost_type="cpi", cost_amount="4.99", cost_currency="eur")
    assert golden(spend) == AD | {
        "timestamp": "2026-11-10T08:40:00Z",
        "eventType": "ad_spend",
        "appId": "com.example.game",
        "platform": "android",
        "osVersion": "14",
        "country": "DE",
        "source": "Net",
        "spendMicros": 4_990_000,
        "currency": "EUR",
        "metadata": {"tracker": "abc123", "cost_type": "cpi", **FROM},
    }


def test_events_of_one_second_with_other_parameters_are_two_and_equal_rows_are_one(tmp_path: Path) -> None:
    rows = [ROW | {"{activity_kind}": "event", "item_number": item} for item in ("004", "010", "004")]
    told = events_of(Adjust(), write_table(tmp_path / "adjust.csv", HEADER, rows))
    # the row's number is no part of what happened
    assert told[0]["eventId"] == told[2]["eventId"] != told[1]["eventId"]
    assert told[1]["metadata"]["item_number"] == "010"


def test_the_documented_example_definition_is_read_with_and_without_braces(tmp_path: Path) -> None:
    header = ["activity_kind", "created_at", "gps_adid", "installed_at", "tracker_name", "user_id", "My app"]
    row = [
        "install",
        "2016-04-04T23:16UTC",
        GAID,
        "2016-04-04T23:16UTC",
        "Network1%3A%3AChristmas::Deers",
        "11",
        "x",
    ]
    path = tmp_path / "plain.csv"
    path.write_text(",".join(header) + "\n" + ",".join(row) + "\n")
    (install,) = events_of(Adjust(), path)
    assert (install["timestamp"], install["campaign"]) == ("2016-04-04T23:16:00Z", "Christmas")
    assert (install["adgroup"], install["userId"], install["metadata"]["My app"]) == ("Deers", "11", "x")


def test_no_id_but_the_events_own_reaches_the_lake(tmp_path: Path) -> None:
    header = [*HEADER, "{idfa_md5_hex}", "{mac_sha1}", "{web_uuid}", "{idfv}"]
    row = ROW | {"{activity_kind}": "session"} | dict.fromkeys(header[-4:], "secret-of-a-person")
    path = write_table(tmp_path / "adjust.csv", header, [row])
    lines = b"".join(line for record in records_of(Adjust(), path) for line in record.lines)
    assert b"secret-of-a-person" not in lines
    left_out = {"adid": 1, "idfa_md5_hex": 1, "mac_sha1": 1, "web_uuid": 1, "idfv": 1}
    assert Adjust().survey(path, TENANT).left_out == left_out


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"activity_kind": ""}, "activity_kind is empty"),
        ({"created_at": ""}, "created_at is empty"),
        ({"created_at": "yesterday"}, "created_at is no time like"),
        ({"activity_kind": "gdpr_forget_device"}, "unmogrowp erase"),
        ({"activity_kind": "session", "adid": "", "idfa||gps_adid": ""}, "no device id is filled"),
        ({"activity_kind": "event", "revenue_float": "5"}, "an amount needs its currency"),
        ({"activity_kind": "cost_updated"}, "ad spend needs both"),
    ],
)
def test_a_row_that_cannot_be_an_event_says_why(tmp_path: Path, columns: dict[str, str], reason: str) -> None:
    row = ROW | {"{activity_kind}": "click"} | {f"{{{name}}}": value for name, value in columns.items()}
    (record,) = records_of(Adjust(), write_table(tmp_path / "adjust.csv", HEADER, [row]))
    assert record.lines == ()
    assert reason in record.reason


def test_a_file_without_the_needed_placeholders_is_refused_by_name(tmp_path: Path) -> None:
    path = write_table(tmp_path / "x.csv", ["{adid}"], [{"{adid}": "1"}])
    with pytest.raises(
        ContractError, match="lacks the columns activity_kind, created_at; add the placeholders"
    ):
        Adjust().survey(path, TENANT)
