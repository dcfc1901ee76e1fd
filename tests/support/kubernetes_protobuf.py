"""Reading the one protobuf message that Helm's engine sends: a Secret (its release record).

Field numbers are those of Kubernetes' generated.proto.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

MAGIC = b"k8s\x00"
VARINT, LENGTH_DELIMITED = 0, 2


def secret_of(message: bytes) -> dict[str, Any]:
    """The Secret as JSON has it.

    Raises:
        ValueError: the message is of another kind, or is none.
    """
    if not message.startswith(MAGIC):
        raise ValueError("not a Kubernetes protobuf message")
    envelope = dict(_fields(message[len(MAGIC) :]))
    kind = dict(_fields(_bytes(envelope[1])))
    if kind.get(2) != b"Secret":
        raise ValueError(f"only Secrets are understood, not {kind.get(2)!r}")
    metadata: dict[str, Any] = {"labels": {}}
    secret: dict[str, Any] = {"metadata": metadata, "data": {}, "type": "Opaque"}
    for number, value in _fields(_bytes(envelope[2])):
        if number == 1:
            _read_metadata(_bytes(value), metadata)
        elif number == 2:
            name, data = _entry(_bytes(value))
            secret["data"][name] = base64.b64encode(data).decode()
        elif number == 3:
            secret["type"] = _bytes(value).decode()
    return secret


def _read_metadata(message: bytes, metadata: dict[str, Any]) -> None:
    for number, value in _fields(message):
        if number == 1:
            metadata["name"] = _bytes(value).decode()
        elif number == 11:
            name, label = _entry(_bytes(value))
            metadata["labels"][name] = label.decode()


def _entry(message: bytes) -> tuple[str, bytes]:
    entry = dict(_fields(message))
    return _bytes(entry[1]).decode(), _bytes(entry.get(2, b""))


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise TypeError(f"a message was expected, not the number {value}")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        value, position = _varint(message, position)
        if tag & 7 == VARINT:
            yield tag >> 3, value
        elif tag & 7 == LENGTH_DELIMITED:
            yield tag >> 3, message[position : position + value]
            position += value
        else:
            raise ValueError(f"wire type {tag & 7} does not occur in a Secret")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
