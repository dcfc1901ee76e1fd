"""What `unmogrowp skan verify` says of each postback in a text: whether Apple signed it, and what it means. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from resources.errors import ContractError, PostbackError
from resources.skan.conversions import Basis, Conversion, ConversionSchema, mapped
from resources.skan.postback import Postback
from resources.skan.signature import verified

_MICROS = 1_000_000


@dataclass(frozen=True)
class Verdict:
    """One postback: verified with its meaning, or what is wrong with it and where."""

    number: int
    postback: Postback | None = None
    conversion: Conversion | None = None
    schema_hash: str = ""
    error: str = ""
    code: str = ""
    pointer: str = ""

    @property
    def is_verified(self) -> bool:
        """Whether Apple signed it."""
        return self.postback is not None

    def document(self) -> dict[str, Any]:
        """The verdict as JSON."""
        if self.postback is None or self.conversion is None:
            error = {"message": self.error, "code": self.code, "pointer": self.pointer}
            return {"number": self.number, "verified": False, "error": error}
        meaning = {
            "basis": str(self.conversion.basis),
            "events": list(self.conversion.meaning.events),
            "revenue_micros": self.conversion.meaning.revenue._asdict(),
            "currency": self.conversion.currency,
            "is_at_lock": self.conversion.is_at_lock,
            "window": self.conversion.window._asdict(),
            "schema_hash": self.schema_hash,
        }
        return {
            "number": self.number,
            "verified": True,
            "is_test": self.postback.is_test,
            "postback": asdict(self.postback),
            "meaning": meaning,
            "sentence": self.sentence(),
        }

    def sentence(self) -> str:
        """What it says, for people."""
        if self.postback is None or self.conversion is None:
            return self.error
        postback, window = self.postback, self.conversion.window
        kind = "test postback" if postback.is_test else "postback"
        first = (
            f"{kind} of version {postback.version}: {postback.ad_network_id}, campaign {postback.campaign}, "
            f"app {postback.app_id}, {'re-download' if postback.is_redownload else 'install'}, "
            f"days {window.first_day} to {window.last_day}"
        )
        return f"{first}; {_value_sentence(postback, self.conversion, self.schema_hash)}"


def documents_in(text: str, name: str) -> list[dict[str, Any]]:
    """The postbacks in a text: one JSON object, an array of them, or objects one after the other (NDJSON).

    An event of this platform stands for the postback inside it.

    Raises:
        ContractError: the text is not JSON, or holds something else than objects.
    """
    found = [
        item for value in _values(text, name) for item in (value if isinstance(value, list) else [value])
    ]
    if not found:
        raise ContractError(f"{name} holds no postback: give the JSON that Apple sent")
    for number, item in enumerate(found, start=1):
        if not isinstance(item, dict):
            raise ContractError(f"{name}: item {number} is no JSON object: give the JSON that Apple sent")
    return [item["postback"] if isinstance(item.get("postback"), dict) else item for item in found]


def verdict_of(number: int, document: Mapping[str, Any], schemas: Mapping[int, ConversionSchema]) -> Verdict:
    """The verdict on one postback, read by its app's document where there is one."""
    try:
        postback = verified(document)
    except PostbackError as error:
        return Verdict(number, error=str(error), code=error.code, pointer=error.pointer)
    schema = schemas.get(postback.app_id) or ConversionSchema.unknown(postback.app_id)
    return Verdict(number, postback, mapped(postback, schema), schema.content_hash)


def _values(text: str, name: str) -> Iterator[Any]:
    decoder, position = json.JSONDecoder(), 0
    while (position := _next_place(text, position)) < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            line = text.count("\n", 0, position) + 1
            raise ContractError(f"{name} is no JSON from line {line} on: give JSON or NDJSON") from None
        yield value


def _next_place(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n\ufeff":
        position += 1
    return position


def _value_sentence(postback: Postback, conversion: Conversion, schema_hash: str) -> str:
    if conversion.basis is Basis.NOT_WON:
        return "another network won"
    if conversion.basis is Basis.NO_VALUE:
        return "no conversion value: the app set none, or the crowd was too small"
    value = postback.fine_value if conversion.basis is Basis.FINE else postback.coarse_value
    value = postback.fine_value if value is None else value
    if conversion.basis is Basis.UNMAPPED:
        why = (
            "the document does not mention it" if schema_hash else "no document of the app says what it means"
        )
        return f"value {value}: {why}"
    revenue = conversion.meaning.revenue
    amount = (
        f"{revenue.low_micros / _MICROS:,.2f} to {revenue.high_micros / _MICROS:,.2f} {conversion.currency}, "
        f"expected {revenue.expected_micros / _MICROS:,.2f}"
        if revenue.high_micros
        else "no revenue"
    )
    events = ", ".join(conversion.meaning.events) or "no event"
    lock = "; the app ended the window here" if conversion.is_at_lock else ""
    return f"value {value}: {events}; {amount}{lock}"
