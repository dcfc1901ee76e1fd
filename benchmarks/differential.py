"""The door beside the reference validator on mutated events: `python -m benchmarks.differential --events 100000`.

Each event is judged alone and again within batches of both formats; the reference (`benchmarks.reference`) says
what is wrong with it, and the door must accept it if that is nothing, else name one of those things by code and
JSON pointer. Prints counts and differences as JSON; exit code 1 when a difference has no name in docs/contracts.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import default_settings
from benchmarks.in_process_door import TENANT, InProcessDoor, Outcome, Verdict
from benchmarks.mutations import Mutator
from benchmarks.reference import CORRECTIONS, NOT_JSON, Fault, Reference, Rules
from ingest_api import fast_lane
from ingest_api.event_log.protocol import BodyFormat
from schemas import event_versions

Judge = Callable[[bytes, BodyFormat, str], Outcome]

BATCH_EVENTS = (1, 7, 40, 300)  # 300 events are well over 64 KiB: from there on a batch's bytes are looked at
SHOWN_DIFFERENCES = 20
ALL_CORRECTIONS = frozenset(CORRECTIONS)
_SHOWN_BYTES = 2_000


class Difference(NamedTuple):
    """A verdict that the reference does not give, corrected or not."""

    version: str
    body: bytes
    judged: str
    verdict: Verdict
    faults: frozenset[Fault]

    def shown(self) -> dict[str, Any]:
        """As JSON; the body cut where it is long."""
        return {
            "version": self.version,
            "judged": self.judged,
            "body": self.body[:_SHOWN_BYTES].decode(errors="replace"),
            "verdict": self.verdict._asdict(),
            "reference": sorted(self.faults),
        }


class Comparison:
    """Compares a judge with the reference, event by event, and counts."""

    def __init__(self, judge: Judge, rules: Rules) -> None:
        self._judge = judge
        self._rules = rules
        self._stock = Reference(rules)
        self._corrected = Reference(rules, ALL_CORRECTIONS)
        self._single = {name: Reference(rules, frozenset({name})) for name in CORRECTIONS}
        self.verdicts: Counter[str] = Counter()
        self.explained: Counter[str] = Counter()
        self.batches: Counter[str] = Counter()
        self.differences: list[Difference] = []

    def alone(self, body: bytes, version: str) -> bool:
        """Judge one event as a body of its own; whether it was accepted."""
        outcome = self._judge(body, BodyFormat.JSON, version)
        [verdict] = outcome.verdicts
        if len(body) > self._rules.event_max_bytes:  # refused before it is read, and not kept
            is_agreed = (outcome.status, verdict.code) == (413, "too_large")
            faults = frozenset({("too_large", "")})
            if not is_agreed:
                self.differences.append(Difference(version, body, "alone", verdict, faults))
        else:
            self._compare(body, version, outcome.received_at_us, verdict, "alone")
        self.verdicts[verdict.code or "accepted"] += 1
        return verdict.is_accepted

    def together(self, bodies: Sequence[bytes], version: str, body_format: BodyFormat) -> None:
        """Judge events as one batch; each must get the verdict that the reference gives it."""
        is_lines = body_format is BodyFormat.NDJSON
        whole = b"\n".join(bodies) if is_lines else b"[" + b",".join(bodies) + b"]"
        outcome = self._judge(whole, body_format, version)
        if len(outcome.verdicts) != len(bodies):
            verdict = Verdict(f"{len(outcome.verdicts)} verdicts for {len(bodies)} events")
            self.differences.append(Difference(version, whole, body_format.name, verdict, frozenset()))
            return
        for body, verdict in zip(bodies, outcome.verdicts, strict=True):
            self._compare(body, version, outcome.received_at_us, verdict, body_format.name)
        kind = "all accepted" if all(verdict.is_accepted for verdict in outcome.verdicts) else "mixed"
        self.batches[f"{body_format.name}, {kind}"] += 1

    def is_json(self, body: bytes) -> bool:
        """Whether the reference can parse it."""
        return self._stock.faults(body, event_versions()[0], 0) != NOT_JSON

    def report(self) -> dict[str, Any]:
        """The counts so far."""
        return {
            "verdicts": dict(self.verdicts.most_common()),
            "batches": dict(sorted(self.batches.items())),
            "explained": dict(self.explained.most_common()),
            "unexplained": len(self.differences),
            "differences": [item.shown() for item in self.differences[:SHOWN_DIFFERENCES]],
        }

    def _compare(self, body: bytes, version: str, at_us: int, verdict: Verdict, judged: str) -> None:
        faults = self._stock.faults(body, version, at_us)
        if is_agreed(verdict, faults):
            return
        for name, reference in self._single.items():
            if is_agreed(verdict, reference.faults(body, version, at_us)):
                self.explained[name] += 1
                return
        if is_agreed(verdict, self._corrected.faults(body, version, at_us)):
            self.explained["several"] += 1
        else:
            self.differences.append(Difference(version, body, judged, verdict, faults))


def is_agreed(verdict: Verdict, faults: frozenset[Fault]) -> bool:
    """Whether a verdict is one that these faults allow."""
    return verdict in faults if faults else verdict.is_accepted


def rules_of_defaults() -> Rules:
    """The door's limits at their defaults."""
    return Rules(TENANT)


def compare_mutated(comparison: Comparison, events: int, rng: random.Random) -> None:
    """Mutated events of every version, alone and then in batches of either format, the accepted ones also apart."""
    versions = event_versions()
    mutators = {version: Mutator(rng, version) for version in versions}
    for version in versions:
        for count in _parts(events // len(versions), rng):
            bodies = [mutators[version].event() for _ in range(count)]
            accepted = [body for body in bodies if comparison.alone(body, version)]
            for part in (bodies, accepted):
                parseable = [body for body in part if comparison.is_json(body)]
                lines = [body for body in part if b"\n" not in body]
                if parseable:
                    comparison.together(parseable, version, BodyFormat.ARRAY)
                if lines:
                    comparison.together(lines, version, BodyFormat.NDJSON)


def _parts(total: int, rng: random.Random) -> Iterable[int]:
    while total > 0:
        part = min(total, rng.choice(BATCH_EVENTS))
        total -= part
        yield part


def run(events: int, seed: int, *, is_native: bool) -> dict[str, Any]:
    """The whole comparison with a door at its default settings, its native scan on or off."""
    started_at = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        settings = default_settings(Path(home), native_scan=is_native)
        with InProcessDoor(settings) as door:
            comparison = Comparison(door, rules_of_defaults())
            compare_mutated(comparison, events, random.Random(seed))  # noqa: S311 - repeatable, not a secret
    report = comparison.report()
    return {
        "events": events,
        "seed": seed,
        "native_scan": is_native and fast_lane.is_built(),
        "seconds": round(time.monotonic() - started_at, 1),
        **report,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, compare, print."""
    parser = argparse.ArgumentParser(description="The door's verdicts beside the reference validator's.")
    parser.add_argument("--events", type=int, default=100_000, help="mutated events to judge")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same mutations")
    parser.add_argument("--without-native", action="store_true", help="judge by the Python path alone")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    report = run(given.events, given.seed, is_native=not given.without_native)
    sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return 1 if report["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(main())
