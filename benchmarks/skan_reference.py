"""A second opinion on SKAdNetwork postbacks, which shares no code with the door: JSON Schema and P-256 by hand.

Faults are those of `reference`: everything wrong, as (code, pointer). The curve is FIPS 186-5's and RFC 6979's P-256,
in affine coordinates (20 ms a signature: outcomes are kept). Version 2.0 has no published sample, so the reference
says only what is wrong beside its signature, and calls that wrong: right for all that a mutation can make.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

Fault = tuple[str, str]
Point = tuple[int, int]

PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BASE: Point = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
# The last 64 bytes of Apple's key.
APPLE: Point = (
    0x59DA7C18F706AA6860CC4163F59DA74A941575D6B268F7B814CCEA33DC226F5F,
    0x9A1DA688CE81E82CDF735B82BCCB848FCA41376152B7B15A96E807F495FC7782,
)
_INTEGERS = {"campaign-id": 2**64, "app-id": 2**64, "source-app-id": 2**64, "fidelity-type": 2}
_INTEGERS |= {"postback-sequence-index": 3, "conversion-value": 64}
_BOOLEANS = {"redownload", "did-win"}
_TEXTS = {
    "ad-network-id": r"[\x21-\x7e]{1,255}",
    "source-identifier": r"[0-9]{2,4}",
    "source-domain": r"(?=.*[^0-9])[A-Za-z0-9._-]{1,253}",
    "transaction-id": r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
}
_OPTIONAL = {"source-app-id", "source-domain", "conversion-value", "coarse-conversion-value"}
_UP_TO_3 = "version ad-network-id campaign-id app-id transaction-id redownload source-app-id"
_OF_4 = (
    "version ad-network-id source-identifier app-id transaction-id redownload source-app-id source-domain "
    "fidelity-type did-win postback-sequence-index"
)
_SIGNED = {
    "2.0": _UP_TO_3.split(),
    "2.1": _UP_TO_3.split(),
    "2.2": f"{_UP_TO_3} fidelity-type".split(),
    "3.0": f"{_UP_TO_3} fidelity-type did-win".split(),
    "4.0": _OF_4.split(),
}


def postback_faults(postback: Mapping[str, Any]) -> Iterator[Fault]:
    """Everything wrong with a postback of an event that meets its schema."""
    version = postback["version"]
    if not isinstance(version, str):
        yield "wrong_type", "/postback/version"
    elif version not in _SIGNED:
        yield "unsupported_version", "/postback/version"
    else:
        found = {*_field_faults(postback, version), *_fault_of_signature(postback)}
        if not found and not _is_signed(postback):
            found = {("bad_signature", "/postback/attribution-signature")}
        yield from found


def _field_faults(postback: Mapping[str, Any], version: str) -> Iterator[Fault]:
    known = [
        *_SIGNED[version],
        "conversion-value",
        *(["coarse-conversion-value"] if version == "4.0" else []),
    ]
    for name in known:
        if name in postback:
            code = _fault_of_value(name, postback[name])
            if code:
                yield code, f"/postback/{name}"
        elif name not in _OPTIONAL:
            yield "missing_field", f"/postback/{name}"
    for name in {*_INTEGERS, *_TEXTS, *_BOOLEANS, "coarse-conversion-value"} - set(known):
        if name in postback:
            yield "unknown_field", f"/postback/{name}"
    if {"source-app-id", "source-domain"} <= postback.keys():
        yield "not_allowed", "/postback/source-domain"
    if {"conversion-value", "coarse-conversion-value"} <= postback.keys():
        yield "not_allowed", "/postback/coarse-conversion-value"
    if "conversion-value" in postback and postback.get("postback-sequence-index") in (1, 2):
        yield "not_allowed", "/postback/conversion-value"


def _fault_of_value(name: str, value: Any) -> str:
    if name in _INTEGERS:
        if type(value) is not int:
            return "wrong_type"
        return "" if value in range(_INTEGERS[name]) else "out_of_range"
    if name in _BOOLEANS:
        return "" if value is True or value is False else "wrong_type"
    if type(value) is not str:
        return "wrong_type"
    if name == "coarse-conversion-value":
        return "" if value in ("low", "medium", "high") else "not_allowed"
    return "" if re.fullmatch(_TEXTS.get(name, "(?s).*"), value) else "bad_format"


def _fault_of_signature(postback: Mapping[str, Any]) -> Iterator[Fault]:
    pointer = "/postback/attribution-signature"
    if "attribution-signature" not in postback:
        yield "missing_field", pointer
    elif not isinstance(postback["attribution-signature"], str):
        yield "wrong_type", pointer
    elif _numbers(postback["attribution-signature"]) is None:
        yield "bad_signature", pointer


def _is_signed(postback: Mapping[str, Any]) -> bool:
    names = _SIGNED[postback["version"]]
    values = [postback[name] for name in names if name in postback]
    text = "\u2063".join(value if isinstance(value, str) else json.dumps(value) for value in values)
    return postback["version"] != "2.0" and is_signed(text, postback["attribution-signature"])


@lru_cache(maxsize=10_000)
def is_signed(text: str, signature: str) -> bool:
    """Whether Apple's P-256 key signed a text (FIPS 186-5, 6.4.2)."""
    numbers = _numbers(signature)
    if numbers is None or not all(0 < number < ORDER for number in numbers):
        return False
    r, s = numbers
    inverse = pow(s, -1, ORDER)
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    found = _sum(_times(digest * inverse % ORDER, BASE), _times(r * inverse % ORDER, APPLE))
    return found is not None and found[0] % ORDER == r


@cache
def _numbers(signature: str) -> tuple[int, int] | None:
    """The two numbers of a base64 signature: DER, a sequence of two positive integers, shortest form."""
    if not re.fullmatch(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", signature):
        return None
    data = base64.b64decode(signature)
    numbers = []
    rest = data[2:]
    for _ in range(2):
        length = rest[1] if len(rest) > 1 else 0
        numbers.append(int.from_bytes(rest[2 : 2 + length], "big"))
        rest = rest[2 + length :]
    return (numbers[0], numbers[1]) if data == _der(*numbers) else None


def _der(*numbers: int) -> bytes:
    parts = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in numbers]
    body = b"".join(b"\x02" + bytes([len(part) % 256]) + part for part in parts)
    return b"\x30" + bytes([len(body) % 256]) + body


def _sum(one: Point | None, other: Point | None) -> Point | None:
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % PRIME == 0:
        return None
    slope = (
        (3 * x1 * x1 - 3) * pow(2 * y1, -1, PRIME) if one == other else (y2 - y1) * pow(x2 - x1, -1, PRIME)
    )
    x3 = (slope * slope - x1 - x2) % PRIME
    return x3, (slope * (x1 - x3) - y1) % PRIME


def _times(factor: int, point: Point) -> Point | None:
    total: Point | None = None
    addend: Point | None = point
    while factor:
        if factor & 1:
            total = _sum(total, addend)
        addend, factor = _sum(addend, addend), factor >> 1
    return total
