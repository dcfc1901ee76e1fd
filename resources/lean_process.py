"""Keeping a process small whose memory counts: libraries left out, one heap instead of one per thread."""

from __future__ import annotations

import ctypes
import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_M_ARENA_MAX = -8  # malloc.h


class _Absent(MetaPathFinder):
    """Says of one library that there is none."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse the library; leave every other name to the finders behind."""
        if fullname == self._name:
            raise ModuleNotFoundError(f"{self._name} is left out of this process", name=self._name)
        return None


def share_one_heap() -> None:
    """Let all threads allocate from the C library's one heap. Call it before threads start.

    Freed pages then serve whoever allocates next; with a heap per thread door and lander held 30 MB more. Other C
    libraries than glibc have no such heaps.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def leave_out(name: str) -> None:
    """Make imports of a library that is not loaded yet fail from now on, in this process alone."""
    sys.meta_path.insert(0, _Absent(name))
