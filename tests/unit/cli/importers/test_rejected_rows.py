"""The file of rejected rows: form, completeness after a crash, and importing it again once corrected."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import orjson
import pytest

from cli.importers.appsflyer import AppsFlyer
from cli.importers.ndjson import Ndjson
from cli.importers.rejected import CsvLayout, NdjsonLayout, RejectedFile, RejectedLayout, require_own_file
from resources.errors import ContractError
from tests.support.imports import SHA256, TENANT, records_of

CSV = CsvLayout(b"a;b", ";", 2)


def entries(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file, delimiter=";"))


def test_rows_stand_there_as_they_were_with_number_and_reason(tmp_path: Path) -> None:
    with RejectedFile(tmp_path / "r.csv", CSV) as rejected:
        rejected.add(3, '"x\ny";Köln'.encode(), 'no; "good"')
        rejected.add(5, b"short", "1 fields, not 2")
        rejected.add(6, b"1;2;3", "3 fields, not 2")
        rejected.add(7, b'1;"open', "2 fields")
        assert rejected.sync() == (tmp_path / "r.csv").stat().st_size
    assert entries(tmp_path / "r.csv") == [
        ["a", "b", "rejected_row", "rejected_reason"],
        ["x\ny", "Köln", "3", 'no; "good"'],
        ["short", "", "5", "1 fields, not 2"],
        ["1", "2", "3", "6", "3 fields, not 2"],
        ["1", "open", "7", "2 fields"],
    ]
    assert b'"x\ny";K\xc3\xb6ln;3;' in (tmp_path / "r.csv").read_bytes()
    assert stat.S_IMODE((tmp_path / "r.csv").stat().st_mode) == 0o600  # it holds what the source holds


@pytest.mark.parametrize(("layout", "source"), [(CSV, b'"x\ny";z'), (NdjsonLayout(), b'{"a":[1]}')])
def test_a_resumed_file_keeps_what_lies_before_its_starting_row(
    tmp_path: Path, layout: RejectedLayout, source: bytes
) -> None:
    path = tmp_path / "r"
    with RejectedFile(path, layout) as rejected:
        for row in (1, 4, 2):  # a refusal of the door comes after rows that were rejected ahead of it
            rejected.add(row, source, "because")
        durable_bytes = rejected.sync()
        rejected.add(5, source, "lost in the crash")
    with path.open("ab") as file:
        file.write(source[:3])  # a torn write
    with RejectedFile(path, layout) as resumed:
        resumed.resume(durable_bytes, after_row=3)
        assert resumed.rows == 2
        resumed.add(4, source, "again")
    with RejectedFile(tmp_path / "once", layout) as once:
        for row, reason in ((1, "because"), (2, "because"), (4, "again")):
            once.add(row, source, reason)
    assert path.read_bytes() == (tmp_path / "once").read_bytes()


def test_nothing_rejected_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    with RejectedFile(path, CSV) as rejected:
        rejected.start_over()
        assert rejected.sync() == 0
    assert not path.exists()
    with RejectedFile(path, CSV) as rejected:
        rejected.add(9, b"1;2", "late")
        durable_bytes = rejected.sync()
    with RejectedFile(path, CSV) as resumed:
        resumed.resume(durable_bytes, after_row=3)
    assert not path.exists()


def test_a_file_that_somebody_corrected_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    require_own_file(path, 0)
    path.write_bytes(b"corrected")
    require_own_file(path, 9)
    with pytest.raises(ContractError, match="move it away, or give another --rejected"):
        require_own_file(path, 8)


def test_ndjson_rows_get_two_members_and_other_lines_are_kept_as_text() -> None:
    layout = NdjsonLayout()
    assert layout.line(2, b'{"a":1.50}', "why") == b'{"a":1.50,"rejectedRow":2,"rejectedReason":"why"}'
    assert layout.line(2, b" {} ", "why") == b'{"rejectedRow":2,"rejectedReason":"why"}'
    for source, text in ((b"[1]", "[1]"), (b"\xff", "\\xff")):
        line = orjson.loads(layout.line(2, source, "why"))
        assert line == {"rejectedRow": 2, "rejectedReason": "why", "rejectedLine": text}


def test_a_corrected_file_is_imported_as_it_is_and_rejected_again_in_the_same_form(tmp_path: Path) -> None:
    header = "Event Name,Event Time,AppsFlyer ID"
    path = tmp_path / "raw.rejected.csv"
    path.write_text(
        f"{header},rejected_row,rejected_reason\n"
        "open,2026-11-11 10:00:00,17-1,4,it was no time\nopen,never,17-1,5,no time\n"
    )
    good, bad = records_of(AppsFlyer(), path)
    (tmp_path / "raw.csv").write_text(f"{header}\nopen,2026-11-11 10:00:00,17-1\n")
    assert good.lines == records_of(AppsFlyer(), tmp_path / "raw.csv")[0].lines
    assert bad.source == b"open,never,17-1"
    layout = AppsFlyer().rejected_layout(path)
    assert layout.first_line.decode() == f"{header},rejected_row,rejected_reason"

    lines = tmp_path / "a.rejected.ndjson"
    lines.write_bytes(b'{"eventId":"e","tenantId":"t123","rejectedRow":4,"rejectedReason":"no"}\n')
    (record,) = Ndjson().records(lines, TENANT, SHA256, shift_days=0, after_row=0)
    assert record.lines == (b'{"eventId":"e","tenantId":"t123"}',)
