"""Reading a ClickHouse statement just far enough to serve it: its verb, its FORMAT, its inline data.

What belongs here: pure functions over the bytes of a statement. What does not: HTTP (`clickhouse_protocol`)
and running anything (`clickhouse_engine`); the engine's own parser has the last word on every statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from resources.embedded.clickhouse_protocol import EngineError

SYNTAX_ERROR = 62

# Linear in the text: quantifiers are possessive (`++`, `*+`), and an unterminated literal or comment takes
# the rest as one `broken` token, which the engine then refuses.
_TOKEN = re.compile(
    rb"""
      (?P<blank>  \s++ | --[^\n]*+ | \#[\ !][^\n]*+ | /\*.*?\*/ )
    | (?P<quoted> '(?:[^'\\]++|\\.|'')*+' | "(?:[^"\\]++|\\.|"")*+" | `(?:[^`\\]++|\\.|``)*+`
                | \$(?P<tag>\w*+)\$.*?\$(?P=tag)\$ )
    | (?P<broken> ['"`].*+ | /\*.*+ | \$\w*+\$.*+ )
    | (?P<word>   [A-Za-z_][\w$]*+ )
    | (?P<open>   [(\[{] )
    | (?P<close>  [)\]}] )
    | (?P<end>    ; )
    | (?P<other>  \d[\w.]*+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_DATA_GAP = re.compile(rb"[ \t\r]*\n?")
_ROW_VERBS = frozenset(
    "SELECT WITH FROM SHOW DESCRIBE DESC EXISTS EXPLAIN CHECK KILL BACKUP RESTORE".split()  # noqa: SIM905 - reads as the list it is
)
_READ_VERBS = _ROW_VERBS - {"KILL", "BACKUP", "RESTORE"}


@dataclass(frozen=True)
class Statement:
    """One statement. `data` (with `input_format`) is set for an INSERT that carries rows in a format."""

    sql: bytes
    verb: str
    is_insert: bool = False
    output_format: str | None = None
    input_format: str | None = None
    data: bytes = b""

    @property
    def returns_rows(self) -> bool:
        """Whether a result set comes back (a real server names its format in a header only then)."""
        return self.verb in _ROW_VERBS and not self.is_insert

    @property
    def only_reads(self) -> bool:
        """Whether HTTP GET may run it."""
        return self.verb in _READ_VERBS and not self.is_insert


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int
    depth: int


def parse_statement(text: bytes) -> Statement:
    """Split `text` into one statement and its inline data.

    Raises:
        EngineError: the text is empty or holds more than one statement.
    """
    top: list[_Token] = []
    ended_at = 0
    for token in _tokens(text):
        if ended_at:
            raise EngineError(
                SYNTAX_ERROR, "Multi-statements are not allowed: send one statement per request"
            )
        if token.kind == "end":
            ended_at = token.start
        elif token.depth == 0:
            top.append(token)
            if _starts_inline_data(top):
                data_from = _DATA_GAP.match(text, token.end)
                return Statement(
                    sql=text[: top[-2].start],
                    verb="INSERT",
                    is_insert=True,
                    input_format=token.text,
                    data=text[data_from.end() if data_from else token.end :],
                )
    if not top:
        raise EngineError(SYNTAX_ERROR, "Empty query: send SQL in the body or in the `query` parameter")
    words = [token.text.upper() for token in top if token.kind == "word"]
    verb = words[0] if words and top[0].kind == "word" else "SELECT" if top[0].kind == "paren" else ""
    return Statement(
        sql=text[:ended_at] if ended_at else text,
        verb=verb,
        is_insert=verb == "INSERT" or (verb == "WITH" and "INSERT" in words),
        output_format=_output_format(top),
    )


def _tokens(text: bytes) -> Iterator[_Token]:
    depth = 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind == "tag":  # the inner group of a heredoc
            kind = "quoted"
        if kind == "blank":
            continue
        if kind == "close":
            depth = max(0, depth - 1)
        value = match.group().decode("ascii", "replace") if kind in {"word", "other"} else ""
        yield _Token("paren" if kind in {"open", "close"} else kind, value, match.start(), match.end(), depth)
        if kind == "open":
            depth += 1


def _starts_inline_data(top: list[_Token]) -> bool:
    """Whether the last token is the format's name in `INSERT INTO … FORMAT <name> <data>`."""
    if len(top) < 4 or top[-1].kind != "word" or top[-2].text.upper() != "FORMAT":  # noqa: PLR2004 - INSERT t FORMAT x
        return False
    if top[-3].text.upper() in {"INTO", "TABLE", "."}:  # a table that is called `format`
        return False
    words = [token.text.upper() for token in top if token.kind == "word"]
    return words[0] == "INSERT" and not {"SELECT", "WITH", "VALUES"} & set(words)


def _output_format(top: list[_Token]) -> str | None:
    """The name in a closing `FORMAT <name>`, which may be followed by a SETTINGS clause."""
    words = [token.text.upper() for token in top]
    if "SETTINGS" in words:
        last_settings = len(words) - 1 - words[::-1].index("SETTINGS")
        if "FORMAT" not in words[last_settings:]:
            top = top[:last_settings]
    if len(top) >= 3 and top[-2].text.upper() == "FORMAT" and top[-1].kind == "word":  # noqa: PLR2004 - x FORMAT y
        return top[-1].text
    return None
