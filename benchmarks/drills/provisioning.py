"""The provisioning drill: kill -9 of the run that makes or removes a tenant, in and after every single step.

A moment is an effect on the world inside a step: a file opened to write, made, moved or removed, a transaction
about to commit, a connection made, a process started (killed half a second later: it lives on without its
parent). Afterwards the tenant must look exactly as one that nobody disturbed. psutil and Dagster are needed.
"""

import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import dagster as dg
import sqlalchemy as sa

from assets.tenant_steps import DEPROVISION_STEPS, PROVISION_STEPS
from benchmarks.drills.tenant_house import House, opened_house, picture, secrets_digest, supervised
from resources.registry import TenantState
from resources.settings import Settings

AFTER = -1  # the moment when the step has succeeded
STEP_FILE = "tenant_steps.py"
FILE_EFFECTS = frozenset(
    {"os.mkdir", "os.rename", "os.remove", "os.link", "os.rmdir", "shutil.rmtree", "socket.connect"}
)
ORPHAN_AFTER_S = 0.5  # a started process is past its imports' beginning and before its end
SETTLE_S = 40.0  # as long as a smoke test waits for a plane
CHILD_TIMEOUT_S = 180.0
PLAN = "standard"


def run(
    workdir: Path, *, seed: int, say: Callable[[str], None], moments_max: int | None = None
) -> dict[str, Any]:
    """Kill at every moment of every step (or at `moments_max` of each), and compare with an undisturbed tenant."""
    started_s = time.monotonic()
    settings = Settings(home=workdir / "home", tenant_port_base=_free_port())
    rng = random.Random(seed)  # noqa: S311 - which moments, not a secret
    with opened_house(settings, workdir / "dagster") as house, supervised(settings):
        drill = _Drill(house, workdir / "dagster", say)
        calm = drill.undisturbed()
        for step in (*PROVISION_STEPS, *DEPROVISION_STEPS):
            for moment in _chosen(drill.effects[step.name], moments_max, rng):
                drill.disturb(step.name, moment)
        faults = drill.finish(calm)
    return {
        "drill": "provisioning",
        "kills": drill.kills,
        "steps": len(drill.effects),
        "moments": sum(drill.effects.values()) + len(drill.effects),
        "resumed": drill.resumed,
        "seconds": round(time.monotonic() - started_s, 1),
        "faults": faults,
        "details": drill.details,
    }


class _Drill:
    """One tenant that is disturbed through its whole life, beside one that is not."""

    def __init__(self, house: House, dagster_dir: Path, say: Callable[[str], None]) -> None:
        self._house, self._dagster_dir, self._say = house, dagster_dir, say
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["benchmarks.drills.provisioning"])  # Dagster imported once
        self.effects: dict[str, int] = {}
        self.kills, self.resumed, self.secrets_changed = 0, 0, 0
        self.details: list[str] = []
        self._alive: dict[str, Any] = {}
        self._tenant = "hurt"
        self._secrets = ""
        house.registry.request(self._tenant, PLAN, "drill")

    def undisturbed(self) -> dict[str, dict[str, Any]]:
        """What a tenant that nobody disturbs looks like, active and deleted; counts the effects of each step."""
        registry, seen = self._house.registry, {}
        registry.request("calm", PLAN, "drill")
        self._counted("calm")
        seen["active"] = self._settled("calm")
        registry.request_deletion("calm", "drill")
        self._counted("calm")
        seen["deleted"] = self._settled("calm")
        return seen

    def disturb(self, step: str, moment: int) -> None:
        """Kill the run at this moment of this step, at the latest when the step has ended."""
        if step == DEPROVISION_STEPS[0].name and not self._alive:
            self._activate()
        request = self._requested()
        self._in_a_child(_run_until_killed, step, moment, request, -signal.SIGKILL)
        self.kills += 1
        self._say(f"killed in {step}, {'after it' if moment == AFTER else f'effect {moment}'}")
        if self._of_the_hurt() and self._still_believed(request):
            self.details.append(f"a second run was asked for while {request.run_key} counted as running")
        self._house.fail_dead_runs()
        self._notice_secrets(step)

    def finish(self, calm: dict[str, dict[str, Any]]) -> dict[str, int]:
        """Let the last retry finish; what differs from the undisturbed tenant."""
        self._finish_until(TenantState.DELETED)
        seen = {"active": self._alive, "deleted": self._settled(self._tenant)}
        for when, expected in calm.items():
            self.details += [
                f"{when}: {what} is {seen[when].get(what)!r}, undisturbed {value!r}"
                for what, value in expected.items()
                if seen[when].get(what) != value
            ]
        return {
            "differences": len(self.details),
            "secrets_changed": self.secrets_changed,
        }

    def _activate(self) -> None:
        """The last retry of provisioning finishes; then the tenant is to go."""
        self._finish_until(TenantState.ACTIVE)
        self._alive = self._settled(self._tenant)
        self._house.registry.request_deletion(self._tenant, "drill")

    def _finish_until(self, state: TenantState) -> None:
        """One more run, unless the last one was killed when all was done."""
        if self._house.registry.get(self._tenant).state is not state:
            self._in_a_child(_run_and_count, "", 0, self._requested(), 0)

    def _requested(self) -> dg.RunRequest:
        if requests := self._of_the_hurt():
            return requests[0]
        self.resumed += 1  # three runs of one generation were killed: a person has to look
        ask_again = self._house.registry.request_deletion if self._alive else self._house.registry.resume
        ask_again(self._tenant, "drill")
        return self._of_the_hurt()[0]

    def _of_the_hurt(self) -> list[dg.RunRequest]:
        return [each for each in self._house.tick() if each.run_config["tenant_id"] == self._tenant]

    def _still_believed(self, request: dg.RunRequest) -> bool:
        runs = self._house.instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        return any(run.tags.get("dagster/run_key") == request.run_key for run in runs)

    def _notice_secrets(self, step: str) -> None:
        if self._alive or step == PROVISION_STEPS[0].name or step == PROVISION_STEPS[1].name:
            return  # they are being made, or going
        digest = secrets_digest(self._house, self._tenant)
        self.secrets_changed += self._secrets not in {"", digest}
        self._secrets = digest

    def _counted(self, tenant_id: str) -> None:
        request = next(each for each in self._house.tick() if each.run_config["tenant_id"] == tenant_id)
        counts = self._in_a_child(_run_and_count, "", 0, request, 0)
        self.effects |= counts

    def _in_a_child(
        self, what: Callable[..., None], step: str, moment: int, request: dg.RunRequest, expected_code: int
    ) -> dict[str, int]:
        """What the child sent; raises when it did not end as expected."""
        receiving, sending = self._processes.Pipe(duplex=False)
        arguments = (step, moment, self._house.settings, request, self._dagster_dir, sending)
        child = self._processes.Process(target=what, args=arguments)
        child.start()
        sending.close()
        child.join(CHILD_TIMEOUT_S)
        if child.exitcode != expected_code:
            child.kill()
            raise RuntimeError(f"the run ended with {child.exitcode} at moment {moment} of step {step!r}")
        with receiving:
            return cast("dict[str, int]", receiving.recv()) if expected_code == 0 else {}

    def _settled(self, tenant_id: str) -> dict[str, Any]:
        """The tenant's picture once orphans of killed runs have ended."""
        deadline_s = time.monotonic() + SETTLE_S
        seen = picture(self._house, tenant_id)
        while seen["processes"] > seen["is_running"] and time.monotonic() < deadline_s:
            time.sleep(0.2)
            seen = picture(self._house, tenant_id)
        return seen


def _chosen(effects: int, moments_max: int | None, rng: random.Random) -> list[int]:
    """The moments of a step, in order, and the one after it."""
    everything = range(effects)
    few = effects if moments_max is None else min(effects, moments_max)
    return [*sorted(rng.sample(everything, few)), AFTER]


def _run_and_count(
    _step: str, _moment: int, settings: Settings, request: Any, dagster_dir: Path, told: Any
) -> None:
    """In a process of its own: the run undisturbed; sends the number of effects of each step."""
    counts = dict.fromkeys(_names(str(request.job_name)), 0)

    def count(step: str, _is_process: bool) -> None:
        counts[step] += 1

    _log_to(dagster_dir)
    _notice_effects(count)
    with opened_house(settings, dagster_dir) as house:
        if not house.run(request).success:
            raise RuntimeError("the undisturbed run failed; its log says why")
    told.send(counts)


def _run_until_killed(
    step: str, moment: int, settings: Settings, request: Any, dagster_dir: Path, _told: Any
) -> None:
    """In a process of its own: kill -9 right before this effect of this step, or when the step has succeeded."""
    left = [moment]

    def perhaps_die(where: str, is_process: bool) -> None:
        if where != step or moment == AFTER:
            return
        left[0] -= 1
        if left[0] == -1 and is_process:
            threading.Timer(ORPHAN_AFTER_S, _die).start()
        elif left[0] == -1:
            _die()

    @dg.success_hook
    def die_after(context: dg.HookContext) -> None:
        if context.op.name == step:
            _die()

    _log_to(dagster_dir)
    _notice_effects(perhaps_die)
    with opened_house(settings, dagster_dir) as house:
        house.run(request, hooks=frozenset({die_after}))


def _log_to(directory: Path) -> None:
    """What this process says on stderr, Dagster's log of the run, goes to a file."""
    log = os.open(directory / "runs.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, sys.stderr.fileno())


def _notice_effects(tell: Callable[[str, bool], None]) -> None:
    """Call `tell(step, is_process)` right before every effect that a step of the job makes in this process."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        is_effect = event in FILE_EFFECTS or event == "subprocess.Popen"
        if (is_effect or (event == "open" and _writes(arguments))) and (step := _step_of_this_call()):
            tell(step, event == "subprocess.Popen")

    @sa.event.listens_for(sa.Engine, "commit")
    def commit(_connection: sa.Connection) -> None:
        if step := _step_of_this_call():
            tell(step, False)

    sys.addaudithook(audit)


def _writes(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], int) else 0
    return bool(flags & (os.O_WRONLY | os.O_RDWR))


def _step_of_this_call() -> str:
    """The step whose function is on the stack, or an empty string."""
    return next((name for name in _functions_of(STEP_FILE) if name in _ALL_STEPS), "")


def _functions_of(file: str) -> Iterator[str]:
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.endswith(file):
            yield frame.f_code.co_name
        frame = frame.f_back  # type: ignore[assignment] # None at the bottom ends the loop


def _names(job: str) -> list[str]:
    steps = PROVISION_STEPS if job.startswith("provision") else DEPROVISION_STEPS
    return [step.name for step in steps]


_ALL_STEPS = frozenset(step.name for step in (*PROVISION_STEPS, *DEPROVISION_STEPS))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast("int", probe.getsockname()[1])
