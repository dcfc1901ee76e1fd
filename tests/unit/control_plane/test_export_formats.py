"""Every format of a pulled export holds the same rows, and comes in pieces."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from control_plane.export_formats import BATCH_ROWS, MEDIA_TYPES, streamed, wanted_format
from tests.support.control_plane_server import Server, problem

SCHEMA = pa.schema(
    [
        pa.field("tenant_id", pa.string(), nullable=False),
        pa.field("event_date", pa.date32(), nullable=False),
        pa.field("install_time", pa.timestamp("ms", tz="UTC")),
        pa.field("ctit_ms", pa.int64()),
        pa.field("roas", pa.float64()),
        pa.field("is_new", pa.bool_()),
        pa.field("campaign", pa.string()),
        pa.field("assists", pa.list_(pa.string())),
    ]
)
ODD_TEXTS = ["", "spring", 'quoted "text", and comma', "two\nlines", "=1+1", "весна 🎈", None]


def odd_table(rows: int, seed: int = 7) -> pa.Table:
    """Rows of every kind of value, nulls, and text that CSV and JSON must escape."""
    chance = random.Random(seed)  # noqa: S311 - test data
    moment = dt.datetime(2026, 11, 2, 1, 2, 3, 4_000, dt.UTC)
    return pa.Table.from_pylist(
        [
            {
                "tenant_id": "t1",
                "event_date": dt.date(2026, 11, 2),
                "install_time": moment + dt.timedelta(milliseconds=chance.randrange(10**8)),
                "ctit_ms": chance.choice([None, 0, -1, 2**53 + 1]),
                "roas": chance.choice([None, 0.1, 1e300, -0.0]),
                "is_new": chance.choice([None, True, False]),
                "campaign": chance.choice(ODD_TEXTS),
                "assists": chance.choice([None, [], ["a"], ['x"', "y,\n"]]),
            }
            for _ in range(rows)
        ],
        schema=SCHEMA,
    )


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, store_schema=False, row_group_size=5_000)
    return buffer.getvalue()


def from_csv(content: bytes) -> list[dict[str, Any]]:
    """Read by Python's own reader; what was null is told from empty text by pyarrow's, which sees the quotes."""
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    read: list[dict[str, Any]] = []
    for row in rows:
        read.append(
            {
                "tenant_id": row["tenant_id"],
                "event_date": dt.date.fromisoformat(row["event_date"]),
                "install_time": dt.datetime.fromisoformat(row["install_time"]),
                "ctit_ms": int(row["ctit_ms"]) if row["ctit_ms"] else None,
                "roas": float(row["roas"]) if row["roas"] else None,
                "is_new": {"": None, "true": True, "false": False}[row["is_new"]],
                "campaign": row["campaign"] or None,
                "assists": json.loads(row["assists"]) if row["assists"] else None,
            }
        )
    return read


def from_json(content: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(content)
    for row in rows:
        row["event_date"] = dt.date.fromisoformat(row["event_date"])
        row["install_time"] = dt.datetime.fromisoformat(row["install_time"])
    return rows


@pytest.mark.parametrize("rows", [0, 1, BATCH_ROWS + 1])
def test_the_rows_are_the_same_in_every_format(tmp_path: Path, rows: int) -> None:
    table = odd_table(rows)
    path = tmp_path / "part-0.parquet"
    path.write_bytes(parquet(table))
    expected = table.to_pylist()
    content = {kind: b"".join(streamed(path.open("rb"), kind)) for kind in MEDIA_TYPES}
    assert content["parquet"] == path.read_bytes()
    assert pa.ipc.open_stream(content["arrow"]).read_all().to_pylist() == expected
    assert from_json(content["json"]) == expected
    assert from_csv(content["csv"]) == [row | {"campaign": row["campaign"] or None} for row in expected]
    assert content["csv"].count(b',"",') == sum(row["campaign"] == "" for row in expected)  # not null


def test_a_large_file_comes_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "part-0.parquet"
    path.write_bytes(parquet(odd_table(4 * BATCH_ROWS)))
    for kind in ("arrow", "json", "csv"):
        sizes = [len(piece) for piece in streamed(path.open("rb"), kind)]  # type: ignore[arg-type]  # a Format
        assert len(sizes) > 4
        assert max(sizes) < sum(sizes) / 2


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "parquet"),
        ("*/*", "parquet"),
        ("text/html, application/json;q=0.9, */*;q=0.1", "json"),
        ("text/*", "csv"),
        ("application/vnd.apache.arrow.stream", "arrow"),
        ("application/*, application/vnd.apache.parquet;q=0", "arrow"),
        ("application/json;q=0", None),
        ("application/json;q=high", None),
        ("image/png", None),
    ],
)
def test_what_accept_likes_best_is_what_comes(accept: str, kind: str | None) -> None:
    assert wanted_format(accept) == kind


def test_a_tenant_pulls_its_export_in_the_format_it_asks_for(server: Server) -> None:
    key = server.tenant("formate")
    table = odd_table(10)
    server.export("formate", "installs", "2026-01-02", parquet(table))
    path = "/v1/exports/installs/2026-01-02"
    headers = {"Authorization": f"Bearer {key}", "X-Tenant-ID": "formate"}
    tags = set()
    for kind, media_type in MEDIA_TYPES.items():
        asked = server.anyone.get(path, params={"format": kind}, headers=headers)
        accepted = server.anyone.get(path, headers={**headers, "Accept": media_type})
        assert (asked.status_code, asked.content) == (200, accepted.content)
        assert asked.headers["content-type"].split(";")[0] == media_type
        assert asked.headers["x-export-rows"] == "1"  # as the manifest says
        tags.add(asked.headers["etag"])
    assert len(tags) == len(MEDIA_TYPES)
    assert (
        from_json(server.anyone.get(path, params={"format": "json"}, headers=headers).content)
        == table.to_pylist()
    )
    problem(server.anyone.get(path, headers={**headers, "Accept": "image/png"}), 406)
    problem(server.anyone.get(path, params={"format": "xml"}, headers=headers), 422)
