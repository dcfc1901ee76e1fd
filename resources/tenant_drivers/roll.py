"""Moving tenants' planes to a version in waves, with a stop at the first plane that does not come up.

What is done already is read from the planes themselves, so a roll that was stopped or killed is resumed by
asking for it again: planes at the version are smoke-tested and passed over. How a plane is moved is the driver's.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from resources.errors import ContractError, UnMoGrowPError
from resources.registry import Plan, Registry, Tenant, TenantState
from resources.tenant_drivers.protocol import TenantDriver

VERSION_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}"  # what an image tag may be
# The smallest plans first: what breaks, breaks for those who pay least, and enterprise planes come last.
PLAN_ORDER = [Plan.STARTER, Plan.STANDARD, Plan.ENTERPRISE]
Result = Literal["moved", "was there", "failed", "not reached"]


@dataclass(frozen=True)
class Step:
    """What a roll does to one tenant, and what became of it."""

    tenant_id: str
    wave: int
    before: str | None
    result: Result = "not reached"
    seconds: float = 0.0
    reason: str | None = None
    is_back: bool | None = None  # of a failed one: whether it runs its old version again


@dataclass(frozen=True)
class RollReport:
    """A roll, tenant by tenant, in order."""

    version: str
    steps: tuple[Step, ...]

    @property
    def failed(self) -> tuple[Step, ...]:
        """Those that did not come up; the roll has stopped there."""
        return tuple(step for step in self.steps if step.result == "failed")

    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        counts = dict.fromkeys(("moved", "was there", "failed", "not reached"), 0)
        for step in self.steps:
            counts[step.result] += 1
        return {
            "version": self.version,
            "ok": counts["failed"] == counts["not reached"] == 0,
            "counts": {name.replace(" ", "_"): count for name, count in counts.items()},
            "tenants": [asdict(step) for step in self.steps],
        }


def waves(tenant_ids: Sequence[str], sizes: str) -> list[list[str]]:
    """The tenants cut into waves of these sizes (`1,5,25%`: counts, or shares of all); the last size repeats.

    Raises:
        ContractError: a size is neither a number nor a share, or nothing.
    """
    counts = [_size(text.strip(), len(tenant_ids)) for text in sizes.split(",")]
    cut: list[list[str]] = []
    start = 0
    while start < len(tenant_ids):
        end = start + counts[min(len(cut), len(counts) - 1)]
        cut.append(list(tenant_ids[start:end]))
        start = end
    return cut


def _size(text: str, total: int) -> int:
    found = re.fullmatch(r"([0-9]{1,6})(%?)", text)
    number = int(found[1]) if found else 0
    if found is None or number == 0 or (found[2] and number > 100):  # noqa: PLR2004 - per cent
        raise ContractError(f"{text!r} is no wave size; write counts and shares, as in 1,5,25%")
    return max(1, math.ceil(total * number / 100)) if found[2] else number


class Roll:
    """One roll over the planes of a registry's tenants."""

    def __init__(
        self,
        driver: TenantDriver,
        registry: Registry,
        *,
        actor: str = "cli",
        parallel: int = 1,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._driver, self._registry, self._actor = driver, registry, actor
        self._parallel, self._tell = parallel, tell
        self._stopped = threading.Event()

    def plan(self, version: str, sizes: str) -> RollReport:
        """Who would be moved in which wave, and what each runs now; nothing is touched.

        Raises:
            ContractError: the version can be no image tag, or a size is wrong.
        """
        if re.fullmatch(VERSION_PATTERN, version) is None or version == "latest":
            raise ContractError(f"{version!r} names no version; give the tag of an image, as in 1.4.0")
        tenants = sorted(self._registry.list(TenantState.ACTIVE, TenantState.SUSPENDED), key=_order)
        cut = waves([tenant.tenant_id for tenant in tenants], sizes)
        steps = (
            Step(tenant_id, number, self._driver.version(tenant_id))
            for number, wave in enumerate(cut, start=1)
            for tenant_id in wave
        )
        return RollReport(version, tuple(steps))

    def run(self, version: str, sizes: str) -> RollReport:
        """Move wave after wave; after a failed smoke test nothing that has not begun begins.

        A plane that does not come up is moved back to what it ran before. The audit trail tells of every wave
        before it begins and when it is over, and of each tenant what became of it.

        Raises:
            ContractError: as `plan`.
        """
        planned = self.plan(version, sizes)
        done: list[Step] = []
        for number in sorted({step.wave for step in planned.steps}):
            wave = [step for step in planned.steps if step.wave == number]
            if self._stopped.is_set():
                done += wave
                continue
            self._tell(f"wave {number}: {len(wave)} of {len(planned.steps)} tenants")
            told = {"wave": number, "version": version, "tenants": [step.tenant_id for step in wave]}
            self._registry.record(self._actor, "tenant.roll_wave_begun", after=told)
            with ThreadPoolExecutor(self._parallel) as pool:
                moved = list(pool.map(lambda step: self._moved(step, version), wave))
            for step in moved:
                self._record(step, version)
            results = Counter(step.result.replace(" ", "_") for step in moved)
            self._registry.record(self._actor, "tenant.roll_wave_ended", after=told | {"results": results})
            done += moved
        return RollReport(version, tuple(done))

    def _record(self, step: Step, version: str) -> None:
        if step.result in {"moved", "failed"}:
            runs = version if step.result == "moved" else (step.before if step.is_back else None)
            self._registry.record(
                self._actor,
                "tenant.rolled" if step.result == "moved" else "tenant.roll_failed",
                step.tenant_id,
                reason=step.reason,
                before={"version": step.before},
                after={"version": runs, "wave": step.wave},
            )

    def _moved(self, step: Step, version: str) -> Step:
        if self._stopped.is_set():
            return step
        began_s = time.monotonic()
        try:
            if step.before != version:
                self._driver.move_to(step.tenant_id, version)
            self._driver.smoke_test(step.tenant_id)
        except UnMoGrowPError as error:
            self._stopped.set()
            self._tell(f"{step.tenant_id} failed: {error}")
            is_back = self._is_back(step, version)
            return replace(step, result="failed", reason=str(error), is_back=is_back, seconds=_since(began_s))
        result: Result = "was there" if step.before == version else "moved"
        self._tell(f"{step.tenant_id} {result} in {_since(began_s):.1f} s")
        return replace(step, result=result, seconds=_since(began_s))

    def _is_back(self, step: Step, version: str) -> bool:
        if step.before is None or step.before == version:
            return False
        try:
            self._driver.move_to(step.tenant_id, step.before)
            self._driver.smoke_test(step.tenant_id)
        except UnMoGrowPError as error:
            self._tell(f"{step.tenant_id} is not back at {step.before}: {error}")
            return False
        return True


def _order(tenant: Tenant) -> tuple[int, str]:
    return PLAN_ORDER.index(Plan(tenant.plan)), tenant.tenant_id


def _since(began_s: float) -> float:
    return round(time.monotonic() - began_s, 2)
