"""Rules as people name and write them: `click_window=3d`, what differs, what is allowed, what is wrong with them.

Pure texts and values; asking and printing is the command's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from pydantic import ValidationError

from resources.errors import ContractError
from resources.rules.ranges import AllowedRange, duration_text, parse_duration
from resources.rules.rule_set import ChannelRules, RuleSet, Windows

Document: TypeAlias = dict[str, Any]
_SUFFIX_MS = "_ms"
_CHANNEL = re.compile(r"^channels\[(?P<source>[^\]/]+)(?:/(?P<medium>[^\]/]+))?\](?:\.(?P<window>\w+))?$")
_INHERIT = "inherit"


class RuleDifference(NamedTuple):
    """One rule that two rule sets have differently, in words."""

    rule: str
    before: str
    after: str


def short_names() -> dict[str, str]:
    """Field by the name that people use: `click_window` → `click_window_ms`."""
    return {name.removesuffix(_SUFFIX_MS): name for name in RuleSet.model_fields}


def described(rules: RuleSet) -> dict[str, str]:
    """Every rule in words, by short name; channels one by one (`channels[source/medium].click_window`)."""
    texts = {
        short: _text(name, getattr(rules, name))
        for short, name in short_names().items()
        if name != "channels"
    }
    for channel in rules.channels:
        label = f"channels[{channel.source}{f'/{channel.medium}' if channel.medium else ''}]"
        given = {name: getattr(channel, name) for name in Windows._fields}
        texts |= {
            f"{label}.{name.removesuffix(_SUFFIX_MS)}": _INHERIT if value is None else duration_text(value)
            for name, value in given.items()
        }
    return texts


def differences(before: RuleSet, after: RuleSet) -> list[RuleDifference]:
    """What changes from one rule set to the other."""
    old, new = described(before), described(after)
    names = [*new, *(name for name in old if name not in new)]
    return [
        RuleDifference(name, old.get(name, "–"), new.get(name, "–"))
        for name in names
        if old.get(name) != new.get(name)
    ]


def allowed(short_name: str) -> str:
    """What a rule may be, in words; empty where its description says it all."""
    field = RuleSet.model_fields[short_names()[short_name]]
    found = [str(each) for each in field.metadata if isinstance(each, AllowedRange)]
    return found[0] if found else ""


def edited(rules: RuleSet, edits: Iterable[str]) -> RuleSet:
    """The rules with `name=value` edits applied, in order.

    Names are fields, `_ms` left out (`click_window`) or not, and `channels[source]` or `channels[source/medium]`
    with `.click_window` and the like. Values are durations (`3d`), `off`, numbers, comma-separated lists (an
    empty one empties), for channels also `inherit`; `channels[source]=` takes the entry out.

    Raises:
        ContractError: an edit names no rule, or its value is not allowed.
    """
    document = rules.model_dump(mode="json")
    for edit in edits:
        name, sign, value = edit.partition("=")
        if not sign:
            raise ContractError(f"--set takes name=value, such as click_window=3d, not {edit!r}")
        _apply(document, name.strip(), value.strip())
    return checked(document)


def checked(document: Any) -> RuleSet:
    """A document as a rule set.

    Raises:
        ContractError: it is none; the message says each place and what is allowed there.
    """
    try:
        return RuleSet.model_validate(document)
    except ValidationError as error:
        wrong = [f"{_place(one['loc'])} {one['msg']}".strip() for one in error.errors(include_url=False)]
        raise ContractError(f"these rules are not allowed: {'; '.join(wrong)}") from error


def _apply(document: Document, name: str, value: str) -> None:
    if match := _CHANNEL.match(name):
        _apply_to_channel(document["channels"], value, **match.groupdict())
        return
    field = short_names().get(name.removesuffix(_SUFFIX_MS))
    if field is None or field == "channels":
        known = ", ".join([*(short for short in short_names() if short != "channels"), "channels[source].…"])
        raise ContractError(f"there is no rule {name!r}; the rules are {known}")
    document[field] = _value(name, field, value, document[field])


def _apply_to_channel(
    channels: list[Document], value: str, *, source: str, medium: str | None, window: str | None
) -> None:
    entry = next((one for one in channels if (one["source"], one["medium"]) == (source, medium)), None)
    label = f"channels[{source}{f'/{medium}' if medium else ''}]"
    if window is None:
        if value or entry is None:
            raise ContractError(
                f"{label}= takes an entry out, and there is none" if not value else _NO_WINDOW
            )
        channels.remove(entry)
        return
    field = window if window in ChannelRules.model_fields else f"{window}{_SUFFIX_MS}"
    if field not in Windows._fields:
        raise ContractError(f"{label} has no {window!r}; {_NO_WINDOW}")
    if entry is None:
        entry = {"source": source, "medium": medium}
        channels.append(entry)
    entry[field] = None if value == _INHERIT else _value(window, field, value, 0)


_NO_WINDOW = (
    "a channel has click_window, probabilistic_click_window, view_window and probabilistic_view_window: "
    "channels[source].click_window=3d"
)


def _value(name: str, field: str, text: str, current: Any) -> Any:
    """The JSON value of a text, by what the field holds now; a bare number needs a name that says its unit."""
    try:
        if field.endswith(_SUFFIX_MS) and not (name == field and text.isdecimal()):
            return parse_duration(text)
        if isinstance(current, list):
            return [part.strip() for part in text.split(",") if part.strip()]
        if isinstance(current, str):
            return text
    except ValueError as error:
        raise ContractError(f"{name}={text}: {error}") from error
    if not text.isdecimal():
        raise ContractError(f"{name}={text}: it takes a whole number")
    return int(text)


def _text(field: str, value: Any) -> str:
    if field.endswith(_SUFFIX_MS):
        return duration_text(value)
    return (", ".join(value) or "none") if isinstance(value, tuple) else str(value)


def _place(location: tuple[int | str, ...]) -> str:
    return "".join(f"/{part}" for part in location)
