"""Fraud marts over worlds of one day: what is rejected is counted, what is odd is flagged, what is usual is not."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from benchmarks.mart_lab import MartLab

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAY = dt.date(2026, 5, 8)
NOON = dt.datetime(2026, 5, 8, 12, tzinfo=dt.UTC)
TENANT = "t_fraud"
MODELS = ("fraud_daily", "install_flags")
HOUR_S = 3_600


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    with MartLab(tmp_path_factory.mktemp("fraud") / "lab") as opened:
        yield opened


def human_ctits_s(count: int, seed: int = 1) -> list[float]:
    """Seconds from click to install as the field reports them: 75 % within an hour, 94 % within a day."""
    rng = np.random.default_rng(seed)
    fast, slow = np.exp(rng.normal(5.7, 1.0, count)), np.exp(rng.normal(10.5, 1.1, count))
    return np.clip(np.where(rng.random(count) < 0.75, fast, slow), 11, 6 * 24 * HOUR_S).tolist()


def installs_after_clicks(source: str, ctits_s: Sequence[float], **install: Any) -> list[dict[str, Any]]:
    """A device each: a click of the source, then the install."""
    rows: list[dict[str, Any]] = []
    for number, ctit_s in enumerate(ctits_s):
        common = {"tenant_id": TENANT, "app_id": "app", "device_id": f"{source}-{number}"}
        at = NOON + dt.timedelta(seconds=number % 3_600)
        click = {"event_type": "click", "source": source, "event_time": at - dt.timedelta(seconds=ctit_s)}
        rows.append(common | click | {"event_id": f"{source}-click-{number}"})
        rows.append(
            common
            | {"event_type": "install", "event_time": at, "event_id": f"{source}-install-{number}"}
            | install
        )
    return rows


def built(lab: MartLab, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    lab.clear()
    lab.put(pl.DataFrame(rows, infer_schema_length=None))
    lab.build(TENANT, DAY, DAY, models=MODELS)
    return lab.mart("fraud_daily").to_dicts(), lab.mart("install_flags").to_dicts()


def test_usual_publishers_are_not_accused(lab: MartLab) -> None:
    rows = [
        row
        for seed, name in enumerate(("net_a", "net_b", "net_c"))
        for row in installs_after_clicks(name, human_ctits_s(200, seed))
    ]
    assert built(lab, rows) == ([], [])


def test_clicks_spread_over_the_whole_window_flag_their_publisher(lab: MartLab) -> None:
    week_s = np.random.default_rng(5).uniform(60, 7 * 24 * HOUR_S, 60).tolist()
    rows = installs_after_clicks("honest", human_ctits_s(300)) + installs_after_clicks("flooder", week_s)
    [flagged], flags = built(lab, rows)
    assert (flagged["source"], flagged["rule"], flagged["verdict"]) == (
        "flooder",
        "click_flooding",
        "flagged",
    )
    assert flagged["installs"] == 60
    assert (flagged["share"] < 0.1, flagged["norm"] > 0.6) == (True, True)
    assert "within an hour" in flagged["reason"]
    assert flags == []


def test_a_publisher_of_few_installs_is_not_judged(lab: MartLab) -> None:
    week_s = np.random.default_rng(5).uniform(60, 7 * 24 * HOUR_S, 19).tolist()
    assert built(lab, installs_after_clicks("flooder", week_s)) == ([], [])


def test_a_slow_publisher_whose_people_still_come_soon_is_not_flooding(lab: MartLab) -> None:
    rng = np.random.default_rng(6)
    slow_s = (
        np.exp(rng.normal(9.5, 1.0, 100)).clip(60, 6 * 24 * HOUR_S).tolist()
    )  # long videos: hours, not days
    rows = installs_after_clicks("honest", human_ctits_s(300)) + installs_after_clicks("slow", slow_s)
    assert built(lab, rows) == ([], [])


def test_clicks_seconds_before_the_install_are_rejected_and_their_publisher_flagged(lab: MartLab) -> None:
    rows = installs_after_clicks("honest", human_ctits_s(300))
    rows += installs_after_clicks("injector", [3.0] * 30 + human_ctits_s(30))
    fraud, _ = built(lab, rows)
    by_rule = {(row["source"], row["rule"]): row for row in fraud}
    assert set(by_rule) == {("injector", "injection"), ("injector", "short_ctit_share")}
    rejected = by_rule["injector", "injection"]
    assert (rejected["verdict"], rejected["touches"], rejected["installs"]) == ("rejected", 30, 30)
    assert rejected["share"] == pytest.approx(0.5)
    assert by_rule["injector", "short_ctit_share"]["share"] == pytest.approx(0.5)
    organic = lab.query("select countIf(match_type = 'organic') as n from marts.installs")["n"].item()
    assert organic == 30


def test_many_devices_of_one_model_behind_one_network_are_a_farm(lab: MartLab) -> None:
    rack = {"ip_pseudonym": "p_rack", "device_model": "SM-A105", "os_version": "14", "platform": "android"}
    home = {"ip_pseudonym": "p_home", "device_model": "SM-A105", "os_version": "14", "platform": "android"}
    rows = installs_after_clicks("farmer", human_ctits_s(10), **rack)
    rows += installs_after_clicks("honest", human_ctits_s(9), **home)
    fraud, flags = built(lab, rows)
    assert {(row["flag"], row["source"]) for row in flags} == {("device_farm", "farmer")}
    assert len(flags) == 10
    assert "10 devices of model SM-A105" in flags[0]["reason"]
    assert [(row["rule"], row["installs"], row["share"]) for row in fraud] == [("device_farm", 10, 1.0)]


def test_a_crowded_network_is_measured_by_what_is_usual_for_the_app(lab: MartLab) -> None:
    carrier = [
        row
        for network in range(5)
        for row in installs_after_clicks(f"net_{network}", human_ctits_s(50), ip_pseudonym=f"p_{network}")
    ]
    assert built(lab, carrier)[1] == []  # everybody comes from networks like these
    homes = [
        row
        for network in range(60)
        for row in installs_after_clicks(
            f"home_{network}", human_ctits_s(1), ip_pseudonym=f"p_home_{network}"
        )
    ]
    flags = built(lab, homes + installs_after_clicks("crowd", human_ctits_s(50), ip_pseudonym="p_crowd"))[1]
    assert {row["source"] for row in flags} == {"crowd"}
    assert len(flags) == 50


@pytest.mark.parametrize(
    ("device", "flag"),
    [
        ({"device_model": "sdk_gphone64_x86_64", "platform": "android"}, "device_farm"),
        ({"device_model": "iPhone15,2", "platform": "android", "os_version": "14"}, "impossible_device"),
        ({"device_model": "Pixel 8", "platform": "ios", "os_version": "17.4"}, "impossible_device"),
        ({"device_model": "iPad13,4", "platform": "ios", "os_version": "Android 14"}, "impossible_device"),
        ({"device_model": "iPhone15,2", "platform": "ios", "os_version": "17.4"}, None),
        ({"device_model": "Pixel 8", "platform": "android", "os_version": "14"}, None),
        ({"device_model": "Nokia G22", "platform": "android", "os_version": "14"}, None),
        ({"platform": "ios"}, None),
        ({}, None),
    ],
)
def test_a_device_that_cannot_be_is_flagged(lab: MartLab, device: dict[str, str], flag: str | None) -> None:
    _, flags = built(lab, installs_after_clicks("net", [600.0], **device))
    assert [row["flag"] for row in flags] == ([flag] if flag else [])
    installs = lab.mart("installs").to_dicts()
    assert [row["source"] for row in installs] == ["net"]  # a flag takes nobody's credit


def test_what_happened_in_another_app_or_on_another_day_accuses_nobody(lab: MartLab) -> None:
    week_s = np.random.default_rng(5).uniform(60, 7 * 24 * HOUR_S, 60).tolist()
    rows = installs_after_clicks("net", week_s)
    for number, row in enumerate(rows):
        row["app_id"] = f"app_{number // 2 % 4}"  # fifteen installs in each of four apps
    assert built(lab, rows) == ([], [])
