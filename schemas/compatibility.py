"""What changed between two sets of event schemas, and whom it breaks. Pure: documents in, changes out.

Within a version a schema may only gain optional fields and take more of what it took (wider bounds, more enum
members). Everything else breaks somebody: senders, whose events would be refused from then on, or readers (lander,
vault, lake), which rely on what a field is. What this module cannot compare (two patterns) counts as breaking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

Schema = Mapping[str, Any]
Breaks = Literal["", "senders", "readers"]

# Keywords that say nothing of what is valid.
TEXT_KEYWORDS = frozenset({"$id", "title", "description", "examples", "$comment", "default", "deprecated"})
_LOWER_BOUNDS = frozenset({"minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties"})
_UPPER_BOUNDS = frozenset({"maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties"})
_COMPARED_APART = frozenset({"properties", "required", "enum", "x-lake"})


class Change(NamedTuple):
    """One difference of one event type; `pointer` is where in an event, `breaks` is empty when it breaks nobody."""

    event_type: str
    kind: Literal["added", "removed", "changed"]
    pointer: str
    breaks: Breaks
    reason: str

    @property
    def is_breaking(self) -> bool:
        """Whether it needs a new version."""
        return self.breaks != ""


def version_changes(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[Change]:
    """Differences between two versions, given as event type → schema; text that validates nothing is left out."""
    changes: list[Change] = []
    for event_type in sorted(old.keys() | new.keys()):
        if event_type not in new:
            changes.append(Change(event_type, "removed", "", "senders", "the type is gone"))
        elif event_type not in old:
            changes.append(Change(event_type, "added", "", "", "a new type"))
        else:
            changes += [
                Change(event_type, *change) for change in _changes(old[event_type], new[event_type], "")
            ]
    return changes


_Found = tuple[Literal["added", "removed", "changed"], str, Breaks, str]


def _changes(old: Schema, new: Schema, pointer: str) -> Iterator[_Found]:
    for keyword in sorted((old.keys() | new.keys()) - TEXT_KEYWORDS - _COMPARED_APART):
        if old.get(keyword) != new.get(keyword):
            yield ("changed", pointer, *_keyword_verdict(keyword, old.get(keyword), new.get(keyword)))
    yield from _enum_changes(old.get("enum"), new.get("enum"), pointer)
    yield from _column_changes(old.get("x-lake"), new.get("x-lake"), pointer)
    yield from _field_changes(old, new, pointer)


def _keyword_verdict(keyword: str, old: Any, new: Any) -> tuple[Breaks, str]:
    """Whom a changed keyword breaks, and why."""
    if keyword in _LOWER_BOUNDS | _UPPER_BOUNDS:
        is_wider = new is None or (old is not None and (new < old if keyword in _LOWER_BOUNDS else new > old))
        text = f"{keyword} was {_shown(old)} and is {_shown(new)}"
        return ("", f"{text}: takes more") if is_wider else ("senders", f"{text}: takes less")
    if keyword == "x-pii":
        return "readers", f"x-pii was {_shown(old)} and is {_shown(new)}: pseudonyms would no longer match"
    breaks: Breaks = "readers" if new is None else "senders"
    return breaks, f"{keyword} was {_shown(old)} and is {_shown(new)}"


def _enum_changes(old: Any, new: Any, pointer: str) -> Iterator[_Found]:
    if old is None or new is None:
        if old != new:
            breaks: Breaks = "readers" if new is None else "senders"
            yield "changed", pointer, breaks, f"enum was {_shown(old)} and is {_shown(new)}"
        return
    for member in old:
        if not _holds(new, member):
            yield "changed", pointer, "senders", f"{_shown(member)} is no longer allowed"
    for member in new:
        if not _holds(old, member):
            yield "changed", pointer, "", f"{_shown(member)} is allowed too"


def _column_changes(old: str | None, new: str | None, pointer: str) -> Iterator[_Found]:
    if old is None and new is not None:
        yield "changed", pointer, "", f"x-lake is {new}: the column fills from now on"
    elif old != new:
        yield (
            "changed",
            pointer,
            "readers",
            f"x-lake was {_shown(old)} and is {_shown(new)}: the column loses it",
        )


def _field_changes(old: Schema, new: Schema, pointer: str) -> Iterator[_Found]:
    old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
    old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(old_fields.keys() | new_fields.keys() | old_required | new_required):
        at = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        if name in old_fields and name not in new_fields:
            yield "removed", at, "senders", "the field is gone"
        elif name in new_fields and name not in old_fields:
            yield ("added", at, *_new_field_verdict(old, is_required=name in new_required))
        else:
            if name in new_required - old_required:
                yield "changed", at, "senders", "was optional and is required"
            if name in old_required - new_required:
                yield "changed", at, "readers", "was required and is optional"
            yield from _changes(old_fields.get(name, {}), new_fields.get(name, {}), at)


def _new_field_verdict(old: Schema, *, is_required: bool) -> tuple[Breaks, str]:
    if is_required:
        return "senders", "a new field that is required"
    if old.get("additionalProperties") is not False:
        return "senders", "a new field where any was allowed: events may hold something else under that name"
    return "", "a new optional field"


def _holds(members: list[Any], member: Any) -> bool:
    """Whether an enum has this very member: 1 and true are different in JSON, 1 and 1.0 are not."""
    is_bool = isinstance(member, bool)
    return any(other == member and isinstance(other, bool) == is_bool for other in members)


def _shown(value: Any) -> str:
    return "absent" if value is None else repr(value)
