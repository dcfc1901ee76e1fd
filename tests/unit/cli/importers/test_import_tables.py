"""Files as they come: marks, delimiters, quotes, packing, broken text; and importing them in constant memory."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from cli.importers.appsflyer import AppsFlyer
from cli.importers.batches import whole_rows
from cli.importers.packed import open_bytes
from cli.importers.tables import TableRow, likely_delimiter, open_table
from resources.errors import ContractError
from tests.support.imports import SHA256, TENANT


def rows(path: Path) -> list[TableRow]:
    with open_table(path) as table:
        return list(table.rows())


def written(tmp_path: Path, content: bytes, name: str = "a.csv") -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("a,b;c,d", ","), ("a;b;c,d", ";"), ("a\tb\tc", "\t"), ("a|b", "|"), ('"x;y;z",b', ","), ("alone", ",")],
)
def test_the_header_tells_the_delimiter(header: str, delimiter: str) -> None:
    assert likely_delimiter(header) == delimiter


def test_a_mark_windows_line_ends_and_quoted_new_lines_are_read_with_the_rows_own_text(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, '\ufeffa;b\r\n1;"two\r\nlines; and ""quotes"""\r\n\r\n3;4'.encode())
    with open_table(path) as table:
        assert table.header == ["a", "b"]
        first, second = table.rows()
    assert first.values == ["1", 'two\r\nlines; and "quotes"']
    assert first.source == b'1;"two\r\nlines; and ""quotes"""'
    assert (second.number, second.values, second.source) == (2, ["3", "4"], b"3;4")


def test_rows_that_are_no_table_rows_say_so_and_the_next_is_fine(tmp_path: Path) -> None:
    short, long, latin, fine = rows(written(tmp_path, b"a,b\n1\n1,2,3\nK\xf6ln,2\nx,y\n"))
    assert (short.problem, long.problem) == ("1 fields, not 2", "3 fields, not 2")
    assert (latin.problem, latin.source) == ("the row is no UTF-8 text", b"K\xf6ln,2")
    assert (fine.problem, fine.values) == ("", ["x", "y"])


def test_a_quote_that_never_ends_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, b'a,b\n1,"open\n' + b"2,3\n" * 50_000)
    with pytest.raises(ContractError, match=r"row 1 cannot be read .*see that its quotes are closed"):
        rows(path)


def test_wide_text_and_empty_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="is UTF-16 text: save it as UTF-8"):
        rows(written(tmp_path, "a,b\n1,2\n".encode("utf-16")))
    with pytest.raises(ContractError, match="its first line does not end"):
        rows(written(tmp_path, b"[" + b"1," * 100_000))
    for content in (b"", b"\n", b"\xef\xbb\xbf"):
        with pytest.raises(ContractError, match="is empty: give a file with a header"):
            rows(written(tmp_path, content))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_files_are_read_whole_and_cut_ones_are_an_error(tmp_path: Path, suffix: str) -> None:
    plain = b"a,b\n" + b"".join(b"%d,%d\n" % (number, number * number) for number in range(50_000))
    half = len(plain) // 2
    pack = gzip.compress if suffix == ".gz" else zstandard.ZstdCompressor().compress
    packed = pack(plain[:half]) + pack(plain[half:])  # two members, as concatenated exports have
    with open_bytes(written(tmp_path, packed, f"a.csv{suffix}")) as file:
        assert file.read() == plain
    cut = written(tmp_path, packed[:-100], f"cut.csv{suffix}")
    with pytest.raises(ContractError, match=r"cut\.csv.* ends early or is damaged"):
        rows(cut)
    damaged = bytearray(packed)
    damaged[20:24] = b"\0\1\2\3"
    with pytest.raises(ContractError, match=r"bad\.csv.* (is damaged|is no table)"):
        rows(written(tmp_path, bytes(damaged), f"bad.csv{suffix}"))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    header = b"Event Name,Event Time,AppsFlyer ID,Event Value\n"
    row = b"level_up,2026-11-11 10:00:00,%d,\n"
    bad = b"level_up,never,%d,\n"

    def peak_bytes(count: int) -> int:
        lines = (row % number if number % 2 else bad % number for number in range(count))
        path = written(tmp_path, header + b"".join(lines))
        tracemalloc.start()
        importer = AppsFlyer()
        assert importer.survey(path, TENANT).rejected == count // 2
        records = importer.records(path, TENANT, SHA256, shift_days=0, after_row=0)
        sent = sum(len(batch.lines) for batch in whole_rows(records, rejected=lambda _: None, max_events=100))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sent == count // 2
        return peak

    small, large = peak_bytes(500), peak_bytes(5_000)
    assert large < small + 200_000  # ten times the rows; the file alone grows by as much
