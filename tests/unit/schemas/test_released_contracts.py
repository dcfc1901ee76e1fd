"""The contracts in the tree: released, sound, and not narrower than what was released."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from ingest_api.contracts import FREE_FORM_FIELDS
from resources.errors import ContractError
from schemas import EVENTS_ROOT, event_schema_paths, event_schemas, event_versions
from schemas.compatibility import version_changes
from schemas.lint import schema_problems, version_problems
from schemas.released import RELEASED_ROOT, digest, is_released, released_schemas, write_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VERSIONS = event_versions()


@pytest.mark.parametrize("version", VERSIONS)
def test_no_schema_breaks_what_was_released(version: str) -> None:
    changes = version_changes(released_schemas(version), event_schemas(version))
    assert [change for change in changes if change.is_breaking] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_schema_keeps_the_rules_of_the_house(version: str) -> None:
    assert version_problems(version) == []


def test_versions_are_in_order_and_an_unknown_one_is_named_with_the_way_out() -> None:
    assert VERSIONS[:2] == ("v1", "v2")
    with pytest.raises(ContractError, match=r"no contract version v0: choose one of v1, v2"):
        event_schemas("v0")


def test_a_version_holds_only_what_it_changes_and_takes_the_rest_from_the_one_before() -> None:
    assert [path.name for path in (EVENTS_ROOT / "v2").iterdir()] == ["purchase.json"]
    assert event_schemas("v2").keys() == event_schemas("v1").keys()
    for name, path in event_schema_paths("v2").items():
        before = event_schemas("v1")[name]
        assert (event_schemas("v2")[name] == before) == (path.parent.name == "v1")
        for field in ("eventId", "tenantId", "timestamp"):
            assert event_schemas("v2")[name]["properties"][field] == before["properties"][field]


@pytest.mark.parametrize("version", VERSIONS)
def test_open_objects_are_those_whose_nesting_and_numbers_the_door_bounds(version: str) -> None:
    for schema in event_schemas(version).values():
        for name, member in schema["properties"].items():
            is_open = member.get("type") == "object" and member.get("additionalProperties") is not False
            assert not is_open or name in FREE_FORM_FIELDS


def changed(edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    schema = copy.deepcopy(event_schemas("v1")["purchase"])
    edit(schema)
    return schema


@pytest.mark.parametrize(
    ("edit", "pointer", "reason"),
    [
        (lambda s: s.update(type="objekt"), "", "no valid JSON Schema"),
        (
            lambda s: s.update({"$schema": "http://json-schema.org/draft-07/schema#"}),
            "",
            "no valid JSON Schema",
        ),
        (lambda s: s.pop("additionalProperties"), "", "additionalProperties must be False"),
        (lambda s: s.update({"$id": "urn:x"}), "", r"\$id must be"),
        (lambda s: s["properties"]["eventType"].update(const="buy"), "/eventType", "const must be"),
        (lambda s: s["required"].remove("timestamp"), "/timestamp", "every type requires it"),
        (lambda s: s["properties"]["currency"].update(maxlength=3), "/currency", "not a keyword"),
        (lambda s: s["properties"]["userId"].update(format="email"), "/userId", "format email"),
        (lambda s: s["properties"]["userId"].update({"x-pii": "email"}), "/userId", "x-pii email"),
        (lambda s: s["properties"]["metadata"].update({"x-pii": "ip"}), "/metadata", "for strings"),
        (lambda s: s["properties"]["userId"].update({"x-lake": "user"}), "/userId", "no column"),
        (lambda s: s["properties"]["userId"].update({"x-lake": "duration_ms"}), "/userId", "do not fit"),
        (lambda s: s["properties"]["revenueMicros"].pop("minimum"), "/revenueMicros", "within 64 bits"),
        (
            lambda s: s["properties"]["metadata"].update(properties={"k": {"type": "string"}}),
            "/metadata",
            "additionalProperties false",
        ),
        (lambda s: s.update(examples=[]), "", "no examples"),
        (lambda s: s["examples"][0].update(currency="usd"), "/currency", "example 0 does not validate"),
        (lambda s: s["examples"][0].pop("currency"), "/currency", "no example shows it"),
    ],
)
def test_every_rule_is_checked_and_points_at_the_field(
    edit: Callable[[dict[str, Any]], object], pointer: str, reason: str
) -> None:
    found = schema_problems("purchase", "v1", changed(edit))
    assert any(problem.pointer == pointer and re.search(reason, problem.reason) for problem in found), found


def test_a_release_round_trips_and_an_edited_one_is_refused(tmp_path: Path) -> None:
    for version in VERSIONS:
        assert is_released(version)
        assert write_release(version, tmp_path).read_text()
        assert released_schemas(version, tmp_path) == event_schemas(version)
    assert json.loads((tmp_path / "v2.json").read_text()).keys() == {"purchase"}
    lock = json.loads((tmp_path / "v1.json").read_text())
    lock["click"]["schema"]["required"].append("ip")
    (tmp_path / "v1.json").write_text(json.dumps(lock))
    with pytest.raises(ContractError, match="released v1 click was edited"):
        released_schemas("v2", tmp_path)


def test_a_version_without_a_release_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="unmogrowp schema release v1"):
        released_schemas("v1", tmp_path)


def test_the_digest_is_of_the_content_and_not_of_its_layout() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
    assert {path.stem for path in RELEASED_ROOT.glob("*.json")} == set(VERSIONS)
