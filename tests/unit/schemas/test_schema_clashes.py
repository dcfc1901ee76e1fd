"""Fields of one version that the lake could not read together."""

from __future__ import annotations

import pytest

from schemas.lint import clashes


def test_one_column_filled_from_two_fields_of_a_type_is_a_clash() -> None:
    schema = {"properties": {"a": {"x-lake": "currency"}, "b": {"properties": {"c": {"x-lake": "currency"}}}}}
    [problem] = clashes({"purchase": schema})
    assert (problem.event_type, problem.pointer) == ("purchase", "/b/c")
    assert "from /a already" in problem.reason


def test_types_may_fill_a_column_from_different_fields() -> None:
    types = {
        "x": {"properties": {"a": {"x-lake": "currency"}}},
        "y": {"properties": {"b": {"x-lake": "currency"}}},
    }
    assert list(clashes(types)) == []


@pytest.mark.parametrize("value", [{"type": "string"}, {}])
def test_a_name_that_is_an_object_here_and_a_value_there_is_a_clash(value: dict[str, str]) -> None:
    types = {"x": {"properties": {"a": value}}, "y": {"properties": {"a": {"properties": {"b": {}}}}}}
    [problem] = clashes(types)
    assert (problem.event_type, problem.pointer) == ("y", "/a")
