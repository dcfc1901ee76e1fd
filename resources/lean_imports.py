"""Leaving optional libraries out of a process whose memory counts, as if they were not installed."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


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


def leave_out(name: str) -> None:
    """Make imports of a library that is not loaded yet fail from now on, in this process alone."""
    sys.meta_path.insert(0, _Absent(name))
