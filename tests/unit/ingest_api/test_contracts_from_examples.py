"""Contract tests made from the schemas' own examples, for every version and type: the door's code as it is."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import pytest

from ingest_api.contracts import EventLimits, Judge
from ingest_api.event_log.protocol import BodyFormat
from ingest_api.timestamps import parse_timestamp
from schemas import event_schemas, event_versions

if TYPE_CHECKING:
    from ingest_api.reasons import Finding

TENANT = "t123"
LIMITS = EventLimits(64 * 1024, 32, dt.timedelta(days=30), dt.timedelta(seconds=300))
JUDGES = {version: Judge(LIMITS, version) for version in event_versions()}
OTHER_TYPES = {"string": [1, True, None, [], {}], "integer": ["1", 1.5, True, None, [], {}]}
OTHER_TYPES["object"] = ["x", 1, True, None, []]


class Case(NamedTuple):
    """One field of one example."""

    version: str
    event_type: str
    example: dict[str, Any]
    path: tuple[str, ...]
    schema: dict[str, Any]
    is_required: bool

    @property
    def pointer(self) -> str:
        return "/" + "/".join(self.path)

    def event(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """A copy of the example, and the object in it that holds the field."""
        event = copy.deepcopy(self.example)
        parent = event
        for name in self.path[:-1]:
            parent = parent[name]
        return event, parent


def fields_of(
    example: dict[str, Any], schema: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any], bool]]:
    for name, member in schema.get("properties", {}).items():
        if name in example:
            yield (*path, name), member, name in schema.get("required", ())
            if isinstance(example[name], dict):
                yield from fields_of(example[name], member, (*path, name))


EXAMPLES = [
    pytest.param(version, name, example, id=f"{version}-{name}-{number}")
    for version in event_versions()
    for name, schema in event_schemas(version).items()
    for number, example in enumerate(schema["examples"])
]
CASES = [
    pytest.param(case, id=f"{version}-{name}-{number}{case.pointer}")
    for version in event_versions()
    for name, schema in event_schemas(version).items()
    for number, example in enumerate(schema["examples"])
    for case in (Case(version, name, example, *field) for field in fields_of(example, schema))
]


def finding(version: str, event: dict[str, Any], example: dict[str, Any]) -> Finding | None:
    now = parse_timestamp(example["timestamp"]) + dt.timedelta(hours=1)
    raw = orjson.dumps(event)
    judge = JUDGES[version]
    found = judge.finding(TENANT, event, raw, now)
    assert judge.all_accepted(TENANT, [event], raw, BodyFormat.JSON, now) == (found is None)
    return found


@pytest.mark.parametrize(("version", "name", "example"), EXAMPLES)
def test_every_example_is_accepted_as_it_is(version: str, name: str, example: dict[str, Any]) -> None:
    assert finding(version, example, example) is None
    assert example.get("eventType", "install") == name


@pytest.mark.parametrize("case", [case for case in CASES if case.values[0].is_required])
def test_an_example_without_a_required_field_is_refused_at_that_field(case: Case) -> None:
    event, parent = case.event()
    del parent[case.path[-1]]
    found = finding(case.version, event, case.example)
    if case.path == ("eventType",):  # what carries no type is an install, and misses or has too much for one
        assert found is not None
        return
    assert (found.code, found.pointer) == ("missing_field", case.pointer) if found else False


@pytest.mark.parametrize("case", [case for case in CASES if not case.values[0].is_required])
def test_an_example_without_an_optional_field_is_accepted(case: Case) -> None:
    event, parent = case.event()
    del parent[case.path[-1]]
    assert finding(case.version, event, case.example) is None


@pytest.mark.parametrize("case", CASES)
def test_a_field_of_another_type_is_refused_at_that_field(case: Case) -> None:
    kind = case.schema.get("type", "string")  # enum and const are of strings
    for value in OTHER_TYPES[kind]:
        event, parent = case.event()
        parent[case.path[-1]] = value
        found = finding(case.version, event, case.example)
        assert found is not None, value
        assert found.pointer == case.pointer, value
        expected = {"tenantId": "tenant_mismatch", "eventType": "unknown_type"}
        plain = "wrong_type" if "type" in case.schema else "not_allowed"
        assert found.code == expected.get(case.path[-1], plain), value


@pytest.mark.parametrize("case", CASES)
def test_a_field_is_refused_beyond_each_of_its_bounds_and_taken_at_them(case: Case) -> None:
    schema = case.schema
    outside = {
        "minLength": ("too_short", lambda bound: ("a" * (bound - 1), "a" * bound)),
        "maxLength": ("too_long", lambda bound: ("🙂" * (bound + 1), "🙂" * bound)),
        "minimum": ("out_of_range", lambda bound: (bound - 1, bound)),
        "maximum": ("out_of_range", lambda bound: (bound + 1, bound)),
    }
    for keyword in outside.keys() & schema.keys() if "format" not in schema else ():
        code, values = outside[keyword]
        beyond, at = values(schema[keyword])
        event, parent = case.event()
        parent[case.path[-1]] = at
        assert finding(case.version, event, case.example) is None, keyword
        parent[case.path[-1]] = beyond
        found = finding(case.version, event, case.example)
        assert (found.code, found.pointer) == (code, case.pointer) if found else False, keyword


@pytest.mark.parametrize(("version", "name", "example"), EXAMPLES)
def test_an_example_with_a_field_of_no_contract_is_told_to_use_metadata(
    version: str, name: str, example: dict[str, Any]
) -> None:
    found = finding(version, {**example, "colour": "red"}, example)
    assert found is not None
    assert (found.code, found.pointer) == ("unknown_field", "/colour")
    assert "metadata" in found.reason


def test_a_field_of_the_other_version_is_named_in_either_direction() -> None:
    for version, other, name in (("v1", "v2", "revenue"), ("v2", "v1", "revenueMicros")):
        [example] = event_schemas(other)["purchase"]["examples"]
        found = finding(version, example, example)
        assert found is not None
        known = {"/revenue", "/revenueMicros", "/currency"}
        assert found.pointer in known, name
