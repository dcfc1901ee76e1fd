"""Lines on their way into a CSV reader, so that a row's own text is at hand when the reader gives its values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class TakenLines:
    """Iterates over lines and keeps them until the row they belong to is taken."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._taken.append(line)
        return line

    def take(self) -> bytes:
        """The text since the last call, without its line end; bytes that were no UTF-8 come out as they were."""
        text = self._taken[0] if len(self._taken) == 1 else "".join(self._taken)
        self._taken.clear()
        return text.rstrip("\r\n").encode("utf-8", "surrogateescape")
