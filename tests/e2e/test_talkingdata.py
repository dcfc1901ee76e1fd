"""A hundred thousand real ad clicks through the front door: exactly the clicks, installs and delays of the file."""

from __future__ import annotations

import csv
import datetime as dt
import time
from pathlib import Path

import polars as pl
import pytest

from tests.e2e.stack import Stack

CLICKS, INSTALLS = 100_000, 227
TENANT = "talkingdata"


@pytest.fixture(scope="module")
def file(shared_data: Path) -> Path:
    return shared_data / "talkingdata" / "train_sample.csv"


@pytest.fixture(scope="module")
def imported(stack: Stack, file: Path) -> dict[str, object]:
    tenant = stack.command("tenant", "request", TENANT, "--wait", "120")
    assert tenant["state"] == "active"
    started = time.monotonic()
    report: dict[str, object] = {}
    stack.runs_of(lambda: report.update(import_file(stack, file)))
    print(f"imported in {report['seconds']} s, through the graph in {time.monotonic() - started:.0f} s")
    return report


def import_file(stack: Stack, file: Path, *options: str) -> dict[str, object]:
    return stack.command(
        "import", str(file), "--format", "talkingdata", "--tenant", TENANT, *options or ("--shift", "auto")
    )


def test_without_a_shift_the_command_says_why_the_door_would_quarantine(stack: Stack, file: Path) -> None:
    refused = stack.command(
        "import", str(file), "--format", "talkingdata", "--tenant", "t1", "--shift", "none", ok=False
    )
    assert "--shift auto" in refused["error"]


def test_every_click_and_install_of_the_file_is_clean_once(stack: Stack, imported: dict[str, object]) -> None:
    assert imported["sent"] == imported["accepted"] == CLICKS + INSTALLS
    counts = dict(stack.clean(TENANT).group_by("event_type").len().iter_rows())
    assert counts == {"click": CLICKS, "install": INSTALLS}


def test_every_install_is_credited_to_the_channel_its_row_names_with_the_rows_own_delay(
    stack: Stack, imported: dict[str, object], file: Path
) -> None:
    installs = stack.mart("installs", TENANT)
    assert installs.height == INSTALLS
    assert set(installs["match_type"]) == {"referrer"}
    credited = sorted(zip(installs["source"], installs["app_id"], installs["ctit_ms"], strict=True))
    with file.open() as rows:
        named = [row for row in csv.DictReader(rows) if row["attributed_time"]]
    assert credited == sorted(
        (f"channel_{row['channel']}", f"td.app.{row['app']}", ctit_ms(row)) for row in named
    )


def ctit_ms(row: dict[str, str]) -> int:
    clicked, installed = (dt.datetime.fromisoformat(row[name]) for name in ("click_time", "attributed_time"))
    return int((installed - clicked).total_seconds() * 1000)


def test_importing_again_changes_nothing(stack: Stack, imported: dict[str, object], file: Path) -> None:
    clean, installs, raw = stack.clean(TENANT), stack.mart("installs", TENANT), raw_ids(stack)
    stack.runs_of(lambda: import_file(stack, file))
    order = ["event_date", "event_id"]
    assert stack.clean(TENANT).sort(order).equals(clean.sort(order))
    assert stack.mart("installs", TENANT).equals(installs)
    assert raw_ids(stack).len() == raw.len() + CLICKS + INSTALLS
    assert raw_ids(stack).n_unique() == CLICKS + INSTALLS


def raw_ids(stack: Stack) -> pl.Series:
    return stack.lake.read("raw.events", f"tenant_id = '{TENANT}'", ["event_id"])["event_id"]
