"""Journeys grouped by path: what every model of multi-touch credit takes. How credit is given is not here.

Equal paths are one row, so a model's cost grows with distinct paths and not with users. Rows and channels are in a
canonical order: the same journeys in any order give the same numbers, to the bit.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from resources.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MAX_TOUCHES = 500  # a journey's most recent touches; the SQL models cap it at the same place
MAX_INT64 = 2**63 - 1
_PACKED_LIMIT = 2**62  # room in an int64 for a path written as a number in base `channels`


@dataclass(frozen=True)
class GroupedPaths:
    """Distinct paths and what became of their journeys; one element per path unless said otherwise.

    Attributes:
        channels: every channel's name, sorted; a code is an index into it.
        codes: the channels of all touches, path after path.
        ends: `ends[p]:ends[p + 1]` are path p's touches (one element more than there are paths).
        conversions: journeys that converted.
        value_micros: what they brought, in integer micros.
        nulls: journeys that did not convert.
        ages_days: per touch, days before the conversion; None where no times are known.
        milestones: per path the touches that led to (registration, first purchase), from 1, 0 if unknown;
            None where none is known.
    """

    channels: tuple[str, ...]
    codes: IntArray
    ends: IntArray
    conversions: IntArray
    value_micros: IntArray
    nulls: IntArray
    ages_days: FloatArray | None = None
    milestones: IntArray | None = None

    @cached_property
    def lengths(self) -> IntArray:
        """Touches per path."""
        return np.diff(self.ends)

    @cached_property
    def touch_paths(self) -> IntArray:
        """Per touch, its path."""
        return np.repeat(np.arange(len(self.conversions)), self.lengths)

    @cached_property
    def touch_positions(self) -> IntArray:
        """Per touch, its place in its path, from 0."""
        return np.arange(len(self.codes)) - np.repeat(self.ends[:-1], self.lengths)

    @property
    def total_conversions(self) -> int:
        """Journeys that converted, of all paths."""
        return int(self.conversions.sum())

    @property
    def total_value_micros(self) -> int:
        """Value of all paths, in micros."""
        return int(self.value_micros.sum())

    def without_details(self) -> GroupedPaths:
        """The same journeys without ages and milestones: paths that differed in those alone become one."""
        if self.ages_days is None and self.milestones is None:
            return self
        return merged(replace(self, ages_days=None, milestones=None))


class PathBuilder:
    """Collects rows of journeys compactly (4 bytes per touch, 28 per row) and groups them."""

    def __init__(self) -> None:
        self._channel_codes: dict[str, int] = {}
        self._codes, self._ends = array("i"), array("q", [0])
        self._conversions, self._values, self._nulls = array("q"), array("q"), array("q")
        self._ages, self._milestones = array("d"), array("i")
        self._value_sum = self._journey_sum = 0
        self.shortened_rows = 0

    def add(
        self,
        channels: Sequence[str],
        *,
        conversions: int,
        value_micros: int = 0,
        nulls: int = 0,
        ages_days: Sequence[float] = (),
        milestones: tuple[int, int] = (0, 0),
    ) -> None:
        """One row; of more than 500 touches the most recent count.

        Raises:
            ContractError: a path without touches, a negative count, value without a conversion, ages that are not
                one per touch, a milestone outside the path, or sums that do not fit 64 bits.
        """
        count = len(channels)
        _check(count, (conversions, nulls), value_micros, ages_days, milestones)
        self._journey_sum += conversions + nulls
        self._value_sum += abs(value_micros)
        if max(self._journey_sum, self._value_sum) > MAX_INT64:
            raise ContractError("the rows sum to more than 2^63 journeys or micros: split them")
        cut = max(count - MAX_TOUCHES, 0)
        self.shortened_rows += cut > 0
        known = self._channel_codes
        self._codes.extend([known.setdefault(name, len(known)) for name in channels[cut:]])
        self._ends.append(len(self._codes))
        self._conversions.append(conversions)
        self._values.append(value_micros)
        self._nulls.append(nulls)
        self._ages.extend(ages_days[cut:])
        self._milestones.extend([max(milestone - cut, 0) for milestone in milestones])

    def build(self) -> GroupedPaths:
        """The rows added so far, equal paths merged.

        Raises:
            ContractError: some rows came with ages and some without.
        """
        codes = _array(self._codes, np.intc)
        ages = np.array(self._ages, np.float64) if self._ages else None
        if ages is not None and len(ages) != len(codes):
            raise ContractError("some paths have ages and some have none: give all or none")
        return canonical(
            GroupedPaths(
                channels=tuple(self._channel_codes),
                codes=codes,
                ends=_array(self._ends, np.int64),
                conversions=_array(self._conversions, np.int64),
                value_micros=_array(self._values, np.int64),
                nulls=_array(self._nulls, np.int64),
                ages_days=ages,
                milestones=_array(self._milestones, np.intc).reshape(-1, 2),
            )
        )


def canonical(rows: GroupedPaths) -> GroupedPaths:
    """Rows in any order, channels in any order and perhaps unused, as paths in the one order there is.

    Rows with ages or milestones are kept apart and as they came; only `without_details` merges those.
    """
    used = np.flatnonzero(np.bincount(rows.codes, minlength=len(rows.channels)))
    names = sorted(rows.channels[code] for code in used)
    place = {name: number for number, name in enumerate(names)}
    rank = np.array([place.get(name, -1) for name in rows.channels], np.int64)
    has_milestones = rows.milestones is not None and bool(rows.milestones.any())
    paths = replace(
        rows,
        channels=tuple(names),
        codes=rank[rows.codes] if names else rows.codes,
        milestones=rows.milestones if has_milestones else None,
    )
    return paths if paths.ages_days is not None or has_milestones else merged(paths)


def group_paths(rows: Iterable[tuple[Sequence[str], int, int, int]]) -> GroupedPaths:
    """Rows of (channels, conversions, value in micros, nulls) as grouped paths.

    Raises:
        ContractError: a row is none; the sentence says why.
    """
    builder = PathBuilder()
    for channels, conversions, value_micros, nulls in rows:
        builder.add(channels, conversions=conversions, value_micros=value_micros, nulls=nulls)
    return builder.build()


def merged(paths: GroupedPaths) -> GroupedPaths:
    """Equal paths as one, ordered by length and then by channels."""
    lengths, codes, ends = paths.lengths, [], [np.zeros(1, np.int64)]
    sums: list[list[IntArray]] = [[], [], []]
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        touches = paths.codes[paths.ends[rows][:, None] + np.arange(length)]
        first, group_of_row = _groups(touches, len(paths.channels))
        codes.append(touches[first].ravel())
        ends.append(ends[-1][-1] + length * np.arange(1, len(first) + 1))
        for column, collected in zip((paths.conversions, paths.value_micros, paths.nulls), sums, strict=True):
            total = np.zeros(len(first), np.int64)
            np.add.at(total, group_of_row, column[rows])
            collected.append(total)
    conversions, value_micros, nulls = (np.concatenate([np.zeros(0, np.int64), *column]) for column in sums)
    return replace(
        paths,
        codes=np.concatenate([np.zeros(0, np.int64), *codes]),
        ends=np.concatenate(ends),
        conversions=conversions,
        value_micros=value_micros,
        nulls=nulls,
    )


def weighted_counts(bins: IntArray, weights: FloatArray | IntArray, bin_count: int) -> FloatArray:
    """Per bin the sum of the weights; `np.bincount` with weights, which is float64 whatever its stub says."""
    return np.bincount(bins, weights=weights, minlength=bin_count).astype(np.float64, copy=False)


def _groups(touches: IntArray, base: int) -> tuple[IntArray, IntArray]:
    """Of equal-length paths (rows): a row of each distinct path, in order, and each row's distinct path.

    A path is read as a number in base `base`; when it outgrows 62 bits, its rank among the prefixes stands in. That
    sorts integers where `np.unique(axis=0)` compares rows.
    """
    packed, size = np.zeros(len(touches), np.int64), 1
    for column in touches.T:
        if size * base > _PACKED_LIMIT:
            prefixes, packed = np.unique(packed, return_inverse=True)
            size = len(prefixes)
        packed = packed * base + column
        size *= base
    _, first, group_of_row = np.unique(packed, return_index=True, return_inverse=True)
    return first, group_of_row


def _check(
    count: int,
    journeys: tuple[int, int],
    value_micros: int,
    ages_days: Sequence[float],
    milestones: tuple[int, int],
) -> None:
    if not count:
        raise ContractError(
            "a path has no touch: give a journey without one a channel of its own, e.g. organic"
        )
    if min(journeys) < 0:
        raise ContractError("conversions and nulls are counts of journeys: they cannot be negative")
    if value_micros and not journeys[0]:
        raise ContractError("a path has value and no conversion: value comes with conversions")
    if ages_days and len(ages_days) != count:
        raise ContractError(f"{len(ages_days)} ages for {count} touches: give one per touch")
    if not all(0 <= milestone <= count for milestone in milestones):
        raise ContractError(
            f"a milestone is none of the path's touches 1 to {count}: leave an unknown one out"
        )


def _array(buffer: array[int], kind: type[np.signedinteger]) -> IntArray:
    """A copy as int64: numpy's index type, and the buffer may grow on."""
    return np.array(buffer, dtype=kind).astype(np.int64)
