"""How `unmogrowp rules` shows rules to people: tables and sentences. No calls, no JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from cli.output import table
from resources.rules import DEFAULT_RULES, RuleVersion
from resources.rules.edits import RuleDifference, allowed, described


def render_rules(console: Console, version: RuleVersion) -> None:
    """Every rule of a version with its default and what it may be."""
    defaults, short = described(DEFAULT_RULES), described(version.rules)
    rows = [
        (
            escape(name),
            escape(value),
            defaults.get(name, "inherit"),
            allowed(name) if name in defaults else "",
        )
        for name, value in short.items()
    ]
    since = f"from {version.effective_from}" if version.effective_from else "the defaults"
    title = f"Rules of {version.tenant_id}: version {version.version}, {since}, {version.content_hash}"
    console.print(table(title, ("rule", "value", "default", "allowed"), rows))


def render_versions(console: Console, tenant: str, known: list[RuleVersion], today: RuleVersion) -> None:
    """The versions, or what to do where there is none."""
    if not known:
        console.print(
            f"{tenant} has the default rules: `unmogrowp rules show --tenant {tenant}` lists them, "
            f"`unmogrowp rules set --tenant {tenant} --set click_window=3d` changes one"
        )
        return
    rows = [
        (
            f"{one.version}{' (today)' if one.version == today.version else ''}",
            one.effective_from,
            one.content_hash,
            one.created_by,
            f"{one.created_at:%Y-%m-%d %H:%M}",
            escape(one.reason or "–"),
        )
        for one in known
    ]
    console.print(table(f"Rules of {tenant}", ("version", "from", "hash", "by", "at (UTC)", "reason"), rows))
    if today.version == 0:
        console.print("none of them is in force yet: today the defaults are")


def render_differences(console: Console, old: str, new: str, found: list[RuleDifference]) -> None:
    """The rules that differ, old and new."""
    if not found:
        console.print(f"{new} and {old} are the same rules")
        return
    rows = [tuple(map(escape, one)) for one in found]
    console.print(table("What differs", ("rule", old, new), rows))


def render_outcome(
    console: Console, outcome: dict[str, Any], found: list[RuleDifference], *, is_dry: bool
) -> None:
    """What setting them did, or would do."""
    tenant, first = outcome["tenantId"], outcome["effectiveFrom"]
    if not is_dry and not outcome["changed"]:
        console.print(
            f"nothing to do: {tenant} has these rules from {first} on (version {outcome['version']})"
        )
        return
    render_differences(console, f"version {outcome['before']}", f"from {first}", found)
    for version in outcome["overruled"]:
        console.print(
            f"version {version}, which begins later, {'would apply' if is_dry else 'applies'} no more"
        )
    if is_dry:
        console.print("nothing was changed: leave --validate out to set them")
        return
    console.print(f"{tenant} has version {outcome['version']} from {first} on")
    if outcome["restate"]:
        text = f"dates already computed keep the old rules until: {outcome['restate']}"
        console.print(text, soft_wrap=True)  # the command can be copied whole
