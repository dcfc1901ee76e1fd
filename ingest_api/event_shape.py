"""Size, nesting and range of numbers of an event: the limits that its schema cannot express. Pure.

A key that is sent twice counts once, with its last value, so nesting and numbers are those of the parsed event;
its size is that of its bytes. Thus an event's verdict is the same alone and in any batch.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ingest_api.bodies import has_wide_integer, raw_deliveries
from ingest_api.event_log.protocol import BodyFormat

_KEY = b'"eventId"'
_LETTER_ESCAPE = re.compile(rb"\\u00[467]")  # an ASCII letter written as an escape: no encoder does that
_WIDE = object()


def has_larger_delivery(plain: bytes, body_format: BodyFormat, event_count: int, max_bytes: int) -> bool:
    """Whether a delivery of a body of valid events has more bytes than allowed.

    An array is not cut into its elements for that (11 µs per event): where every event shows its key once, it
    lies between the keys of its neighbours (0.3 µs).
    """
    if len(plain) <= max_bytes:
        return False
    if body_format is BodyFormat.ARRAY and _has_short_gaps(plain, event_count, max_bytes):
        return False
    return any(len(raw) > max_bytes for raw in raw_deliveries(plain, body_format))


def _has_short_gaps(plain: bytes, event_count: int, max_bytes: int) -> bool:
    gaps = plain.split(_KEY)
    if len(gaps) != event_count + 1 or 2 * max(map(len, gaps)) + len(_KEY) > max_bytes:
        return False
    return b"\\" not in plain or _LETTER_ESCAPE.search(plain) is None  # else a key may not be in sight


def is_nested_deeper(value: Any, levels_max: int) -> bool:
    """Whether arrays and objects lie deeper in each other than allowed; a scalar has no level."""
    level = [value]
    for _ in range(levels_max + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return False
        level = [child for parent in level for child in _children(parent)]
    return True


def has_rounded_integer(raw: bytes) -> bool:
    """Whether an event, valid JSON and not nested deep, holds an integer beyond 64 bits: parsing rounds it."""
    if not has_wide_integer(raw):
        return False
    pending = [
        json.loads(raw, parse_int=_narrow)
    ]  # it may have been in a value that another took the place of
    while pending:
        item = pending.pop()
        if item is _WIDE:
            return True
        pending.extend(_children(item))
    return False


def _narrow(digits: str) -> object:
    return _WIDE if has_wide_integer(digits.encode()) else 0


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
