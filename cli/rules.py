"""`unmogrowp rules …`: a tenant's attribution rules, through the control plane; checking a file needs no stack.

What a rule is and may be is `resources.rules`'s; computing dates again under new rules is `unmogrowp backfill`.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.output import emit, fail
from cli.rules_view import render_differences, render_outcome, render_rules, render_versions
from cli.stack import JsonOption
from resources.control_plane_client import ControlPlaneClient
from resources.errors import ContractError
from resources.rules import DEFAULT_RULES, RuleSet, RuleVersion, version_on
from resources.rules.edits import checked, differences, edited
from resources.rules.versions import default_version, overruled
from resources.settings import load_settings

rules_app = typer.Typer(
    help="Attribution rules of a tenant: windows, re-attribution, fraud limits; versioned by event date.",
    no_args_is_help=True,
)
Tenant = Annotated[str, typer.Option("--tenant", help="tenant id")]
Edits = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="click_window=3d, view_window=off, blocked_networks=198.51.100.0/24, "
        "channels[source/medium].click_window=1d; may be repeated",
    ),
]
Date = Annotated[
    dt.datetime | None,
    typer.Option("--effective-from", formats=["%Y-%m-%d"], help="first event date, UTC; else tomorrow"),
]
RulesFile = Annotated[
    Path | None, typer.Argument(help="JSON with the rules that differ from the defaults", show_default=False)
]


@rules_app.command("show")
def show_command(
    *,
    tenant: Tenant,
    version: Annotated[int | None, typer.Option(min=0, help="one version; 0 is the defaults")] = None,
    on: Annotated[
        dt.datetime | None,
        typer.Option("--on", formats=["%Y-%m-%d"], help="those in force on this event date; else today"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Every rule with its value, its default and what it may be."""
    if version is not None and on is not None:
        fail("give --version or --on, not both")
    known = versions_of(tenant)
    date = on.date() if on else _today()
    shown = version_on(tenant, known, date) if version is None else numbered(tenant, known, version)
    emit(_document(shown), as_json, lambda console: render_rules(console, shown))


@rules_app.command("list")
def list_command(*, tenant: Tenant, as_json: JsonOption = False) -> None:
    """Every version, and which one is in force today."""
    known = versions_of(tenant)
    today = version_on(tenant, known, _today())
    payload = {"tenantId": tenant, "inForce": today.version, "versions": [_document(one) for one in known]}
    emit(payload, as_json, lambda console: render_versions(console, tenant, known, today))


@rules_app.command("diff")
def diff_command(
    old: Annotated[int, typer.Argument(min=0, help="a version; 0 is the defaults")],
    new: Annotated[int, typer.Argument(min=0)],
    *,
    tenant: Tenant,
    as_json: JsonOption = False,
) -> None:
    """What one version has differently from another."""
    known = versions_of(tenant)
    before, after = numbered(tenant, known, old), numbered(tenant, known, new)
    found = differences(before.rules, after.rules)
    payload = {"tenantId": tenant, "old": old, "new": new, "differences": [one._asdict() for one in found]}
    emit(
        payload,
        as_json,
        lambda console: render_differences(console, f"version {old}", f"version {new}", found),
    )


@rules_app.command("validate")
def validate_command(file: RulesFile = None, *, edits: Edits = None, as_json: JsonOption = False) -> None:
    """Check rules without setting them; needs no stack."""
    rules = edited(_from_file(file) if file else DEFAULT_RULES, edits or ())
    found = differences(DEFAULT_RULES, rules)
    payload = {
        "ok": True,
        "contentHash": rules.content_hash,
        "rules": _json(rules),
        "differences": [one._asdict() for one in found],
    }

    def render(console: Console) -> None:
        console.print(f"these rules are valid; their hash is {rules.content_hash}")
        render_differences(console, "default", "here", found)

    emit(payload, as_json, render)


@rules_app.command("set")
def set_command(
    file: RulesFile = None,
    *,
    tenant: Tenant,
    edits: Edits = None,
    effective_from: Date = None,
    reason: Annotated[str | None, typer.Option(help="goes into the audit trail")] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="show what would change, and change nothing")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put rules in force from an event date on: those of a file, or those in force then with edits."""
    if file is None and not edits:
        fail("say what to set: a JSON file, or --set click_window=3d; `unmogrowp rules show` lists the rules")
    first = effective_from.date() if effective_from else _today() + dt.timedelta(days=1)
    client = ControlPlaneClient(load_settings())
    known = versions_of(tenant, client)
    before = version_on(tenant, known, first)
    rules = edited(_from_file(file) if file else before.rules, edits or ())
    found = differences(before.rules, rules)
    outcome: dict[str, Any] = {
        "tenantId": tenant,
        "effectiveFrom": first.isoformat(),
        "before": before.version,
        "differences": [one._asdict() for one in found],
        "overruled": [one.version for one in overruled(known, first)],
        "restate": _restatement(tenant, first),
    }
    if validate:
        outcome |= {"changed": False, "contentHash": rules.content_hash, "rules": _json(rules)}
    else:
        newest = known[-1].version if known else 0
        body = {
            "rules": _json(rules),
            "effectiveFrom": first.isoformat(),
            "reason": reason,
            "basedOn": newest,
        }
        added = client.call("POST", f"/v1/tenants/{tenant}/rules", body)
        outcome |= {**added, "changed": added["version"] > newest}
    emit(outcome, as_json, lambda console: render_outcome(console, outcome, found, is_dry=validate))


def versions_of(tenant: str, client: ControlPlaneClient | None = None) -> list[RuleVersion]:
    """Every version that is written down, oldest first."""
    client = client or ControlPlaneClient(load_settings())
    return [_version(tenant, item) for item in client.items(f"/v1/tenants/{tenant}/rules")]


def _version(tenant: str, item: dict[str, Any]) -> RuleVersion:
    return RuleVersion(
        tenant_id=tenant,
        version=item["version"],
        content_hash=item["contentHash"],
        rules=RuleSet.model_validate(item["rules"]),
        effective_from=dt.date.fromisoformat(item["effectiveFrom"]),
        created_at=dt.datetime.fromisoformat(item["createdAt"]),
        created_by=item["createdBy"],
        reason=item["reason"],
    )


def numbered(tenant: str, known: list[RuleVersion], version: int) -> RuleVersion:
    """The version of that number, 0 the defaults; ends the command where there is none."""
    for one in (default_version(tenant), *known):
        if one.version == version:
            return one
    fail(f"the rules of tenant {tenant} have no version {version}; `unmogrowp rules list` shows them")


def _from_file(file: Path) -> RuleSet:
    try:
        document = json.loads(file.read_text())
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except ValueError as error:
        fail(f"{file} is not JSON: {error}")
    try:
        return checked(document)
    except ContractError as error:
        raise ContractError(f"{file}: {error}") from error


def _restatement(tenant: str, first: dt.date) -> str | None:
    """The command that computes the dates again that are materialised under other rules; None before they begin."""
    today = _today()
    first = max(first, load_settings().start_date)
    if first > today:
        return None
    return f"unmogrowp backfill --tenant {tenant} --select marts --from {first} --to {today}"


def _json(rules: RuleSet) -> dict[str, Any]:
    return rules.model_dump(mode="json", by_alias=True)


def _document(version: RuleVersion) -> dict[str, Any]:
    return {
        "tenantId": version.tenant_id,
        "version": version.version,
        "contentHash": version.content_hash,
        "effectiveFrom": version.effective_from,
        "createdAt": version.created_at.isoformat() if version.created_at else None,
        "createdBy": version.created_by,
        "reason": version.reason,
        "rules": _json(version.rules),
    }


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()
