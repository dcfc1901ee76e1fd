"""The exports drill: kill -9 of an export at its every effect, and a receiver that is down, fails, hangs or refuses.

A tenant `hurt` has a plane and a webhook, a tenant `calm` a plane. After each disturbance everything must have arrived,
each content once by its key, with one body; the files must be the bytes of an undisturbed home; and `calm` must have
got what it gets anyway, in the same order and in one attempt each.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

from assets.export_delivery import Doors
from assets.redelivery import redeliver_due
from benchmarks.drills.export_house import (
    HANG_TIMEOUT_S,
    SLICES,
    TIMEOUT_S,
    House,
    export_once,
    make_tenant,
    shelf,
)
from benchmarks.drills.receivers import DOWN, HANG, OK, Receiver, receiving
from resources.registry.circuits import COOL_DOWN_MAX
from resources.registry.delivery_store import RETRY_MAX, DeliveryState

HURT, CALM = "hurt", "calm"
OUTAGES = (DOWN, "500", HANG)
FILE_EFFECTS = frozenset({"os.mkdir", "os.rename", "os.remove", "socket.connect"})
CHILD_TIMEOUT_S = 120.0
LATER = max(RETRY_MAX, COOL_DOWN_MAX) + dt.timedelta(minutes=1)  # by then everything that waits is due


def run(
    workdir: Path, *, seed: int, say: Callable[[str], None], moments_max: int | None = None
) -> dict[str, Any]:
    """Disturb, and compare with what an undisturbed home has."""
    started_s = time.monotonic()
    with receiving() as plane, receiving() as hook, receiving() as calm:
        drill = _Drill(workdir, plane, hook, calm, say)
        drill.kill_everywhere(random.Random(seed), moments_max)  # noqa: S311 - which moments, not a secret
        for mood in OUTAGES:
            drill.outage(mood)
        drill.refusal()
        faults = drill.judge(workdir / "undisturbed")
        return {
            "drill": "exports",
            "kills": drill.kills,
            "effects": drill.effects,
            "rounds": drill.rounds,
            "contents": drill.rounds * SLICES,
            "arrived_at_plane": len(plane.arrived),
            "arrived_at_webhook": len(hook.arrived),
            "announced_restatements": sum(one["type"] == "export.restated" for one in hook.messages()),
            "calm_ms": drill.calm_ms,
            "seconds": round(time.monotonic() - started_s, 1),
            "faults": faults,
            "details": drill.details,
        }


class _Drill:
    """Two tenants through rounds of new content, one of them disturbed."""

    def __init__(
        self, workdir: Path, plane: Receiver, hook: Receiver, calm: Receiver, say: Callable[[str], None]
    ) -> None:
        self._plane, self._hook, self._calm, self._say = plane, hook, calm, say
        self.house = House(workdir / "home", frozenset({hook.host}))
        self._doors = self.house.doors()
        self._doors.registry.migrate()
        for tenant, receiver in ((HURT, plane), (CALM, calm)):
            make_tenant(self._doors, self.house.settings, tenant, receiver.url)
        self._doors.book.add_webhook(HURT, hook.url, "drill")
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["benchmarks.drills.exports"])
        self.kills = self.effects = self.rounds = self.unexpected = 0
        self.calm_ms: dict[str, float] = {}
        self.details: list[str] = []

    def kill_everywhere(self, rng: random.Random, moments_max: int | None) -> None:
        """A round of new content per moment: killed right before it, then run again."""
        self._calm_round("undisturbed")
        self.effects = self._in_a_child(_export_and_count, 0, 0)
        few = self.effects if moments_max is None else min(self.effects, moments_max)
        self.rounds += 1
        for moment in sorted(rng.sample(range(self.effects), few)):
            self._in_a_child(_export_until_killed, moment, -signal.SIGKILL)
            self.kills += 1
            outcome = export_once(self._doors, HURT, self.rounds)
            self._expect(not outcome.waiting and not outcome.dead, f"after kill {moment}: {outcome}")
            self.rounds += 1
            self._say(f"killed before effect {moment} of {self.effects}, and run again")

    def outage(self, mood: str) -> None:
        """Both receivers of `hurt` fail while both tenants export; then they are back, and time passes."""
        self._plane.mood = self._hook.mood = mood
        impatient = self.house.doors(HANG_TIMEOUT_S if mood == HANG else TIMEOUT_S)
        outcome = export_once(impatient, HURT, self.rounds)
        impatient.registry.close()
        self.rounds += 1
        self._expect(len(outcome.waiting) == 2 * SLICES, f"{mood}: {len(outcome.waiting)} deliveries wait")
        circuits = {one.destination_id for one in self._doors.registry.circuits(HURT) if one.circuit.retry_at}
        self._expect(len(circuits) == 2, f"{mood}: the circuits of {circuits} are open")
        self._calm_round(mood)
        self._plane.mood = self._hook.mood = OK
        self._redeliver()
        self._say(f"receivers were {mood}, and got everything afterwards")

    def refusal(self) -> None:
        """The plane refuses; what it refused is dead, is replayed under the same keys, and is taken."""
        self._plane.mood = "422"
        export_once(self._doors, HURT, self.rounds)
        self.rounds += 1
        registry = self._doors.registry
        dead = registry.undelivered(HURT, DeliveryState.DEAD)
        self._expect(len(dead) == SLICES, f"refused: {len(dead)} dead deliveries")
        self._plane.mood = OK
        for one in dead:
            registry.replay_delivery(HURT, one.delivery_id, "drill")
        self._redeliver()
        lost = [one.idempotency_key for one in dead if not self._plane.effects[one.idempotency_key]]
        self._expect(not lost, f"replayed under other keys: {lost}")
        self._say("a refused export was replayed")

    def judge(self, undisturbed: Path) -> dict[str, int]:
        """What must not be, counted."""
        contents = self.rounds * SLICES
        left = [one for tenant in (HURT, CALM) for one in self._doors.registry.undelivered(tenant)]
        receivers = (self._plane, self._hook)
        calm_contents, calm_keys = len(self.calm_ms) * SLICES, [one.key for one in self._calm.arrived]
        faults = {
            "lost": sum(max(contents - len(receiver.effects), 0) for receiver in receivers),
            "twice": sum(max(len(receiver.effects) - contents, 0) for receiver in receivers),
            "keys_with_two_bodies": sum(
                len(bodies) > 1 for receiver in receivers for bodies in receiver.bodies.values()
            ),
            "left_undelivered": len(left),
            "files_that_differ": self._differences(undisturbed),
            "wrong_announcements": self._wrong_announcements(),
            "calm_attempts_beyond_one": len(self._calm.arrived) - calm_contents,
            "calm_out_of_order": int(calm_keys != sorted(calm_keys, key=_round_of)),
            "surprises": self.unexpected,
        }
        self._doors.registry.close()
        return faults

    def _calm_round(self, name: str) -> None:
        number, began_s = len(self.calm_ms), time.perf_counter()
        outcome = export_once(self._doors, CALM, number)
        self.calm_ms[name] = round((time.perf_counter() - began_s) * 1000, 1)
        self._expect(
            len(outcome.delivered) == SLICES, f"calm while {name}: {len(outcome.delivered)} delivered"
        )

    def _redeliver(self) -> None:
        """What the sensor and its job do, once everything is due."""
        registry = cast("Any", self._doors.registry)
        registry.later = LATER
        while HURT in registry.due_tenants():
            outcome = redeliver_due(self._doors, HURT, "redelivery")
            if not outcome.delivered:
                self._expect(False, f"nothing of what is due was delivered: {outcome}")
                break
        registry.later = dt.timedelta()

    def _differences(self, undisturbed: Path) -> int:
        """Files that are not what a home has in which every round was made once and nothing sent."""
        quiet = House(undisturbed, frozenset()).doors()
        quiet.registry.migrate()
        quiet.registry.request(HURT, "standard", "drill")
        for number in range(self.rounds):
            export_once(quiet, HURT, number)
        quiet.registry.close()
        mine, theirs = shelf(self._doors.store, HURT), shelf(quiet.store, HURT)
        differing = sorted(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
        self.details += [f"{key} is not what an undisturbed home has" for key in differing]
        return len(differing)

    def _wrong_announcements(self) -> int:
        """Messages whose type or manifest does not say what the restatement is; restatements never announced."""
        told = [message["data"] | {"type": message["type"]} for message in self._hook.messages()]
        wrong = sum(
            (one["type"] == "export.restated") is not (one["restatement"] > 0)
            or one["manifest"]["restatement"] != one["restatement"]
            for one in told
        )
        announced = {(one["mart"], one["date"], one["restatement"]) for one in told}
        return int(wrong) + self.rounds * SLICES - len(announced)

    def _expect(self, is_so: bool, what: str) -> None:
        if not is_so:
            self.unexpected += 1
            self.details.append(what)

    def _in_a_child(self, what: Callable[..., None], moment: int, expected_code: int) -> int:
        """What the child sent; raises when it did not end as expected."""
        receiving_end, sending_end = self._processes.Pipe(duplex=False)
        child = self._processes.Process(target=what, args=(self.house, self.rounds, moment, sending_end))
        child.start()
        sending_end.close()
        child.join(CHILD_TIMEOUT_S)
        if child.exitcode != expected_code:
            child.kill()
            raise RuntimeError(f"the export ended with {child.exitcode} at moment {moment}")
        with receiving_end:
            return int(receiving_end.recv()) if expected_code == 0 else 0


def _export_and_count(house: House, number: int, _moment: int, told: Any) -> None:
    """In a process of its own: an export undisturbed; sends the number of its effects."""
    effects = 0

    def count() -> None:
        nonlocal effects
        effects += 1

    doors = house.doors()
    _notice_effects(count)
    export_once(doors, HURT, number)
    told.send(effects)


def _export_until_killed(house: House, number: int, moment: int, _told: Any) -> None:
    """In a process of its own: kill -9 right before this effect; again from the start when there are fewer."""
    left = moment

    def perhaps_die() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    doors: Doors = house.doors()
    _notice_effects(perhaps_die)
    with contextlib.suppress(Exception):
        export_once(doors, HURT, number)
    os.kill(os.getpid(), signal.SIGKILL)  # it was done before: killed at the end


def _notice_effects(tell: Callable[[], None]) -> None:
    """Call `tell` right before every effect: a file opened to write, made, moved, a connection, a transaction."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_EFFECTS or (event == "open" and _writes(arguments)):
            tell()

    @sa.event.listens_for(sa.Engine, "commit")
    def commit(_connection: sa.Connection) -> None:
        tell()

    sys.addaudithook(audit)


def _writes(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], int) else 0
    return bool(flags & (os.O_WRONLY | os.O_RDWR))


def _round_of(key: str) -> int:
    """The restatement that a key names: rounds come one after the other."""
    return int(key.split(":", 4)[3])
