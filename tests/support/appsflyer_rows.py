"""Rows of AppsFlyer exports for tests of the importer, and the events they become. No assertions here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.importers.appsflyer import AppsFlyer
from tests.support.imports import events_of, write_table

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
