"""Counting right and wrong: each figure on a handful of installs that one can check by eye."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from simulator.accuracy import (
    JUDGED_INSTALLS,
    Decided,
    accuracy,
    confusion,
    flagged_publishers,
    full_accuracy,
    install_cases,
    plain_confusion,
)

DAY = dt.date(2026, 6, 1)
# install, true match, match kind, true touch, fraud | match type, touch type, touch, source
ROWS = (
    ("right", "click", "referrer", "t1", "", "referrer", "click", "t1", "net_a"),
    ("missed", "click", "device_id", "t2", "", "organic", "", "", "organic"),
    ("viewed", "view", "device_id", "t3", "", "device_id", "impression", "t3", "net_a"),
    ("guessed", "click", "probabilistic", "t4", "", "probabilistic", "click", "t4", "net_b"),
    ("mistaken", "organic", "", None, "", "probabilistic", "click", "t9", "net_b"),
    ("organic", "organic", "", None, "", "organic", "", "", "organic"),
    ("stolen", "organic", "", None, "click_flooding", "device_id", "click", "f1", "net_flood"),
    ("taken", "click", "referrer", "t5", "click_flooding", "device_id", "click", "f2", "net_flood"),
    ("saved", "organic", "", None, "injection", "organic", "", "", "organic"),
    ("racked", "click", "device_id", "t6", "device_farm", "device_id", "click", "t6", "net_farm"),
)


def truth_tables() -> dict[str, pl.DataFrame]:
    installs = [
        dict(
            zip(("install_id", "true_match", "match_kind", "true_touch_id", "fraud_kind"), row, strict=False)
        )
        for row in ROWS
    ]
    return {
        "installs": pl.DataFrame(installs).with_columns(
            is_reinstall=pl.lit(value=False), source=pl.lit(""), app_id=pl.lit("app")
        ),
        "conversions": pl.DataFrame(
            [("c1", "re_engagement", "t7"), ("c2", "re_attribution", "t8"), ("c3", "return", None)],
            schema=["conversion_id", "conversion_type", "true_touch_id"],
            orient="row",
        ),
        "touches": pl.DataFrame(
            [("f1", "click_flooding"), ("f2", "click_flooding"), ("i1", "injection"), ("i2", "injection")],
            schema=["touch_id", "fraud_kind"],
            orient="row",
        ),
        "publishers": pl.DataFrame(
            [("net_a", ""), ("net_b", ""), ("net_flood", "click_flooding"), ("net_farm", "device_farm")],
            schema=["source", "fraud_kind"],
            orient="row",
        ),
    }


def decided(*, with_fraud: bool = False, more: int = 0, **changes: Any) -> Decided:
    """What a platform decided; `more` installs of the flooder make its day worth judging."""
    names = ("match_type", "touch_type", "touch_id", "source")
    installs = [{"install_id": row[0], **dict(zip(names, row[5:], strict=True))} for row in ROWS]
    installs += [
        {
            "install_id": f"more{at}",
            "match_type": "device_id",
            "touch_type": "click",
            "touch_id": f"m{at}",
            "source": "net_flood",
        }
        for at in range(more)
    ]
    flags = pl.DataFrame({"install_id": ["racked"], "flag": ["device_farm"]})
    fraud_daily = pl.DataFrame(
        {
            "event_date": [DAY],
            "app_id": ["app"],
            "source": ["net_flood"],
            "rule": ["click_flooding"],
            "verdict": ["flagged"],
        }
    )
    marts: dict[str, Any] = {
        "installs": pl.DataFrame(installs).with_columns(event_date=pl.lit(DAY), app_id=pl.lit("app")),
        "touch_decisions": pl.DataFrame(
            [("i1", "injection"), ("i2", "won"), ("t1", "won")], schema=["touch_id", "verdict"], orient="row"
        ),
        "reengagements": pl.DataFrame(
            [("c1", "re_engagement", "t7"), ("c3", "re_engagement", "t0"), ("c4", "reinstall", "")],
            schema=["conversion_id", "conversion_type", "touch_id"],
            orient="row",
        ),
        **({"fraud_daily": fraud_daily, "install_flags": flags} if with_fraud else {}),
        **changes,
    }
    return Decided(**marts)


def test_without_fraud_marts_every_theft_is_an_error() -> None:
    figures = full_accuracy(truth_tables(), decided())
    assert figures["deterministic_precision"] == figures["gross_deterministic_precision"] == 3 / 5
    assert figures["deterministic_recall"] == 2 / 4  # farms are not people
    assert (figures["probabilistic_precision"], figures["probabilistic_recall"]) == (1 / 2, 1.0)
    assert figures["organic_recall"] == 2 / 4
    assert figures["injection_recall"] == 1 / 2
    assert (figures["return_precision"], figures["return_recall"]) == (1 / 2, 1 / 2)
    assert "flooding_recall" not in figures


def test_credit_of_a_flagged_flooder_is_disowned_and_organic_installs_are_given_back() -> None:
    figures = full_accuracy(truth_tables(), decided(with_fraud=True, more=JUDGED_INSTALLS))
    assert figures["flooding_recall"] == figures["flooding_day_recall"] == 1.0
    assert figures["deterministic_precision"] == 1.0
    assert figures["deterministic_recall"] == 2 / 3  # the stolen one is nobody's error
    assert figures["organic_recall"] == 3 / 4
    assert figures["gross_organic_recall"] == 2 / 4
    assert figures["fraud_false_positive_rate"] == 0.0


def test_an_honest_install_that_is_flagged_counts_against_recall_and_as_a_false_alarm() -> None:
    flags = pl.DataFrame({"install_id": ["right"], "flag": ["device_farm"]})
    figures = full_accuracy(truth_tables(), decided(with_fraud=True, install_flags=flags))
    assert figures["deterministic_recall"] == 1 / 4
    assert figures["honest_installs_accused"] == figures["fraud_false_positive_rate"] == pytest.approx(1 / 6)


def test_an_honest_touch_that_is_rejected_is_a_false_alarm() -> None:
    rejected = pl.DataFrame({"touch_id": ["t2"], "verdict": ["injection"]})
    figures = full_accuracy(truth_tables(), decided(touch_decisions=rejected))
    assert figures["fraud_false_positive_rate"] == pytest.approx(1 / 6)


def test_a_publisher_is_flagged_when_half_of_its_judged_days_are() -> None:
    days = [DAY + dt.timedelta(days=age) for age in range(3)]
    installs = pl.DataFrame(
        [
            (day, "app", source, "t")
            for day in days
            for source in ("net_x", "net_y")
            for _ in range(JUDGED_INSTALLS)
        ]
        + [(DAY, "app", "net_small", "t")],
        schema=["event_date", "app_id", "source", "touch_id"],
        orient="row",
    )
    fraud = pl.DataFrame(
        [(day, "app", "net_x", "click_flooding", "flagged") for day in days[:2]]
        + [
            (DAY, "app", "net_y", "click_flooding", "flagged"),
            (DAY, "app", "net_small", "click_flooding", "flagged"),
        ],
        schema=["event_date", "app_id", "source", "rule", "verdict"],
        orient="row",
    )
    found = flagged_publishers(fraud, installs).select("source", "days", "days_flagged", "flagged").rows()
    assert found == [("net_x", 3, 2, True), ("net_y", 3, 1, False)]


def test_the_confusion_table_says_what_was_taken_for_what() -> None:
    table = confusion(install_cases(truth_tables(), decided()))
    rows = {(true, given): count for true, given, _, count in table.rows()}
    assert rows["referrer", "referrer"] == 1
    assert rows["device_id", "organic!"] == 1
    assert rows["view by device_id", "view by device_id"] == 1
    assert rows["organic + click_flooding", "device_id!"] == 1
    assert sum(rows.values()) == len(ROWS)


def test_reinstalls_are_no_new_installs_and_taking_one_for_new_is_counted() -> None:
    truth = truth_tables()
    truth["installs"] = truth["installs"].with_columns(is_reinstall=pl.col("install_id") == "organic")
    figures = full_accuracy(truth, decided())
    assert figures["reinstall_recall"] == 0.0
    assert figures["organic_recall"] == 1 / 3


def test_the_plain_figures_take_reinstalls_out_too() -> None:
    truth = truth_tables()["installs"].with_columns(is_reinstall=pl.col("install_id") == "organic")
    figures = accuracy(truth, decided().installs)
    assert figures["installs"] == len(ROWS) - 1
    assert figures["organic_recall"] == 1 / 3


def test_the_plain_worlds_confusion_tells_right_from_another_touch_from_missing() -> None:
    truth = pl.DataFrame(
        [
            ("a", "click", "t1"),
            ("b", "click", "t2"),
            ("c", "view", "t3"),
            ("d", "organic", None),
            ("e", "organic", None),
        ],
        schema=["install_id", "true_match", "true_touch_id"],
        orient="row",
    )
    decided = pl.DataFrame(
        [
            ("a", "t1", "click", "device_id"),
            ("b", "t9", "click", "device_id"),
            ("c", "t3", "impression", "device_id"),
            ("d", "", "", "organic"),
        ],
        schema=["install_id", "touch_id", "touch_type", "match_type"],
        orient="row",
    )
    rows = plain_confusion(truth, decided).select("true", "decided", "installs").rows()
    assert rows == [
        ("click", "device_id", 1),
        ("click", "device_id!", 1),
        ("organic", "missing", 1),
        ("organic", "organic", 1),
        ("view", "view by device_id", 1),
    ]
