"""`unmogrowp trace install|conversion ID`: why it was credited as it was, for people and as the control plane's JSON.

Reading is `resources.traces`'s; the document is `control_plane.trace_messages`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cli.output import emit, fail, table
from cli.stack import JsonOption
from resources.clickhouse import ClickHouse
from resources.embedded.stack import running_stack
from resources.registry import Registry
from resources.rules.ranges import duration_text
from resources.settings import load_settings
from resources.trace_fields import ConsideredTouch
from resources.traces import Trace, read_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

trace_app = typer.Typer(
    help="Why a conversion was credited as it was: every candidate touch, its verdict, the rules.",
    no_args_is_help=True,
)
Tenant = Annotated[str, typer.Option("--tenant", help="tenant id")]
TIERS = {
    1: "deterministic click",
    2: "probabilistic click",
    3: "deterministic view",
    4: "probabilistic view",
    5: "organic",
}
AGE_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1))


@trace_app.command("install")
def install_command(
    install_id: Annotated[str, typer.Argument(help="event id of the install or reinstall")],
    *,
    tenant: Tenant,
    as_json: JsonOption = False,
) -> None:
    """The trace of an install, or of a reinstall."""
    trace = _read(tenant, install_id)
    if trace.conversion_type == "re_engagement":
        fail(
            f"{install_id} is a session that came back: `unmogrowp trace conversion {install_id} --tenant {tenant}`"
        )
    _show(trace, as_json)


@trace_app.command("conversion")
def conversion_command(
    conversion_id: Annotated[str, typer.Argument(help="event id of an install, reinstall or session")],
    *,
    tenant: Tenant,
    as_json: JsonOption = False,
) -> None:
    """The trace of any conversion: install, re-attribution, reinstall, re-engagement."""
    _show(_read(tenant, conversion_id), as_json)


def _read(tenant: str, conversion_id: str) -> Trace:
    settings = load_settings()
    stack = running_stack(settings)
    clickhouse = ClickHouse.from_settings(settings.with_changes(**stack.ports) if stack else settings)
    registry = Registry.from_settings(settings)
    try:
        return read_trace(clickhouse, registry, tenant, conversion_id)
    finally:
        clickhouse.close()
        registry.close()


def _show(trace: Trace, as_json: bool) -> None:
    from control_plane.trace_messages import TraceOut  # noqa: PLC0415 - pydantic models, wanted for JSON alone

    payload = TraceOut.model_validate(trace).model_dump(mode="json", by_alias=True) if as_json else {}
    emit(payload, as_json, lambda console: render(console, trace))


def render(console: Console, trace: Trace) -> None:
    """The conversion, its winner and rules; the candidates; what there is to note."""
    for line in _header(trace):
        console.print(line, highlight=False, soft_wrap=True)
    if trace.candidates:
        rows = [_cells(candidate) for candidate in trace.candidates]
        names = ("#", "verdict", "touch", "channel", "match", "tier", "age", "window", "reason")
        console.print(table("Candidates, in the waterfall's order", names, rows))
    for note in trace.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def age_text(age_ms: int) -> str:
    """How long before the conversion, in its two largest units: `3 d 4 h`; after it: `12 s after`."""
    left, parts = abs(age_ms), list[str]()
    for unit, size_ms in AGE_UNITS_MS:
        count, rest = divmod(left, size_ms)
        if count and len(parts) < 2:  # noqa: PLR2004 - two units say enough
            parts.append(f"{count} {unit}")
            left = rest
        elif parts:
            break
    return (" ".join(parts) or "0 ms") + (" after" if age_ms < 0 else "")


def _header(trace: Trace) -> Iterator[str]:
    app = f" in app {escape(trace.app_id)}" if trace.app_id else ""
    yield f"[bold]{trace.conversion_type} {escape(trace.conversion_id)}[/] of {trace.tenant_id}{app}"
    yield f"at {_time(trace.conversion_time)}, device {escape(trace.device_id) or '(unknown)'}"
    if trace.install_id != trace.conversion_id:
        yield f"belongs to install {escape(trace.install_id)}"
    channel = escape(_channel(trace))
    if trace.touch_id:
        yield (
            f"[bold]{channel}[/] won: {trace.touch_type} {escape(trace.touch_id)} by {trace.match_type} "
            f"(tier {trace.tier}, {TIERS[trace.tier]}), {age_text(trace.ctit_ms or 0)} before"
        )
    elif trace.match_type == "organic":
        yield "[bold]organic[/]: no touch has the credit"
    else:
        yield f"[bold]{channel}[/] keeps the credit, by {trace.match_type}"
    yield f"rules {trace.rules.ruleset_hash}, {_version(trace)}"


def _version(trace: Trace) -> str:
    version = trace.rules.version
    if version is None:
        return "which no version of the tenant's rules has"
    return "the defaults" if version == 0 else f"version {version}"


def _channel(one: Trace | ConsideredTouch) -> str:
    return " / ".join(part for part in (one.source, one.medium, one.campaign) if part) or "(none)"


def _cells(candidate: ConsideredTouch) -> tuple[str, ...]:
    return (
        str(candidate.candidate_rank or "–"),
        candidate.verdict,
        candidate.touch_type,
        escape(_channel(candidate)),
        candidate.match_type,
        str(candidate.tier),
        age_text(candidate.ctit_ms),
        duration_text(candidate.window_ms),
        escape(candidate.reason),
    )


def _time(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
