"""`unmogrowp tenant roll`: planes to another version, in waves. The moving is `resources.tenant_drivers.roll`'s."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from cli.output import emit, fail, stderr, table
from cli.stack import JsonOption
from resources.file_lock import exclusive_file_lock
from resources.registry import Registry
from resources.settings import load_settings


def roll_command(
    version: Annotated[str, typer.Option(help="what planes shall run: the tag of their image")],
    wave_sizes: Annotated[
        str, typer.Option(help="tenants per wave, counts or shares of all; the last one repeats")
    ] = "1,5,25%",
    parallel: Annotated[int, typer.Option(min=1, max=32, help="planes of a wave moved at once")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the waves and what runs now")] = False,
    as_json: JsonOption = False,
) -> None:
    """Move tenants' planes to a version in waves, smallest plans first; stop at the first that fails its smoke test.

    A plane that fails is moved back. Ask again to go on: planes that run the version already are passed over.
    """
    from resources.tenant_drivers import open_tenant_driver  # noqa: PLC0415 - may load Helm's engine
    from resources.tenant_drivers.roll import Roll  # noqa: PLC0415 - as above

    settings = load_settings()
    with closing(Registry.from_settings(settings)) as registry:
        roll = Roll(open_tenant_driver(settings, registry), registry, parallel=parallel, tell=_say)
        if dry_run:
            report = roll.plan(version, wave_sizes)
        else:
            settings.tenants_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            with exclusive_file_lock(settings.tenants_dir / ".roll.lock"):  # a second roll waits for this one
                report = roll.run(version, wave_sizes)
    document = report.document() | {"dryRun": dry_run}
    emit(document, as_json, lambda console: _show(console, document))
    if report.failed:
        first = report.failed[0]
        where = f"it is back at {first.before}" if first.is_back else "it is not back: look at it now"
        fail(
            f"the roll to {version} stopped in wave {first.wave}: {first.reason} ({where}; "
            f"{document['counts']['not_reached']} not reached); repair the cause and ask for the roll again"
        )


def _show(console: Any, document: dict[str, Any]) -> None:
    if not document["tenants"]:
        console.print("no active tenants: there is nothing to roll")
        return
    rows = [
        (each["wave"], each["tenant_id"], each["before"] or "–", each["result"], each["seconds"])
        for each in document["tenants"]
    ]
    title = f"Roll to {document['version']}" + (" (nothing was done)" if document["dryRun"] else "")
    console.print(table(title, ["wave", "tenant", "ran", "result", "seconds"], rows))


def _say(text: str) -> None:
    stderr.print(text, style="dim", highlight=False)
