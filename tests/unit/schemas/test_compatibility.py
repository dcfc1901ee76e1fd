"""What may change in a contract: every narrowing is found and has a witness, what is called compatible is."""

from __future__ import annotations

import copy
import json
import random
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from benchmarks.mutations import Mutator
from schemas import event_schemas, event_versions
from schemas.compatibility import Change, version_changes

if TYPE_CHECKING:
    from collections.abc import Callable

Schema = dict[str, Any]
TEXT_FIELD = {"type": "string", "maxLength": 10}


def changes(old: Schema, new: Schema) -> list[Change]:
    return version_changes({"install": old}, {"install": new})


def install() -> Schema:
    return copy.deepcopy(event_schemas("v1")["install"])


def edited(edit: Callable[[Schema], object]) -> Schema:
    schema = install()
    edit(schema)
    return schema


def is_valid(schema: Schema, event: Any) -> bool:
    return bool(jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid(event))


def test_a_schema_is_compatible_with_itself_and_texts_do_not_count() -> None:
    assert changes(install(), install()) == []
    assert changes(install(), edited(lambda s: s.update(description="other", examples=[]))) == []


BREAKS_SENDERS: dict[str, tuple[str, Callable[[Schema], object]]] = {
    "a field is gone": ("/source", lambda s: s["properties"].pop("source")),
    "a nested field is gone": (
        "/referrer/clickTime",
        lambda s: s["properties"]["referrer"]["properties"].pop("clickTime"),
    ),
    "a new field is required": (
        "/extra",
        lambda s: (s["properties"].update(extra=TEXT_FIELD), s["required"].append("extra")),
    ),
    "an optional field is required": ("/source", lambda s: s["required"].append("source")),
    "a nested field is required": (
        "/referrer/clickTime",
        lambda s: s["properties"]["referrer"]["required"].append("clickTime"),
    ),
    "the type is another": ("/medium", lambda s: s["properties"]["medium"].update(type="integer")),
    "texts are shorter": ("/medium", lambda s: s["properties"]["medium"].update(maxLength=127)),
    "texts are longer": ("/medium", lambda s: s["properties"]["medium"].update(minLength=2)),
    "nested texts are shorter": (
        "/referrer/clickId",
        lambda s: s["properties"]["referrer"]["properties"]["clickId"].update(maxLength=255),
    ),
    "a pattern is another": (
        "/country",
        lambda s: s["properties"]["country"].update(pattern="^[A-M]{2}$"),
    ),
    "a pattern is new": ("/medium", lambda s: s["properties"]["medium"].update(pattern="^x")),
    "a format is new": ("/medium", lambda s: s["properties"]["medium"].update(format="uuid")),
    "a format is another": ("/eventId", lambda s: s["properties"]["eventId"].update(format="date-time")),
    "an enum loses a member": ("/platform", lambda s: s["properties"]["platform"]["enum"].remove("ios")),
    "an enum is new": ("/medium", lambda s: s["properties"]["medium"].update(enum=["cpc"])),
    "the constant is another": ("/eventType", lambda s: s["properties"]["eventType"].update(const="open")),
    "an address family is gone": ("/ip", lambda s: s["properties"]["ip"]["anyOf"].pop(0)),
    "a free object gets a field": (
        "/metadata/k",
        lambda s: s["properties"]["metadata"].update(properties={"k": TEXT_FIELD}),
    ),
    "a free object is closed": (
        "/metadata",
        lambda s: s["properties"]["metadata"].update(additionalProperties=False),
    ),
}
BREAKS_READERS: dict[str, tuple[str, Callable[[Schema], object]]] = {
    "a required field is optional": ("/campaign", lambda s: s["required"].remove("campaign")),
    "unknown fields are taken": ("", lambda s: s.pop("additionalProperties")),
    "the kind of a personal field is another": (
        "/userId",
        lambda s: s["properties"]["userId"].update({"x-pii": "device_id"}),
    ),
    "a personal field is none": ("/userId", lambda s: s["properties"]["userId"].pop("x-pii")),
    "a field is personal": ("/medium", lambda s: s["properties"]["medium"].update({"x-pii": "user_id"})),
    "a column is another": ("/medium", lambda s: s["properties"]["medium"].update({"x-lake": "source"})),
    "a column is gone": ("/medium", lambda s: s["properties"]["medium"].pop("x-lake")),
    "an enum is gone": ("/platform", lambda s: s["properties"]["platform"].pop("enum")),
    "a format is gone": ("/timestamp", lambda s: s["properties"]["timestamp"].pop("format")),
    "the constant is gone": ("/eventType", lambda s: s["properties"]["eventType"].pop("const")),
}
COMPATIBLE: dict[str, tuple[str, Callable[[Schema], object]]] = {
    "a new optional field": ("/extra", lambda s: s["properties"].update(extra=TEXT_FIELD)),
    "a new nested optional field": (
        "/referrer/extra",
        lambda s: s["properties"]["referrer"]["properties"].update(extra=TEXT_FIELD),
    ),
    "longer texts": ("/medium", lambda s: s["properties"]["medium"].update(maxLength=129)),
    "any length": ("/medium", lambda s: s["properties"]["medium"].pop("maxLength")),
    "a new member": ("/platform", lambda s: s["properties"]["platform"]["enum"].append("tv")),
    "a column for a field": ("/extra", lambda s: s["properties"].update(extra={"x-lake": "medium"})),
}


@pytest.mark.parametrize("name", BREAKS_SENDERS)
def test_what_takes_less_breaks_senders_and_some_released_event_shows_it(name: str) -> None:
    pointer, edit = BREAKS_SENDERS[name]
    new = edited(edit)
    assert ("senders", pointer) in {(change.breaks, change.pointer) for change in changes(install(), new)}
    mutator = Mutator(random.Random(3), "v1")  # noqa: S311 - repeatable, not a secret
    assert any(not is_valid(new, json.loads(mutator.valid("install"))) for _ in range(400)), "no witness"


@pytest.mark.parametrize("name", BREAKS_READERS)
def test_what_changes_the_meaning_of_a_field_breaks_readers(name: str) -> None:
    pointer, edit = BREAKS_READERS[name]
    assert ("readers", pointer) in {
        (change.breaks, change.pointer) for change in changes(install(), edited(edit))
    }


@pytest.mark.parametrize("name", COMPATIBLE)
def test_what_only_takes_more_breaks_nobody(name: str) -> None:
    pointer, edit = COMPATIBLE[name]
    [change] = changes(install(), edited(edit))
    assert (change.pointer, change.breaks) == (pointer, "")


def test_bounds_of_numbers_compare_by_their_direction() -> None:
    old = {"properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}}
    for bounds, breaks in (
        ({"minimum": -1}, ""),
        ({"minimum": 1}, "senders"),
        ({"maximum": 10}, ""),
        ({"maximum": 8}, "senders"),
        ({"exclusiveMaximum": 10}, "senders"),  # new, so it may take less
    ):
        new = {"properties": {"n": {**old["properties"]["n"], **bounds}}}
        assert [change.breaks for change in changes(old, new)] == [breaks], bounds


def test_true_and_one_are_different_members_of_an_enum() -> None:
    assert [change.breaks for change in changes({"enum": [1]}, {"enum": [True]})] == ["senders", ""]


def test_types_come_and_go_as_a_whole() -> None:
    [gone] = version_changes({"install": install()}, {})
    [new] = version_changes({}, {"install": install()})
    assert (gone.kind, gone.breaks, new.kind, new.breaks) == ("removed", "senders", "added", "")


def test_a_field_name_is_escaped_in_its_pointer() -> None:
    [change] = changes({"properties": {"a/b~c": {}}}, {"properties": {}})
    assert change.pointer == "/a~1b~0c"


def test_v2_changes_the_purchase_and_nothing_else() -> None:
    found = version_changes(event_schemas("v1"), event_schemas("v2"))
    assert {change.event_type for change in found} == {"purchase"}
    assert {change.pointer for change in found if change.is_breaking} == {
        "/revenue",
        "/revenueMicros",
        "/currency",
    }


def random_edit(rng: random.Random, node: Schema) -> None:
    """Change one thing in a schema, whatever comes of it."""
    fields = node.get("properties", {})
    if fields and rng.random() < 0.8:
        name = rng.choice(sorted(fields))
        kind = rng.randrange(6)
        if kind == 0:
            fields[f"extra{rng.randrange(9)}"] = rng.choice((TEXT_FIELD, {"type": "integer"}, {}))
        elif kind == 1 and rng.random() < 0.3:
            del fields[name]
        elif kind == 2 and rng.random() < 0.3:
            node["required"] = sorted({*node.get("required", ()), name} - {rng.choice(sorted(fields))})
        else:
            random_edit(rng, fields[name])
        return
    keyword = rng.choice(sorted({*node, "maxLength", "minLength", "enum", "additionalProperties", "x-lake"}))
    value = node.get(keyword)
    if isinstance(value, bool) or value is None:
        node[keyword] = rng.choice((True, False)) if keyword == "additionalProperties" else value
        if node[keyword] is None:
            node[keyword] = {"maxLength": 64, "minLength": 1, "enum": ["ios", "v"], "x-lake": "medium"}[
                keyword
            ]
    elif isinstance(value, int):
        node[keyword] = value + rng.choice((-3, -1, 1, 3))
    elif keyword == "enum":
        node[keyword] = rng.choice((value[1:] or ["z"], [*value, "new"], value[::-1]))
    elif rng.random() < 0.5:
        del node[keyword]


@given(
    st.randoms(),
    st.randoms(use_true_random=True),
    st.sampled_from(["install", "purchase", "ad_spend"]),
    st.sampled_from(event_versions()),
)
@hypothesis_settings(max_examples=250, deadline=None)
def test_whatever_is_edited_compatible_means_that_every_released_event_stays_valid(
    rng: random.Random, event_rng: random.Random, event_type: str, version: str
) -> None:
    old = event_schemas(version)[event_type]
    new = copy.deepcopy(old)
    for _ in range(rng.randrange(1, 4)):
        random_edit(rng, new)
    if any(change.is_breaking for change in version_changes({event_type: old}, {event_type: new})):
        return
    if not jsonschema_rs.meta.is_valid(new):
        return
    mutator = Mutator(event_rng, version)
    for _ in range(15):
        event = json.loads(mutator.valid(event_type))
        assert is_valid(old, event)
        assert is_valid(new, event)
