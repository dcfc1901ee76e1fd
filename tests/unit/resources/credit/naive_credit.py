"""What the models mean, written a second time as slowly and plainly as can be: exact fractions, enumeration."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from itertools import pairwise, permutations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Row = tuple[tuple[str, ...], int, int, int]

TOY: list[Row] = [
    (("A", "B", "C"), 10, 0, 20),
    (("A",), 5, 0, 30),
    (("B", "C"), 3, 0, 10),
    (("A", "C"), 4, 0, 6),
    (("C",), 2, 0, 8),
]


def channels_of(rows: list[Row]) -> list[str]:
    return sorted({channel for path, *_ in rows for channel in path})


def removal_effects(rows: list[Row], order: int) -> list[Fraction]:
    """Remove each channel from the chain, send what entered it to null, solve again by elimination."""
    base = _conversion_share(rows, order, None)
    return [
        1 - _conversion_share(rows, order, channel) / base if base else Fraction(0)
        for channel in channels_of(rows)
    ]


def _conversion_share(rows: list[Row], order: int, removed: str | None) -> Fraction:
    counts: dict[tuple[str, ...], dict[object, int]] = defaultdict(lambda: defaultdict(int))
    for path, converted, _, missed in rows:
        states = [path[max(0, n - order) : n] for n in range(len(path) + 1)]
        for before, after in pairwise(states):
            counts[before][after] += converted + missed
        counts[states[-1]]["converted"] += converted
        counts[states[-1]]["missed"] += missed
    states = [state for state in counts if removed not in state and sum(counts[state].values())]
    place = {state: number for number, state in enumerate(states)}
    if () not in place:
        return Fraction(0)
    matrix = [[Fraction(int(i == j)) for j in range(len(states))] for i in range(len(states))]
    answers = []
    for i, state in enumerate(states):
        total = sum(counts[state].values())
        answers.append(Fraction(counts[state]["converted"], total))
        for after, count in counts[state].items():
            if isinstance(after, tuple) and after in place:
                matrix[i][place[after]] -= Fraction(count, total)
    return _solved(matrix, answers)[place[()]]


def _solved(matrix: list[list[Fraction]], answers: list[Fraction]) -> list[Fraction]:
    """Gauss-Jordan with exact fractions."""
    size = len(matrix)
    rows = [[*row, answer] for row, answer in zip(matrix, answers, strict=True)]
    for column in range(size):
        pivot = next(row for row in range(column, size) if rows[row][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [cell / rows[column][column] for cell in rows[column]]
        for row in range(size):
            if row != column and rows[row][column]:
                factor = rows[row][column]
                rows[row] = [a - factor * b for a, b in zip(rows[row], rows[column], strict=True)]
    return [row[-1] for row in rows]


def shapley(rows: list[Row], worth: Callable[[list[Row]], Fraction]) -> list[Fraction]:
    """Mean marginal worth over every order in which the channels can join."""
    names = channels_of(rows)
    values = dict.fromkeys(names, Fraction(0))
    orders = list(permutations(names))
    for order in orders:
        before = Fraction(0)
        for count in range(1, len(order) + 1):
            inside = [row for row in rows if set(row[0]) <= set(order[:count])]
            after = worth(inside)
            values[order[count - 1]] += after - before
            before = after
    return [values[name] / len(orders) for name in names]


def conversions_worth(rows: list[Row]) -> Fraction:
    return Fraction(sum(row[1] for row in rows))


def rate_worth(rows: list[Row]) -> Fraction:
    journeys = sum(row[1] + row[3] for row in rows)
    return Fraction(sum(row[1] for row in rows), journeys) if journeys else Fraction(0)


def removal_per_path(rows: list[Row]) -> list[Fraction]:
    """Fractribution's definition, per distinct path."""
    merged: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
    for path, converted, _, missed in rows:
        merged[path][0] += converted
        merged[path][1] += missed
    rate = {path: Fraction(won, won + lost) for path, (won, lost) in merged.items() if won + lost}
    credit = dict.fromkeys(channels_of(rows), Fraction(0))
    for path, (won, _) in merged.items():
        if not won:
            continue
        losses = [
            max(rate[path] - rate.get(path[:n] + path[n + 1 :], Fraction(0)), Fraction(0))
            for n in range(len(path))
        ]
        if not sum(losses):
            losses[-1] = Fraction(1)
        for channel, loss in zip(path, losses, strict=True):
            credit[channel] += won * loss / sum(losses)
    return [credit[name] for name in channels_of(rows)]
