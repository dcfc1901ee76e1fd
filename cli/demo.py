"""`unmogrowp demo`: the main job end to end on this machine, in a fresh home, with a report."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.demo_page import write_page
from cli.demo_report import build_report
from cli.demo_steps import Demo, events_of_file, events_of_simulation
from cli.demo_tables import render_report
from cli.output import emit, fail
from cli.stack import JsonOption
from resources.embedded.stack import running_stack, stop_stack, with_free_ports
from resources.errors import UnMoGrowPError
from resources.settings import load_settings
from simulator.simulation import WorldName


def demo_command(
    *,
    tenants: Annotated[int, typer.Option(min=1, max=20)] = 2,
    days: Annotated[int, typer.Option(min=1, max=29, help="complete UTC days, the last is yesterday")] = 7,
    events: Annotated[int, typer.Option(min=100, help="deliveries of all tenants together")] = 60_000,
    seed: Annotated[int, typer.Option(help="the same seed makes the same world")] = 7,
    world: Annotated[
        WorldName, typer.Option(help="plain: ids match every touch; full: NAT, fraud, returns, wrong clocks")
    ] = "plain",
    source: Annotated[
        Path | None, typer.Option("--from", help="NDJSON events instead of simulated ones")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="leave the stack running")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fresh home, whole stack, tenants, events through HTTP, every asset, marts and scores at each tenant."""
    home = load_settings().home / "demo"
    if running_stack(load_settings().with_changes(home=home)) is not None:
        stop_stack(load_settings().with_changes(home=home))
    shutil.rmtree(home, ignore_errors=True)
    settings = with_free_ports(load_settings().with_changes(home=home))
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    demo = Demo(settings, quiet=as_json)
    try:
        if source is not None:
            sent = events_of_file(source)
        else:
            names = [f"t{number + 1}" for number in range(tenants)]
            sizes: dict[str, Any] = {"days": days, "events": events, "seed": seed, "world": world}
            sent = demo.timed("simulate", lambda: events_of_simulation(names, yesterday, **sizes))
        demo.run(sent)
        report: dict[str, Any] = demo.timed("report", lambda: build_report(demo, sent))
        report["seconds"] = demo.seconds
        report["kept"] = keep
        report["report"] = str(write_page(home / "report", report))
        (home / "report.json").write_text(json.dumps(report, indent=2, default=str))
    except UnMoGrowPError as error:
        demo.stop()
        fail(f"{error} (the processes' output is in {home / 'stack.log'})")
    except BaseException:  # Ctrl-C included: no process may outlive the command
        demo.stop()
        raise
    if not keep:
        demo.timed("stop", demo.stop)
    emit(report, as_json, lambda console: render_report(console, report))
    if not report["ok"]:
        fail(f"the demo's numbers do not agree: {'; '.join(report['failures'])}")
