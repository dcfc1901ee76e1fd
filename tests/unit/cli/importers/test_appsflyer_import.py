"""AppsFlyer's raw-data reports as events: one golden row for each kind of row the vendor documents.

Sources: "Raw data field dictionary" (support.appsflyer.com, article 208387843) for columns, touch types and
times; "In-App Events" (dev.appsflyer.com/hc/docs/inappevents) for revenue. Rows are made up.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.importers.values import zone_of
from tests.support.appsflyer_rows import AD, COMMON, IN_APP, INSTALL, TOUCH, events
from tests.support.imports import golden


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


def test_times_are_of_the_zone_that_is_said_and_a_zone_in_the_file_goes_first(tmp_path: Path) -> None:
    def stamps(time: str, zone: str) -> str:
        (event,) = events(tmp_path, IN_APP | {"Event Time": time}, zone=zone_of(zone))
        return str(event["timestamp"])

    assert stamps("2026-11-11 10:00:00", "Asia/Manila") == "2026-11-11T02:00:00Z"
    assert stamps("2026-11-11 10:00:00.5+0530", "Asia/Manila") == "2026-11-11T04:30:00.500000Z"
    assert stamps("2026-11-11 10:00:00 UTC", "Asia/Manila") == "2026-11-11T10:00:00Z"
    assert stamps("2026-10-25 02:30:00", "Europe/Berlin") == "2026-10-25T00:30:00Z"  # twice there: the first
