"""What a verified postback's conversion value stands for, by the tenant's document for that app. Pure.

The document is JSON (`schemas/skan/conversions.json`): per conversion window, fine values in ranges, coarse values by
name, each with events and a range of revenue, and the value at which the app locks the window. Windows and delays are
Apple's: "Receiving postbacks in multiple conversion windows" (StoreKit). Apple signs no conversion value.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs

from resources.errors import ConversionSchemaError
from resources.skan.postback import COARSE_VALUES
from schemas import SCHEMAS_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from resources.skan.postback import Postback


class Window(NamedTuple):
    """A conversion window: days after the first launch, and the hours after its end or lock until the postback."""

    sequence_index: int
    first_day: int
    last_day: int
    delay_min_hours: int
    delay_max_hours: int


WINDOWS = (Window(0, 0, 2, 24, 48), Window(1, 3, 7, 24, 144), Window(2, 8, 35, 24, 144))


class Basis(StrEnum):
    """What a conversion was read from."""

    FINE = "fine"
    COARSE = "coarse"
    NO_VALUE = "no_value"  # the app set none, or Apple withheld it: the crowd was too small
    UNMAPPED = "unmapped"  # a value that the tenant's document does not mention
    NOT_WON = "not_won"  # another network won: nothing is counted here


class Revenue(NamedTuple):
    """Bounds of one user's revenue in the window, both included, and the estimate between them."""

    low_micros: int
    high_micros: int
    expected_micros: int


NO_REVENUE = Revenue(0, 0, 0)


class Meaning(NamedTuple):
    """What one conversion value stands for."""

    events: tuple[str, ...] = ()
    revenue: Revenue = NO_REVENUE


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a postback says of the user it is about."""

    basis: Basis
    window: Window
    meaning: Meaning
    currency: str
    is_at_lock: bool  # the value is the one that ends the window early


@dataclass(frozen=True, slots=True)
class WindowValues:
    """What the values of one window stand for, and which of them lock it."""

    fine: Mapping[int, Meaning] = field(default_factory=dict)
    coarse: Mapping[str, Meaning] = field(default_factory=dict)
    lock: tuple[int | None, str | None] = (None, None)


@dataclass(frozen=True, slots=True)
class ConversionSchema:
    """A tenant's validated document for one app; `content_hash` names it in the rows it decided."""

    app_id: int
    currency: str
    content_hash: str
    event_app_id: str  # what the app's other events call it
    _windows: Mapping[int, WindowValues]
    _networks: Mapping[str, str]

    @classmethod
    def unknown(cls, app_id: int) -> ConversionSchema:
        """What stands in for an app without a document: nothing is mapped, and its hash is empty."""
        return cls(app_id, "", "", str(app_id), {}, {})

    @classmethod
    def of(cls, document: Any) -> ConversionSchema:
        """The schema that a parsed JSON document is.

        Raises:
            ConversionSchemaError: it breaks its JSON Schema, or contradicts itself.
        """
        _canonical(document)
        error = next(iter(_validator().iter_errors(document)), None)
        if error is not None:
            pointer = "".join(f"/{_escaped(part)}" for part in error.instance_path)
            raise ConversionSchemaError(f"{pointer or 'the document'} is not valid: {error.message}", pointer)
        document = _with_integers(document)
        windows: dict[int, WindowValues] = {}
        for number, window in enumerate(document["windows"]):
            index = window["sequenceIndex"]
            if index in windows:
                pointer = f"/windows/{number}/sequenceIndex"
                raise ConversionSchemaError(
                    f"{pointer} {index} is there already: keep one window of each", pointer
                )
            windows[index] = _window_values(window, f"/windows/{number}")
        digest = hashlib.sha256(_canonical(document)).hexdigest()[:16]
        event_app_id = document.get("eventAppId", str(document["appId"]))
        networks = document.get("networks", {})
        return cls(document["appId"], document["currency"], digest, event_app_id, windows, networks)

    def values(self, sequence_index: int) -> WindowValues:
        """What the values of a window stand for; nothing where the document has no such window."""
        return self._windows.get(sequence_index, WindowValues())

    def source_of(self, ad_network_id: str) -> str:
        """What the tenant's other events call a network."""
        return self._networks.get(ad_network_id, ad_network_id)


def mapped(postback: Postback, schema: ConversionSchema) -> Conversion:
    """What a verified postback stands for.

    Raises:
        ConversionSchemaError: the document is of another app.
    """
    if postback.app_id != schema.app_id:
        raise ConversionSchemaError(
            f"the conversion schema is of app {schema.app_id}, the postback of app {postback.app_id}: "
            "map it by its own app's schema"
        )
    values = schema.values(postback.sequence_index)
    basis, meaning = _meaning(postback, values)
    lock_fine, lock_coarse = values.lock
    is_at_lock = basis in {Basis.FINE, Basis.COARSE} and (
        postback.fine_value == lock_fine if basis is Basis.FINE else postback.coarse_value == lock_coarse
    )
    return Conversion(basis, WINDOWS[postback.sequence_index], meaning, schema.currency, is_at_lock)


def _meaning(postback: Postback, values: WindowValues) -> tuple[Basis, Meaning]:
    if not postback.did_win:
        return Basis.NOT_WON, Meaning()
    if postback.fine_value is not None:
        basis, found = Basis.FINE, values.fine.get(postback.fine_value)
    elif postback.coarse_value is not None:
        basis, found = Basis.COARSE, values.coarse.get(postback.coarse_value)
    else:
        return Basis.NO_VALUE, Meaning()
    return (Basis.UNMAPPED, Meaning()) if found is None else (basis, found)


def _canonical(document: Any) -> bytes:
    """The document as bytes that differ only where it does.

    Raises:
        ConversionSchemaError: it holds what JSON cannot say, or is nested without end.
    """
    try:
        text = json.dumps(
            document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode()
    except (ValueError, TypeError, RecursionError):  # NaN, half a character, …
        raise ConversionSchemaError("the document is no JSON: write it again, as UTF-8") from None


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _with_integers(value: Any) -> Any:
    """JSON's numbers without a fraction as integers: JSON Schema calls 1.0 one, Python a float."""
    if isinstance(value, dict):
        return {name: _with_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    return int(value) if isinstance(value, float) else value


def _window_values(window: Mapping[str, Any], pointer: str) -> WindowValues:
    ranges = window.get("fine", [])
    if ranges and window["sequenceIndex"] > 0:
        raise ConversionSchemaError(
            f"{pointer}/fine: Apple sends fine values in the first window alone", f"{pointer}/fine"
        )
    fine = {
        value: meaning
        for first, last, meaning in _ranges(ranges, f"{pointer}/fine")
        for value in range(first, last + 1)
    }
    given = window.get("coarse", {})
    coarse = {
        name: _meaning_of(given[name], f"{pointer}/coarse/{name}") for name in COARSE_VALUES if name in given
    }
    lock = window.get("lock", {})
    for kind, known in (("fine", fine), ("coarse", coarse)):
        if kind in lock and lock[kind] not in known:
            raise ConversionSchemaError(
                f"{pointer}/lock/{kind} is {lock[kind]}, which has no meaning here: add it to {pointer}/{kind}",
                f"{pointer}/lock/{kind}",
            )
    return WindowValues(fine, coarse, (lock.get("fine"), lock.get("coarse")))


def _ranges(ranges: list[Mapping[str, Any]], pointer: str) -> Iterator[tuple[int, int, Meaning]]:
    for number, item in enumerate(ranges):
        if item["from"] > item["to"]:
            raise ConversionSchemaError(
                f"{pointer}/{number} goes from {item['from']} down to {item['to']}: swap its ends",
                f"{pointer}/{number}",
            )
    in_order = sorted(enumerate(ranges), key=lambda numbered: numbered[1]["from"])
    for (number, item), (other, following) in pairwise(in_order):
        if following["from"] <= item["to"]:
            raise ConversionSchemaError(
                f"{pointer}/{number} and {pointer}/{other} both hold the value {following['from']}: "
                "give each value one meaning",
                f"{pointer}/{other}",
            )
    for number, item in enumerate(ranges):
        yield item["from"], item["to"], _meaning_of(item, f"{pointer}/{number}")


def _meaning_of(item: Mapping[str, Any], pointer: str) -> Meaning:
    events = tuple(item.get("events", ()))
    if "revenueMicros" not in item:
        return Meaning(events)
    given = item["revenueMicros"]
    low, high = given["low"], given["high"]
    expected = given.get("expected", (low + high) // 2)
    if not low <= expected <= high:
        where = f"{pointer}/revenueMicros"
        raise ConversionSchemaError(f"{where} must have low ≤ expected ≤ high", where)
    return Meaning(events, Revenue(low, high, expected))


@cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    text = (SCHEMAS_ROOT / "skan" / "conversions.json").read_text()
    return jsonschema_rs.Draft202012Validator(json.loads(text), mask="the value")
