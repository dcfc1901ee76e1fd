"""Bodies as bytes: unpacking with limits, splitting into deliveries, parsing. Pure; door and lander share it.

What the parser (orjson, RFC 8259) does with the hard cases, and so what the door does:

| case | here |
|---|---|
| duplicate keys | the last one counts, as in every common parser; door and lander read with the same one |
| NaN, Infinity, 1e400, lone surrogate escapes, invalid UTF-8, a byte order mark, UTF-16 | not JSON: 400 |
| nesting above the parser's 1,024 | not JSON: 400; above the contract's limit: quarantined (`contracts`) |
| integers beyond 64 bits | would be rounded, so `contracts` refuses them rather than change them in silence |
| fractions | nearest double, as everywhere |
| NUL and other control characters, escaped | kept |

"Not JSON" means one NDJSON line, or else the whole body; it is kept in quarantine either way.
"""

from __future__ import annotations

import re
import zlib
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import zstandard

from ingest_api.event_log.protocol import BodyEncoding, BodyFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

# zstd -19's window. A frame that asks for a larger one would make us allocate it before any byte comes.
ZSTD_WINDOW_MAX_BYTES = 8 * 1024 * 1024
# Room for a frame that does not say its size, before more is tried; untouched pages of it cost nothing.
_ZSTD_FIRST_ROOM_BYTES = 128 * 1024 * 1024
_GZIP_WINDOW_BITS = 31  # zlib's code for "gzip wrapper, largest window"
# zlib copies what follows a member: 1 MiB of empty members cost 1.4 s whole, 10 MiB a hundred times that
_GZIP_PIECE_BYTES = 64 * 1024
_GZIP_MEMBERS_MAX = 10_000  # one for every event of the largest batch
_JSON_SPACE = b" \t\r\n"
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")  # a line that is not blank
_BEFORE_VALUES = (b",", b"[", b"{", b"\n")
# The tokens that matter for structure; whatever is inside a string is skipped whole. Possessive: to keep the
# way back costs 120 bytes of memory per character of a string.
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},]', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
# 19 digits are the first that may not fit 64 bits; a fraction or exponent says its writer wants a double
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+-])-?\d{19,}(?![\d.eE])")
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**64 - 1
_INTEGER_MAX_DIGITS = 20


class BodyTooLargeError(Exception):
    """Unpacked, the body is over the limit."""


class BodyUnreadableError(Exception):
    """The body is not what its headers say; the text says why, without showing it."""

    def __init__(self, reason: str, code: str = "not_json") -> None:
        super().__init__(reason)
        self.code = code


class BodyTooManyError(Exception):
    """The body holds more than it may, by number; the text says of what."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Deliveries(NamedTuple):
    """The parsed deliveries of a body. `unparsed` has the places that are no JSON (their value is None)."""

    events: list[Any]
    unparsed: dict[int, str]


def unpacked(body: bytes, encoding: BodyEncoding, max_bytes: int) -> bytes:
    """The body without its compression, never more than `max_bytes` of it in memory.

    Raises:
        BodyTooLargeError: it unpacks to more.
        BodyUnreadableError: it is not gzip / zstd, or is cut off.
    """
    if encoding is BodyEncoding.IDENTITY:
        plain = body
    elif encoding is BodyEncoding.GZIP:
        plain = _gunzipped(body, max_bytes)
    else:
        plain = _unzstd(body, max_bytes)
    if len(plain) > max_bytes:
        raise BodyTooLargeError
    return plain


def _gunzipped(body: bytes, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    room = max_bytes + 1
    view = memoryview(body)
    at = members = 0
    member = None
    while at < len(view) and room > 0:  # a gzip file may hold several members
        if member is None or member.eof:
            member = zlib.decompressobj(_GZIP_WINDOW_BITS)
            members += 1
        if members > _GZIP_MEMBERS_MAX:
            raise BodyUnreadableError(f"the gzip body has over {_GZIP_MEMBERS_MAX} members", "bad_encoding")
        piece = view[at : at + _GZIP_PIECE_BYTES]
        try:
            part = member.decompress(piece, room)
        except zlib.error as error:
            raise BodyUnreadableError("the body is not valid gzip", "bad_encoding") from error
        parts.append(part)
        room -= len(part)
        at += len(piece) - len(member.unused_data) - len(member.unconsumed_tail)
    if member is not None and not member.eof and room > 0:
        raise BodyUnreadableError("the gzip body is cut off", "bad_encoding")
    return b"".join(parts)


def _unzstd(body: bytes, max_bytes: int) -> bytes:
    try:
        declared = zstandard.get_frame_parameters(body).content_size
        if (
            declared not in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR)
            and declared > max_bytes
        ):
            raise BodyTooLargeError  # before the decompressor allocates what the header asks for
        return _unzstd_into(body, max_bytes)
    except zstandard.ZstdError as error:
        raise BodyUnreadableError(
            "the body is not one valid zstd frame with a window of at most 8 MiB", "bad_encoding"
        ) from error


def _unzstd_into(body: bytes, max_bytes: int) -> bytes:
    """The frame's content. A frame without its size gets a buffer that grows: it is allocated before it is filled."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX_BYTES)
    room = min(max_bytes + 1, _ZSTD_FIRST_ROOM_BYTES)
    while True:
        try:
            return decompressor.decompress(body, max_output_size=room, allow_extra_data=False)
        except zstandard.ZstdError as error:
            if "did not decompress full frame" not in str(error):
                raise
            if room > max_bytes:  # the output buffer was full
                raise _full_or_cut_off(body, max_bytes) from error
            room = min(max_bytes + 1, room * 8)


def _full_or_cut_off(body: bytes, max_bytes: int) -> BodyTooLargeError | BodyUnreadableError:
    """Which of the two it was: reads on until the limit, a piece at a time."""
    reader = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX_BYTES).stream_reader(body)
    seen = 0
    while piece := reader.read(1024 * 1024):
        seen += len(piece)
        if seen > max_bytes:
            return BodyTooLargeError()
    return BodyUnreadableError("the zstd body is cut off", "bad_encoding")


def check_counts(plain: bytes, body_format: BodyFormat, *, events_max: int, values_max: int) -> None:
    """Refuse, before it is parsed, a body that would become more objects than it may.

    Parsed and judged, 64 MiB of `[],[],…` cost 2 GB; refused here, 64 MiB. Every value but the first follows a
    comma or a bracket, so these bound the objects; those in strings count too. Counting costs 0.3 µs per event,
    and bodies of fewer bytes than values nothing.

    Raises:
        BodyTooManyError: there are more lines or values.
    """
    if body_format is BodyFormat.NDJSON and plain.count(b"\n") > events_max:
        lines = islice(_LINE.finditer(plain), events_max, None)
        if next(lines, None) is not None:
            raise too_many_events(events_max)
    if len(plain) > values_max and sum(map(plain.count, _BEFORE_VALUES)) > values_max:
        raise BodyTooManyError(
            "too_many_values", f"a body may hold {values_max} commas and opening brackets: send several"
        )


def too_many_events(events_max: int) -> BodyTooManyError:
    """What a batch of more events is refused with."""
    return BodyTooManyError("too_many_events", f"a batch may hold {events_max} events: send several")


def parsed(plain: bytes, body_format: BodyFormat) -> Deliveries:
    """The deliveries of an unpacked body.

    Raises:
        BodyUnreadableError: the body as a whole is not JSON (or not an array where one is due).
    """
    if body_format is BodyFormat.NDJSON:
        return _parsed_lines(ndjson_lines(plain))
    try:
        value = orjson.loads(plain)
    except orjson.JSONDecodeError as error:
        raise BodyUnreadableError(_json_reason(error)) from error
    if body_format is BodyFormat.JSON:
        return Deliveries([value], {})
    if not isinstance(value, list):
        raise BodyUnreadableError(
            "a batch is a JSON array of events, or NDJSON with its own content type", "not_an_array"
        )
    return Deliveries(value, {})


def _parsed_lines(lines: list[bytes]) -> Deliveries:
    try:
        return Deliveries(list(map(orjson.loads, lines)), {})
    except orjson.JSONDecodeError:
        pass
    events: list[Any] = []
    unparsed: dict[int, str] = {}
    for place, line in enumerate(lines):
        try:
            events.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            events.append(None)
            unparsed[place] = _json_reason(error)
    return Deliveries(events, unparsed)


def ndjson_lines(plain: bytes) -> list[bytes]:
    """The lines that are not blank. Only a line feed parts lines: strings may hold U+2028 and the like."""
    return [line for line in plain.split(b"\n") if line.strip(_JSON_SPACE)]


def raw_deliveries(plain: bytes, body_format: BodyFormat) -> list[bytes]:
    """The very bytes of each delivery of a parseable body, in the order `parsed` gives them."""
    if body_format is BodyFormat.NDJSON:
        return [line.strip(_JSON_SPACE) for line in ndjson_lines(plain)]
    if body_format is BodyFormat.ARRAY:
        return list(_array_elements(plain))
    return [plain]


def _array_elements(plain: bytes) -> Iterator[bytes]:
    depth = 0
    start = 0
    for match in _STRUCTURE.finditer(plain):
        token = match.group()
        if token in (b"[", b"{"):
            depth += 1
            if depth == 1:
                start = match.end()
        elif token in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                last = plain[start : match.start()].strip(_JSON_SPACE)
                if last:  # an empty array has none
                    yield last
                return
        elif token == b"," and depth == 1:
            yield plain[start : match.start()].strip(_JSON_SPACE)
            start = match.end()


def has_wide_integer(raw: bytes) -> bool:
    """Whether an integer beyond 64 bits is written in it: parsing would round it in silence."""
    numbers = _LONG_INTEGER.findall(_STRING.sub(b'""', raw))
    return any(map(_is_wide, numbers))


def _is_wide(number: bytes) -> bool:
    has_too_many_digits = len(number.lstrip(b"-")) > _INTEGER_MAX_DIGITS  # JSON allows no leading zeros
    return has_too_many_digits or not _INTEGER_MIN <= int(number) <= _INTEGER_MAX


def _json_reason(error: orjson.JSONDecodeError) -> str:
    return f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
