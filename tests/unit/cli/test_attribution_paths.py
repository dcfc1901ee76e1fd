"""`unmogrowp attribution paths`: what a person and a pipeline read, and what a wrong file is told."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from resources.settings import APPLICATION_ROOT

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "path;conversions;value;nulls\n"
TOY = HEADER + "A > B > C;10;100.5;20\nA;5;;30\nB > C;3;;10\nA > C;4;40.000001;6\nC;2;;8\n"


def run(text: str | bytes, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["attribution", "paths", "-", *arguments], input=text)


def test_json_holds_credit_value_and_removal_effects() -> None:
    document = json.loads(run(TOY, "--model", "markov", "--json").stdout)
    [model] = document["models"]
    assert (document["conversions"], document["value_micros"]) == (24, 140_500_001)
    assert [row["channel"] for row in model["channels"]] == ["A", "B", "C"]
    assert [row["removal_effect"] for row in model["channels"]] == pytest.approx(
        [0.7109788359788359, 0.5403439153439153, 0.7916666666666667], rel=0, abs=1e-12
    )
    assert sum(row["value_micros"] for row in model["channels"]) == 140_500_001
    assert document["notes"] == []


def test_the_order_reaches_the_chain() -> None:
    one, two = (
        json.loads(run(TOY, "--model", "markov", "--order", order, "--json").stdout) for order in ("1", "2")
    )
    assert one["models"] != two["models"]


def test_all_models_stand_side_by_side_and_say_what_they_lack() -> None:
    result = run(TOY)
    assert result.exit_code == 0, result.output
    for name in ("first", "last", "linear", "position", "markov", "shapley", "removal effect"):
        assert name in result.stdout
    assert "time_decay is not available" in result.stdout
    document = json.loads(run(TOY, "--model", "all", "--json").stdout)
    assert len(document["models"]) == 9
    assert len(document["notes"]) == 2


def test_several_models_are_named_one_by_one_in_any_case() -> None:
    document = json.loads(run(TOY, "--model", "W", "--model", "last", "--model", "last", "--json").stdout)
    assert [model["model"] for model in document["models"]] == ["w", "last"]


def test_ages_and_milestones_come_in_columns_of_any_order() -> None:
    text = "nulls;conversions;path;ages_days;registration;first_purchase\n0;1;A > B > C > D;21 > 14 > 7 > 0;2;4\n"
    document = json.loads(run(text, "--json").stdout)
    assert document["notes"] == []
    given = {
        model["model"]: [row["conversions"] for row in model["channels"]] for model in document["models"]
    }
    assert given["w"] == pytest.approx([0.3, 0.3, 0.1, 0.3])
    assert given["time_decay"] == pytest.approx([1 / 15, 2 / 15, 4 / 15, 8 / 15])


def test_a_file_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    file = tmp_path / "paths.csv"
    file.write_bytes('\ufeffPath;Conversions\r\n"Bücher; used > B";2\r\n\r\n'.encode())
    result = CliRunner().invoke(app, ["attribution", "paths", str(file), "--model", "first", "--json"])
    [first, _] = json.loads(result.stdout)["models"][0]["channels"]
    assert (first["channel"], first["conversions"]) == ("B", 0)
    assert json.loads(result.stdout)["models"][0]["channels"][1]["channel"] == "Bücher; used"


def test_a_header_alone_is_no_credit_and_no_failure() -> None:
    result = run(HEADER)
    assert result.exit_code == 0
    assert "The file has no paths" in result.stdout
    assert all(model["channels"] == [] for model in json.loads(run(HEADER, "--json").stdout)["models"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "stdin is empty: its first line is to be path;conversions;value;nulls"),
        ("path;value\n", "line 1: column conversions is missing"),
        ("path;conversions;revenue\n", "line 1, column 3: 'revenue' is there twice or unknown"),
        ("path;conversions;path\n", "line 1, column 3: 'path' is there twice or unknown"),
        (HEADER + "A;1;2\n", "line 2: 3 fields where the header has 4"),
        (HEADER + "A > ;1;;\n", "line 2, column 1 (path): touch 2 has no name"),
        (HEADER + "A;1;;\n\n;1;;\n", "line 4, column 1 (path): touch 1 has no name"),
        (HEADER + "A;many;;\n", "line 2, column 2 (conversions): 'many' is no count"),
        (HEADER + "A;;;\n", "line 2, column 2 (conversions): '' is no count"),
        (HEADER + "A;1;1,50;\n", "line 2, column 3 (value): '1,50' is no amount"),
        (HEADER + "A;1;0.0000001;\n", "at most six places"),
        (HEADER + "A;1;;-1\n", "line 2, column 4 (nulls): '-1' is no count"),
        (HEADER + "A;0;5;\n", "line 2: a path has value and no conversion"),
        (HEADER + '"A;1;;\n', "line 2: unexpected end of data"),
        (HEADER.encode() + b"\xff;1;;\n", "after line 1: it is not UTF-8 text"),
        ("path;conversions;ages_days\nA > B;1;1 > x\n", "column 3 (ages_days): '1 > x' holds an age that is none"),
        ("path;conversions;registration\nA > B;1;3\n", "line 2: a milestone is none of the path's touches 1 to 2"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_its_line_and_column(text: str | bytes, sentence: str) -> None:
    result = run(text)
    assert result.exit_code == 1
    assert sentence in str(result.exception), result.output


def test_what_cannot_be_done_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    assert "time_decay needs each touch's age" in str(run(TOY, "--model", "time_decay").exception)
    unknown = run(TOY, "--model", "markow")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "no model is called markow: there are first, last" in unknown.stderr
    missing = CliRunner().invoke(app, ["attribution", "paths", str(tmp_path / "none.csv")])
    assert missing.exit_code == 1
    assert "No such file" in missing.stderr
    command = [sys.executable, "-m", "cli.main", "attribution", "paths", "-", "--json"]
    done = subprocess.run(
        command, input=b"path;conversions\n;1\n", capture_output=True, check=False, cwd=APPLICATION_ROOT
    )
    assert (done.returncode, done.stdout) == (1, b"")
    sentence = " ".join(done.stderr.decode().split())
    assert sentence.startswith("error: stdin, line 2, column 1 (path): touch 1 has no name")


def test_long_paths_are_cut_and_it_says_so() -> None:
    document = json.loads(run("path;conversions\n" + " > ".join("A" * 501) + ";1\n", "--json").stdout)
    assert document["notes"][0] == "1 paths were longer than 500 touches: the most recent 500 count."


def test_memory_grows_with_touches_and_not_with_the_text(tmp_path: Path) -> None:
    """200,000 rows with names of 100 bytes are 83 MB of text and take less than that."""
    file = tmp_path / "long.csv"
    name = "x" * 100
    with file.open("w") as out:
        out.write("path;conversions\n")
        for number in range(200_000):
            touches = (number % 7, number // 7 % 97, number % 89, number // 11 % 83)
            out.write(" > ".join(f"{name}{touch}" for touch in touches) + ";1\n")
    code = (
        "import resource, sys\nfrom resources.credit.path_file import lines_of, read_paths\n"
        "import resources.credit.models\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"read = read_paths(lines_of(open({str(file)!r}, 'rb')), 'long.csv')\n"
        "assert read.paths.total_conversions == 200_000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=APPLICATION_ROOT)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < file.stat().st_size
