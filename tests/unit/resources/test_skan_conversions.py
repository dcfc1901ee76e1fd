"""Conversion values: golden cases from Apple's and AppsFlyer's documentation, and documents that are refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from resources.errors import ConversionSchemaError
from resources.skan.conversions import NO_REVENUE, WINDOWS, Basis, Conversion, ConversionSchema, mapped
from resources.skan.postback import COARSE_VALUES, parsed
from resources.skan.signature import verified
from schemas import event_schemas

APP = 525463029
FOUR, COARSE, THREE, LOSING, TWO_TWO, TWO_ONE = (
    example["postback"] for example in event_schemas("v1")["skan_postback"]["examples"]
)
USD = 1_000_000
DOCUMENT: dict[str, Any] = {
    "appId": APP,
    "currency": "USD",
    "windows": [
        {
            "sequenceIndex": 0,
            "fine": [
                {"from": 0, "to": 0, "events": ["install"]},
                {"from": 1, "to": 19, "events": ["registration"]},
                {
                    "from": 20,
                    "to": 62,
                    "events": ["registration", "purchase"],
                    "revenueMicros": {"low": 990_000, "high": 9_990_000, "expected": 2_500_000},
                },
                {"from": 63, "to": 63, "revenueMicros": {"low": 10_000_000, "high": 20_000_001}},
            ],
            "coarse": {
                "low": {"events": ["install"]},
                "high": {"events": ["purchase"], "revenueMicros": {"low": 5_000_000, "high": 50_000_000}},
            },
            "lock": {"fine": 63, "coarse": "high"},
        },
        {"sequenceIndex": 1, "coarse": {"medium": {"events": ["day_7"]}}, "lock": {"coarse": "medium"}},
    ],
}


def converted(document: dict[str, Any], schema: dict[str, Any] = DOCUMENT) -> Conversion:
    return mapped(parsed(document), ConversionSchema.of(schema))


def later(index: int, **fields: Any) -> dict[str, Any]:
    """A second or third postback: Apple's web sample in a later window, without its fine value."""
    bare = {name: value for name, value in FOUR.items() if name != "conversion-value"}
    return {**bare, "source-identifier": "39", "postback-sequence-index": index, **fields}


# Each names the page of Apple's StoreKit documentation that its postback is from.
VERIFYING = "Verifying an install-validation postback"
GOLDEN: dict[str, tuple[dict[str, Any], Basis, tuple[str, ...], tuple[int, int, int], bool]] = {
    f"{VERIFYING}: web ad, high tier, fine value 63": (
        FOUR,
        Basis.FINE,
        (),
        (10_000_000, 20_000_001, 15_000_000),
        True,
    ),
    f"{VERIFYING}: web ad, low tier, coarse value high": (
        COARSE,
        Basis.COARSE,
        ("purchase",),
        (5_000_000, 50_000_000, 27_500_000),
        True,
    ),
    "Combining parameters for SKAdNetwork 3 postbacks: winning, value 20": (
        THREE,
        Basis.FINE,
        ("registration", "purchase"),
        (990_000, 9_990_000, 2_500_000),
        False,
    ),
    "Combining parameters for SKAdNetwork 3 postbacks: nonwinning": (
        LOSING,
        Basis.NOT_WON,
        (),
        (0, 0, 0),
        False,
    ),
    "Combining parameters for previous SKAdNetwork postback versions: 2.2, value 20": (
        TWO_TWO,
        Basis.FINE,
        ("registration", "purchase"),
        (990_000, 9_990_000, 2_500_000),
        False,
    ),
    "Combining parameters for previous SKAdNetwork postback versions: 2.1, value 20": (
        TWO_ONE,
        Basis.FINE,
        ("registration", "purchase"),
        (990_000, 9_990_000, 2_500_000),
        False,
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_apples_samples_stand_for_what_the_document_says(name: str) -> None:
    document, basis, events, revenue, is_at_lock = GOLDEN[name]
    conversion = mapped(verified(document), ConversionSchema.of(DOCUMENT))
    assert (conversion.basis, conversion.meaning.events, conversion.is_at_lock) == (basis, events, is_at_lock)
    assert tuple(conversion.meaning.revenue) == revenue
    assert (conversion.window, conversion.currency) == (WINDOWS[0], "USD")


def test_the_windows_and_delays_are_apples() -> None:
    """Receiving postbacks in multiple conversion windows: days 0–2, 3–7, 8–35; delays 24–48 h, then 24–144 h."""
    assert [(window.first_day, window.last_day) for window in WINDOWS] == [(0, 2), (3, 7), (8, 35)]
    delays = [(window.delay_min_hours, window.delay_max_hours) for window in WINDOWS]
    assert delays == [(24, 48), (24, 144), (24, 144)]


def test_a_later_postback_is_read_by_its_own_windows_values() -> None:
    """Receiving postbacks in multiple conversion windows: the second and third hold a coarse value alone."""
    second = converted(later(1, **{"coarse-conversion-value": "medium"}))
    assert (second.basis, second.meaning.events, second.window) == (Basis.COARSE, ("day_7",), WINDOWS[1])
    assert second.is_at_lock
    assert converted(later(1, **{"coarse-conversion-value": "high"})).basis is Basis.UNMAPPED
    assert converted(later(2, **{"coarse-conversion-value": "low"})).basis is Basis.UNMAPPED


def test_a_postback_of_tier_0_holds_no_value() -> None:
    """Receiving postbacks in multiple conversion windows: in Tier 0 a first postback, with its source alone."""
    conversion = converted(later(0))
    assert (conversion.basis, conversion.meaning.revenue) == (Basis.NO_VALUE, NO_REVENUE)
    assert not conversion.is_at_lock


@pytest.mark.parametrize("step_usd", [1, 10])
def test_revenue_in_steps_as_appsflyer_documents_them(step_usd: int) -> None:
    """SKAN Conversion Studio, revenue mode: $1–$63 in steps of $1, $1–$630 in steps of $10; value n is the nth."""
    ranges = [{"from": 0, "to": 0, "events": ["install"]}]
    for value in range(1, 64):
        low, high = max(1, (value - 1) * step_usd) * USD, value * step_usd * USD
        ranges.append({"from": value, "to": value, "revenueMicros": {"low": low, "high": high}})
    schema = {"appId": APP, "currency": "USD", "windows": [{"sequenceIndex": 0, "fine": ranges}]}
    expected_usd = {1: (1, step_usd), 20: (19 * step_usd, 20 * step_usd), 63: (62 * step_usd, 63 * step_usd)}
    for value, (low_usd, high_usd) in expected_usd.items():
        revenue = converted({**THREE, "conversion-value": value}, schema).meaning.revenue
        assert (revenue.low_micros, revenue.high_micros) == (low_usd * USD, high_usd * USD)
        assert revenue.expected_micros == (low_usd + high_usd) * USD // 2
    assert converted({**THREE, "conversion-value": 0}, schema).meaning.events == ("install",)


def test_another_apps_postback_is_not_mapped() -> None:
    with pytest.raises(ConversionSchemaError, match="of app 1, the postback of app 525463029"):
        converted(FOUR, {**DOCUMENT, "appId": 1})


def edited(path: str, value: Any) -> dict[str, Any]:
    """The document with one member set, by its pointer."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path.strip("/").split("/")
    node: Any = document
    for part in parents:
        node = node[int(part) if isinstance(node, list) else part]
    node[int(last) if isinstance(node, list) else last] = value
    return document


REFUSED: dict[str, tuple[Any, str]] = {
    "no object": ([], "the document is not valid"),
    "no windows": ({"appId": 1, "currency": "USD"}, 'the document is not valid: "windows" is a required'),
    "an unknown member": (edited("/note", 1), "the document is not valid"),
    "a currency in small letters": (edited("/currency", "usd"), "/currency is not valid"),
    "seven bits": (edited("/windows/0/fine/3/to", 64), "/windows/0/fine/3/to is not valid"),
    "an unknown coarse value": (edited("/windows/1/coarse/none", {}), "/windows/1/coarse is not valid"),
    "a fourth window": (edited("/windows/1/sequenceIndex", 3), "/windows/1/sequenceIndex is not valid"),
    "a window twice": (edited("/windows/1/sequenceIndex", 0), "/windows/1/sequenceIndex 0 is there already"),
    "a value twice": (
        edited("/windows/0/fine/1/to", 20),
        "/windows/0/fine/1 and /windows/0/fine/2 both hold the value 20",
    ),
    "a range backwards": (edited("/windows/0/fine/2/to", 19), "/windows/0/fine/2 goes from 20 down to 19"),
    "fine values later": (
        edited("/windows/1/fine", [{"from": 1, "to": 1}]),
        "/windows/1/fine: Apple sends fine values in the first window alone",
    ),
    "expected above high": (
        edited("/windows/0/fine/2/revenueMicros/expected", 9_990_001),
        "/windows/0/fine/2/revenueMicros must have low ≤ expected ≤ high",
    ),
    "low above high": (
        edited("/windows/0/coarse/high/revenueMicros/low", 50_000_001),
        "/windows/0/coarse/high/revenueMicros must have",
    ),
    "a lock on nothing": (
        edited("/windows/0/lock/coarse", "medium"),
        "/windows/0/lock/coarse is medium, which has",
    ),
    "a lock on no fine value": (
        edited("/windows/1/lock", {"fine": 3}),
        "/windows/1/lock/fine is 3, which has",
    ),
    "negative revenue": (edited("/windows/0/fine/3/revenueMicros/low", -1), "/low is not valid"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_document_is_refused_with_its_place(name: str) -> None:
    document, reason = REFUSED[name]
    with pytest.raises(ConversionSchemaError) as caught:
        ConversionSchema.of(document)
    assert reason in str(caught.value)


def test_the_hash_names_the_content_and_not_its_spelling() -> None:
    spelled = json.loads(json.dumps(dict(reversed(DOCUMENT.items()))).replace('"from": 20,', '"from": 20.0,'))
    hashes = {ConversionSchema.of(document).content_hash for document in (DOCUMENT, spelled)}
    assert len(hashes) == 1
    assert ConversionSchema.of(edited("/currency", "EUR")).content_hash not in hashes


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 64), min_size=2, max_size=12, unique=True).map(sorted),
    order=st.randoms(use_true_random=False),
)
def test_every_value_has_its_ranges_meaning_in_any_order_of_ranges(cuts: list[int], order: Any) -> None:
    ranges: list[dict[str, Any]] = [
        {"from": low, "to": high - 1, "events": [f"e{low}"], "revenueMicros": {"low": low, "high": high}}
        for low, high in zip(cuts[::2], cuts[1::2], strict=False)
    ]
    order.shuffle(ranges)
    schema = {"appId": APP, "currency": "USD", "windows": [{"sequenceIndex": 0, "fine": ranges}]}
    for value in range(64):
        conversion = converted({**THREE, "conversion-value": value}, schema)
        owner = next((item for item in ranges if item["from"] <= value <= item["to"]), None)
        if owner is None:
            assert (conversion.basis, conversion.meaning.events) == (Basis.UNMAPPED, ())
        else:
            assert (conversion.basis, conversion.meaning.events) == (Basis.FINE, (f"e{owner['from']}",))
            revenue = conversion.meaning.revenue
            assert revenue.low_micros <= revenue.expected_micros <= revenue.high_micros


def test_every_window_maps_each_coarse_value_by_its_own_meaning() -> None:
    windows = [
        {"sequenceIndex": at, "coarse": {name: {"events": [f"{name}_{at}"]} for name in COARSE_VALUES}}
        for at in (2, 0, 1)
    ]
    schema = {"appId": APP, "currency": "EUR", "windows": windows}
    for at in range(3):
        for name in COARSE_VALUES:
            conversion = converted(later(at, **{"coarse-conversion-value": name}), schema)
            assert (conversion.meaning.events, conversion.window) == ((f"{name}_{at}",), WINDOWS[at])
