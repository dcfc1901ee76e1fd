"""Allowed ranges of numbers, and durations as people write them (`7d`, `24h`, `off`). No rules here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
UNITS_MS = {"d": DAY_MS, "h": HOUR_MS, "m": MINUTE_MS, "s": SECOND_MS, "ms": 1}
_DURATION = re.compile(r"^\s*(\d{1,15})\s*(d|h|m|s|ms)\s*$")


@dataclass(frozen=True)
class AllowedRange:
    """Pydantic metadata of an integer: its bounds, told as one sentence where a value misses them."""

    least: int
    most: int
    is_duration: bool = False
    may_be_off: bool = False  # 0 is allowed too, below `least`

    def __str__(self) -> str:
        """What is allowed, for people."""
        if not self.is_duration:
            return f"{self.least} to {self.most}"
        span = f"{duration_text(self.least)} to {duration_text(self.most)}"
        return f"off, or {span}" if self.may_be_off else span

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the range after the integer."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """State the range in the JSON schema; what lies between off and the least is said in words."""
        document = handler(schema)
        return document | {"minimum": 0 if self.may_be_off else self.least, "maximum": self.most}

    def _checked(self, value: int) -> int:
        if self.least <= value <= self.most or (self.may_be_off and value == 0):
            return value
        allowed = str(self)
        if self.is_duration:
            zero = "0, or " if self.may_be_off else ""
            allowed += f" ({zero}{self.least} to {self.most} ms)"
        raise PydanticCustomError("outside_range", "must be {allowed}", {"allowed": allowed})


def duration_text(duration_ms: int) -> str:
    """A duration in its largest whole unit: `7 d`, `36 h`, `1500 ms`; 0 is `off`."""
    if duration_ms == 0:
        return "off"
    unit, size_ms = next((unit, size) for unit, size in UNITS_MS.items() if duration_ms % size == 0)
    return f"{duration_ms // size_ms} {unit}"


def parse_duration(text: str) -> int:
    """Milliseconds of `7d`, `24h`, `30m`, `5s`, `500ms`; of `off` and of `0` it is 0.

    Raises:
        ValueError: it is none of these; the message says how to write one.
    """
    if text.strip().lower() in {"off", "0"}:
        return 0
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(
            "a duration is a whole number with its unit, such as 7d, 24h, 30m, 5s or 500ms, or off"
        )
    return int(match.group(1)) * UNITS_MS[match.group(2)]
