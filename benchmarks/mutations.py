"""Events that are nearly right: made from the schemas, then broken in the ways that validators disagree about.

Everything is drawn from one `random.Random`, so a seed repeats a run and hypothesis can shrink one. An event is
kept as a list of (key, value) pairs until it is spelled, because keys may repeat; `Spelled` is JSON text as it is.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.in_process_door import TENANT
from benchmarks.odd_values import (
    ADDRESSES,
    NUMBERS,
    ODD_KEYS,
    ODD_VALUES,
    PARSEABLE_NUMBERS,
    TEXTS,
    TIMES,
    UUIDS,
    Spelled,
)
from resources.errors import ContractError
from schemas import event_schemas

Pairs = list[tuple[str, Any]]


_CAPITALS = re.compile(r"\^\[A-Z\]\{(\d+)\}\$")
_FREE_DEPTHS = (1, 5, 30, 31, 32, 40, 200)
_TOO_MANY_BYTES = 70_000
_OTHER_KIND_SHARE = 0.15
_METADATA_KEYS = ("a", "eventId", "", "level", "a.b", "ключ", "\u0000")


class Mutator:
    """Makes nearly right events of one version as bytes, of about the clock's time."""

    def __init__(
        self,
        rng: random.Random,
        version: str,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._rng = rng
        self._schemas = event_schemas(version)
        self._clock = clock
        self._shown = _shown(self._schemas)

    def event(self) -> bytes:
        """One event: two in ten right, the others with one to three things changed."""
        rng = self._rng
        name = rng.choice(sorted(self._schemas))
        schema = self._schemas[name]
        pairs = self._object(schema)
        if rng.random() < 0.1:
            pairs = [pair for pair in pairs if pair[0] != "eventType"]
        for _ in range(rng.choice((0, 0, 1, 1, 1, 1, 1, 2, 2, 3))):
            self._mutate(pairs, schema)
        return self._spelled(pairs).encode()

    def valid(self, event_type: str) -> bytes:
        """A right event of a type: its values at and between their bounds, its optional fields or not."""
        return self._spelled(self._object(self._schemas[event_type])).encode()

    def _object(self, schema: Mapping[str, Any]) -> Pairs:
        rng = self._rng
        required = schema["required"]
        share = rng.choice((0.0, 0.3, 1.0))
        names = [name for name in schema["properties"] if name in required or rng.random() < share]
        if rng.random() < 0.3:
            rng.shuffle(names)
        return [(name, self._value(name, schema["properties"][name])) for name in names]

    def _value(self, name: str, schema: Mapping[str, Any]) -> Any:
        """A valid value of a field."""
        rng = self._rng
        make: dict[str, Callable[[], Any]] = {
            "const": lambda: schema["const"],
            "enum": lambda: rng.choice(schema["enum"]),
            "uuid": lambda: str(uuid.UUID(int=rng.getrandbits(128))),
            "time": lambda: self._time(rng.uniform(-29 * 86_400, 0)),
            "address": lambda: rng.choice(("192.0.2.7", "2001:db8::7")),
            "capitals": lambda: "".join(rng.choices("ABXYZ", k=int(_CAPITALS.findall(schema["pattern"])[0]))),
            "members": lambda: self._object(schema),
            "free": lambda: rng.choice(self._shown[name]) if name in self._shown else {"k": self._free(2)},
            "integer": lambda: rng.choice(
                (schema["minimum"], 0, 1, rng.randrange(0, 10**6), schema["maximum"])
            ),
            "text": lambda: "v" * rng.choice((1, 2, 7, schema["maxLength"])),
        }
        return TENANT if name == "tenantId" else make[_kind(schema)]()

    def _time(self, offset_s: float) -> str:
        rng = self._rng
        moment = self._clock() + dt.timedelta(seconds=offset_s)
        if rng.random() < 0.3:
            moment = moment.astimezone(
                dt.timezone(dt.timedelta(minutes=rng.choice((-1439, -480, 1, 330, 1439))))
            )
        text = moment.replace(tzinfo=None).isoformat(
            timespec=rng.choice(("seconds", "milliseconds", "microseconds"))
        )
        zone = moment.strftime("%z")
        text += "Z" if zone == "+0000" and rng.random() < 0.7 else f"{zone[:3]}:{zone[3:]}"
        if "." in text and rng.random() < 0.1:
            text = text.replace(".", "." + "123456789" * rng.randrange(1, 4), 1)
        return text.lower() if rng.random() < 0.05 else text

    def _free(self, depth: int) -> Any:
        rng = self._rng
        kind = rng.randrange(8 if depth else 5)
        if kind >= 5:
            children = range(rng.randrange(4))
            if kind == 5:
                return [self._free(depth - 1) for _ in children]
            return [(rng.choice(_METADATA_KEYS), self._free(depth - 1)) for _ in children] or {}
        return (None, True, Spelled(rng.choice(PARSEABLE_NUMBERS)), rng.choice(TEXTS), rng.random())[kind]

    def _mutate(self, pairs: Pairs, schema: Mapping[str, Any]) -> None:
        rng = self._rng
        if not pairs:
            return
        place = rng.randrange(len(pairs))
        name, value = pairs[place]
        member = schema["properties"].get(name, {})
        kind = rng.randrange(10)
        if kind == 0:
            del pairs[place]
        elif kind == 1:
            pairs.insert(place, (rng.choice((*ODD_KEYS, *schema["properties"])), self._free(1)))
        elif kind == 2:
            pairs.append((name, self._odd(name, member)))  # the same key again
        elif "properties" in member and _is_object(value) and kind < 9:
            self._mutate(value, member)
        else:
            pairs[place] = (name, self._odd(name, member))

    def _odd(self, name: str, schema: Mapping[str, Any]) -> Any:
        """A value of the kind that a field holds, right or wrong."""
        rng = self._rng
        if not schema or name == "tenantId" or rng.random() < _OTHER_KIND_SHARE:
            return rng.choice((*ODD_VALUES, *TEXTS))
        make: dict[str, Callable[[], Any]] = {
            "const": lambda: rng.choice(sorted(self._schemas)),
            "enum": lambda: rng.choice(
                (*schema["enum"], schema["enum"][0].upper(), schema["enum"][0] + "\n")
            ),
            "uuid": lambda: rng.choice(UUIDS),
            "time": self._odd_time,
            "address": lambda: rng.choice(ADDRESSES),
            "capitals": lambda: rng.choice(TEXTS),
            "members": lambda: rng.choice(ODD_VALUES),
            "free": lambda: self._odd_shown(name) if name in self._shown else self._odd_free(),
            "integer": lambda: self._odd_integer(schema),
            "text": lambda: self._odd_text(schema["maxLength"]),
        }
        return make[_kind(schema)]()

    def _odd_integer(self, schema: Mapping[str, Any]) -> Spelled:
        bound = schema[self._rng.choice(("minimum", "maximum"))]
        return Spelled(self._rng.choice((*NUMBERS, *map(str, (bound - 1, bound, bound + 1)), f"{bound}.0")))

    def _odd_text(self, max_length: int) -> str:
        length = self._rng.choice((0, 1, max_length - 1, max_length, max_length + 1))
        return str(self._rng.choice(("a", "é", "字", "🙂", "e\u0301", "\u0000"))) * length

    def _odd_time(self) -> str:
        rng = self._rng
        if rng.random() < 0.5:
            return rng.choice(TIMES)
        edge = rng.choice((-30 * 86_400, 300))
        return self._time(edge + rng.choice((-86_400, -60, 0, 0, 60, 86_400)) + rng.uniform(-1, 1))

    def _odd_shown(self, name: str) -> Any:
        """A right value of a free-form field with one member gone, changed a little, of another kind, or another's."""
        rng = self._rng
        if rng.random() < _OTHER_KIND_SHARE:
            return self._odd_free()
        value = dict(rng.choice(self._shown[name]))
        member = rng.choice(sorted(value))
        kind = rng.randrange(4)
        if kind == 0:
            del value[member]
        elif kind == 1:
            value[member] = self._near(value[member])
        elif kind == 2:
            value[member] = rng.choice((*ODD_VALUES, *TEXTS, Spelled(rng.choice(PARSEABLE_NUMBERS))))
        else:
            other = rng.choice(self._shown[name])
            taken = rng.choice(sorted(other))
            value[taken] = other[taken]
        return value

    def _near(self, value: Any) -> Any:
        rng = self._rng
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return value + rng.choice((-1, 1, 64))
        place = rng.randrange(len(value))
        return value[:place] + rng.choice("0Az=.\u2063") + value[place + rng.randrange(2) :]

    def _odd_free(self) -> Any:
        rng = self._rng
        kind = rng.randrange(5)
        if kind == 0:
            value: Any = rng.choice((Spelled("1"), [], {}))
            for _ in range(rng.choice(_FREE_DEPTHS)):
                value = [value] if rng.random() < 0.5 else {"a": value}
            return {"deep": value}
        if kind == 1:
            return {
                "long": rng.choice(("x", "é", "\u0001"))
                * rng.choice((1_000, _TOO_MANY_BYTES // 6, _TOO_MANY_BYTES))
            }
        if kind == 2:
            return [(key, Spelled(rng.choice(NUMBERS))) for key in ("n", "n", "m")]
        if kind == 3:
            return {rng.choice(TEXTS): rng.choice(TEXTS), "version": self._free(1)}
        return self._free(4)

    def _spelled(self, pairs: Pairs) -> str:
        rng = self._rng
        space = rng.choice(("", "", "", " ", "\n", "\r\n\t"))
        if rng.random() < 0.003:
            space = " " * (_TOO_MANY_BYTES // max(1, len(pairs)))
        return _text(pairs, space, is_ascii=rng.random() < 0.3)


def _shown(schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The examples' values of free-form fields that must hold something: nobody makes those up (Apple's signatures)."""
    return {
        name: [example[name] for example in schema["examples"] if name in example]
        for schema in schemas.values()
        for name, member in schema["properties"].items()
        if member.get("required") and "properties" not in member
    }


def _kind(schema: Mapping[str, Any]) -> str:
    """What a field holds, in the words of this module."""
    kinds = {
        "const": "const" in schema,
        "enum": "enum" in schema,
        "uuid": schema.get("format") == "uuid",
        "time": schema.get("format") == "date-time",
        "address": "anyOf" in schema,
        "capitals": _CAPITALS.fullmatch(schema.get("pattern", "")) is not None,
        "members": "properties" in schema,
        "free": schema.get("type") == "object",
        "integer": schema.get("type") == "integer",
        "text": "maxLength" in schema,
    }
    found = next((kind for kind, applies in kinds.items() if applies), None)
    if found is None:
        raise ContractError(f"the mutations know no value for {dict(schema)}: teach them one")
    return found


def _is_object(value: Any) -> bool:
    """Whether a value is an object as a list of pairs; an empty list is an array."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, tuple) for item in value)


def _text(value: Any, space: str, *, is_ascii: bool) -> str:
    """JSON text of a value; a list of pairs is an object."""
    if isinstance(value, Spelled):
        return str(value)
    if isinstance(value, dict) or _is_object(value):
        members = value.items() if isinstance(value, dict) else value
        inner = f",{space}".join(
            f"{json.dumps(key, ensure_ascii=is_ascii)}:{space}{_text(item, space, is_ascii=is_ascii)}"
            for key, item in members
        )
        return f"{{{inner}{space}}}"
    if isinstance(value, list):
        return f"[{f',{space}'.join(_text(item, space, is_ascii=is_ascii) for item in value)}]"
    return json.dumps(value, ensure_ascii=is_ascii)
