"""The demo's own checks: it reads events from files, and its report notices numbers that do not agree."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from cli.demo_report import disagreements
from cli.demo_steps import events_of_file
from resources.errors import ContractError
from simulator.accuracy import accuracy

GOOD: dict[str, Any] = {
    "tenant_id": "t1",
    "sent": 10,
    "clean": 7,
    "duplicates": 2,
    "quarantined": 1,
    "export_rows": {"installs": 3, "campaign_daily": 2, "kpi_daily": 1, "ltv_scores": 3},
    "tenant_rows": {"installs": 3, "campaign_daily": 2, "kpi_daily": 1, "ltv_scores": 3},
    "mart_totals": {"installs": 3, "revenueMicros": 5},
    "dashboard": {"totals": {"installs": 3, "revenueMicros": 5}},
}


def test_equal_numbers_are_no_disagreement() -> None:
    assert disagreements(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("sent",), 11, "sent 11"),
        (("tenant_rows", "installs"), 2, "rows of installs"),
        (("tenant_rows", "ltv_scores"), 0, "rows of ltv_scores"),
        (("dashboard", "totals", "revenueMicros"), 4, "revenueMicros"),
    ],
)
def test_every_number_that_differs_is_named(path: tuple[str, ...], value: int, said: str) -> None:
    tenant = copy.deepcopy(GOOD)
    place = tenant
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (sentence,) = disagreements(tenant)
    assert sentence.startswith("t1: ")
    assert said in sentence


@pytest.mark.parametrize("packed", [False, True])
def test_events_of_a_file_are_grouped_by_tenant_in_order(tmp_path: Path, packed: bool) -> None:
    text = b'{"tenantId":"b","n":1}\n{"tenantId":"a","n":2}\n{"tenantId":"b","n":3}\n'
    path = tmp_path / ("events.ndjson.zst" if packed else "events.ndjson")
    path.write_bytes(zstandard.ZstdCompressor().compress(text) if packed else text)
    assert events_of_file(path).events == {
        "b": [b'{"tenantId":"b","n":1}', b'{"tenantId":"b","n":3}'],
        "a": [b'{"tenantId":"a","n":2}'],
    }


@pytest.mark.parametrize("line", [b"nothing", b"[]", b'{"n":1}'])
def test_a_line_without_a_tenant_is_refused_with_its_number(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b'{"tenantId":"a"}\n' + line)
    with pytest.raises(ContractError, match="line 2"):
        events_of_file(path)


def test_accuracy_counts_only_the_very_touch_that_caused_the_install() -> None:
    truth = pl.DataFrame(
        {
            "install_id": ["1", "2", "3", "4"],
            "true_match": ["click", "click", "organic", "organic"],
            "true_touch_id": ["c1", "c2", None, None],
        }
    )
    decided = pl.DataFrame({"install_id": ["1", "2", "3", "4"], "touch_id": ["c1", "c9", "", "c7"]})
    result = accuracy(truth, decided)
    assert result["deterministic_precision"] == pytest.approx(1 / 3)
    assert result["deterministic_recall"] == 0.5
    assert result["organic_recall"] == 0.5


def test_an_install_that_was_never_decided_is_nobodys_success() -> None:
    truth = pl.DataFrame({"install_id": ["1"], "true_match": ["organic"], "true_touch_id": [None]})
    decided = pl.DataFrame({"install_id": ["9"], "touch_id": [""]})
    assert accuracy(truth, decided)["organic_recall"] == 0.0
