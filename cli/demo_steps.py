"""The steps of the demo: stack, tenants, events, waiting for the graph. What is reported is `cli.demo_report`."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import orjson
import pyarrow as pa
import zstandard

from cli.output import stderr
from cli.sending import door_client
from cli.tenant import wait_until_settled
from resources.control_plane_client import ControlPlaneClient
from resources.embedded.rest import StackWatch
from resources.embedded.stack import stack_environment, wait_until_ready
from resources.errors import ContractError, PermanentError, ServiceUnavailableError
from resources.lake import Lake
from resources.registry import Registry
from resources.settings import APPLICATION_ROOT, Settings
from simulator.simulation import WorldName, simulate
from unmogrowp.client import batched

READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
TENANT_TIMEOUT_S = 180.0
LAND_TIMEOUT_S = 180.0
GRAPH_TIMEOUT_S = 600.0
POLL_S = 1.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class DemoWorld:
    """Events per tenant in sending order, and where the world is simulated the truth: tables by tenant and name."""

    events: dict[str, Sequence[bytes]]
    truth: dict[str, dict[str, pa.Table]] = field(default_factory=dict)


def events_of_simulation(
    tenants: Sequence[str], end_date: dt.date, *, days: int, events: int, seed: int, world: WorldName
) -> DemoWorld:
    """A simulated world of `days` complete UTC days up to `end_date`."""
    simulated = simulate(tenants, end_date=end_date, days=days, events_total=events, seed=seed, world=world)
    return DemoWorld(
        events={one.tenant_id: one.deliveries for one in simulated.tenants},
        truth={one.tenant_id: one.truth for one in simulated.tenants},
    )


def events_of_file(path: Path) -> DemoWorld:
    """NDJSON events (zstd by the suffix .zst), grouped by their tenantId.

    Raises:
        ContractError: the file is missing, or a line is not a JSON object with a tenantId.
    """
    if not path.is_file():
        raise ContractError(f"{path} is no file: --from takes NDJSON events, optionally .zst")
    content = path.read_bytes()
    text = zstandard.ZstdDecompressor().stream_reader(content).read() if path.suffix == ".zst" else content
    events: dict[str, list[bytes]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            events.setdefault(orjson.loads(line)["tenantId"], []).append(line)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ContractError(f"{path} line {number} is no JSON object with a tenantId") from error
    return DemoWorld(events=dict(events))


class Demo:
    """One demo over one home: runs the steps and times them."""

    def __init__(self, settings: Settings, *, quiet: bool) -> None:
        self.settings, self._quiet = settings, quiet
        self.seconds: dict[str, float] = {}
        self._stack: subprocess.Popen[bytes] | None = None

    def timed(self, step: str, work: Callable[[], Result]) -> Result:
        """Run a step, with a spinner for people, and remember its seconds."""
        started = time.monotonic()
        with stderr.status(f"{step} …") if not self._quiet else _Silent():
            result = work()
        self.seconds[step] = round(time.monotonic() - started, 1)
        if not self._quiet:
            stderr.print(f"[green]✓[/] {step} [dim]{self.seconds[step]:.1f} s[/]")
        return result

    def run(self, world: DemoWorld) -> None:
        """Every step from an empty home to marts and scores at each tenant."""
        self.timed("stack up", self._start)
        self.timed("tenants provisioned", lambda: self._provision(list(world.events)))
        self.timed("events sent", lambda: self._send(world))
        self.timed("events landed", lambda: self._wait_landed(world))
        self.timed("assets materialised", lambda: self._wait_graph(list(world.events)))

    def stop(self) -> None:
        """End the stack and wait for its processes; its home stays for a look."""
        if self._stack is not None:
            self._stack.terminate()
            self._stack.wait(timeout=STOP_TIMEOUT_S)
            (self.settings.home / "stack.json").unlink(missing_ok=True)

    def _start(self) -> None:
        self.settings.home.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "cli.main",
            "up",
            "--log-file",
            str(self.settings.home / "stack.log"),
        ]
        with (self.settings.home / "up.log").open("wb") as log:
            self._stack = subprocess.Popen(  # noqa: S603 - our own command
                command,
                env=stack_environment(self.settings),
                cwd=APPLICATION_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until_ready(self.settings, READY_TIMEOUT_S, alive=self._alive)

    def _alive(self) -> bool:
        return self._stack is not None and self._stack.poll() is None

    def _provision(self, tenants: Sequence[str]) -> None:
        client = ControlPlaneClient(self.settings)
        for tenant_id in tenants:
            client.call("POST", "/v1/tenants", {"tenantId": tenant_id, "plan": "standard"})
        for tenant_id in tenants:
            tenant = wait_until_settled(client, tenant_id, TENANT_TIMEOUT_S)
            if tenant["state"] != "active":
                raise PermanentError(f"tenant {tenant_id} is {tenant['state']}: {tenant.get('reason')}")

    def _send(self, world: DemoWorld) -> None:
        registry = Registry.from_settings(self.settings)
        for tenant_id, lines in world.events.items():
            with door_client(self.settings, registry, tenant_id, connections=2) as client:
                client.send(batched(lines))

    def _wait_landed(self, world: DemoWorld) -> None:
        lake = Lake(self.settings)
        sent = sum(len(lines) for lines in world.events.values())
        deadline = time.monotonic() + LAND_TIMEOUT_S
        while (landed := landed_rows(lake)) < sent:
            if time.monotonic() > deadline or not self._alive():
                raise ServiceUnavailableError(f"{landed:,} of {sent:,} events landed: is the lander running?")
            time.sleep(POLL_S)

    def _wait_graph(self, tenants: Sequence[str]) -> None:
        watch = StackWatch(self.settings)

        def check() -> None:
            if not self._alive():
                raise ServiceUnavailableError("the stack ended: a process of it failed")
            for run in watch.dagster.runs(statuses=("FAILURE",)):
                raise PermanentError(
                    f"run {run.run_id} of {run.job} failed: {watch.dagster.failure(run.run_id)}"
                )

        watch.wait(GRAPH_TIMEOUT_S, check)
        trained = {run.tags["unmogrowp/tenant"] for run in watch.dagster.runs(job="train_job")}
        missing = sorted(set(tenants) - trained)
        if missing:
            raise PermanentError(
                f"no model was trained for {', '.join(missing)}: their events give too few labels"
            )


def landed_rows(lake: Lake) -> int:
    """Rows of raw.events and raw.quarantine, from their snapshots' totals."""
    total = 0
    for name in ("raw.events", "raw.quarantine"):
        snapshot = lake.table(name).current_snapshot()
        if snapshot is not None and snapshot.summary is not None:
            total += int(snapshot.summary["total-records"] or 0)
    return total


class _Silent:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
