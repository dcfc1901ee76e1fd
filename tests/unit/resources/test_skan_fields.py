"""Postbacks whose fields are wrong: each is refused by name, in words that repeat nothing of what was sent."""

from __future__ import annotations

from typing import Any

import pytest

from resources.errors import PostbackError, PostbackFieldError, UnsupportedPostbackError
from resources.skan.signature import SEPARATOR, verified
from schemas import event_schemas

FOUR, COARSE, THREE, LOSING, TWO_TWO, TWO_ONE = (
    example["postback"] for example in event_schemas("v1")["skan_postback"]["examples"]
)


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def refusal(document: dict[str, Any]) -> PostbackError:
    with pytest.raises(PostbackError) as caught:
        verified(document)
    return caught.value


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a fine value of seven bits": ({**FOUR, "conversion-value": 64}, "out_of_range", "conversion-value"),
    "a fine value below none": ({**FOUR, "conversion-value": -1}, "out_of_range", "conversion-value"),
    "a fine value as text": ({**FOUR, "conversion-value": "63"}, "wrong_type", "conversion-value"),
    "a fine value that is true": ({**FOUR, "conversion-value": True}, "wrong_type", "conversion-value"),
    "an unknown coarse value": (
        {**COARSE, "coarse-conversion-value": "none"},
        "not_allowed",
        "coarse-conversion-value",
    ),
    "both kinds of value": (
        {**FOUR, "coarse-conversion-value": "low"},
        "not_allowed",
        "coarse-conversion-value",
    ),
    "a domain beside an app": ({**FOUR, "source-app-id": 5}, "not_allowed", "source-domain"),
    "a domain that would pass for an app": ({**FOUR, "source-domain": "123"}, "bad_format", "source-domain"),
    "a fourth window": ({**FOUR, "postback-sequence-index": 3}, "out_of_range", "postback-sequence-index"),
    "a win claimed in 2.1, where none is signed": ({**TWO_ONE, "did-win": True}, "unknown_field", "did-win"),
    "a window claimed in 3.0": (
        {**THREE, "postback-sequence-index": 2},
        "unknown_field",
        "postback-sequence-index",
    ),
    "a source claimed in 3.0": ({**THREE, "source-identifier": "5239"}, "unknown_field", "source-identifier"),
    "a coarse value in 2.2": (
        {**TWO_TWO, "coarse-conversion-value": "high"},
        "unknown_field",
        "coarse-conversion-value",
    ),
    "a campaign in 4.0": ({**FOUR, "campaign-id": 42}, "unknown_field", "campaign-id"),
    "no version": (without(FOUR, "version"), "missing_field", "version"),
    "a version that is a number": ({**FOUR, "version": 4.0}, "wrong_type", "version"),
    "version 1": ({**FOUR, "version": "1.0"}, "unsupported_version", "version"),
    "an integer with a fraction": ({**THREE, "campaign-id": 42.0}, "wrong_type", "campaign-id"),
    "an app as text": ({**THREE, "app-id": "525463029"}, "wrong_type", "app-id"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_field_is_named(name: str) -> None:
    document, code, field = WRONG[name]
    error = refusal(document)
    assert (error.code, error.pointer) == (code, f"/{field}")
    assert isinstance(error, PostbackFieldError | UnsupportedPostbackError)


@pytest.mark.parametrize("name", ["ad-network-id", "source-identifier", "transaction-id", "source-domain"])
def test_no_text_may_hold_the_separator(name: str) -> None:
    for place in (0, 1, len(FOUR[name])):
        error = refusal({**FOUR, name: FOUR[name][:place] + SEPARATOR + FOUR[name][place:]})
        assert (error.code, error.pointer) == ("bad_format", f"/{name}")


def test_no_message_repeats_what_was_sent() -> None:
    for name in without(FOUR, "version"):
        assert "jane@example.com" not in str(refusal({**FOUR, name: "jane@example.com "}))
