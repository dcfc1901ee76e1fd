"""Writes `docs/roles.md` from the policy: `python -m control_plane.roles_page`. A test diffs it."""

from __future__ import annotations

from pathlib import Path

from control_plane.access_policy import AccessPolicy, access_policy, role_table
from resources.settings import APPLICATION_ROOT

ROLES_PAGE = APPLICATION_ROOT / "docs" / "roles.md"
_INTRODUCTION = """# Roles

What each role may do in the control plane. This page is written from the policy (`control_plane/policies/`, Cedar) by
`python -m control_plane.roles_page`; `unmogrowp roles` shows the same. Whatever no policy permits is denied, and every
refusal is in the audit trail.

The first four are roles of the platform's own people and hold for every tenant. The tenant roles hold in the tenant
that they were given in; the last column is what a tenant's key of kind `export` opens, of its own tenant alone. Keys of
kind `ingest` and `service` open nothing here.
"""


def roles_page(policy: AccessPolicy) -> str:
    """The page: a table of what is of the platform, one of what is of a tenant."""
    table = role_table(policy)
    parts = [_INTRODUCTION]
    for title, is_of_tenant in (("Of the platform", False), ("Of a tenant", True)):
        rows = [["action", *table.roles], ["---", *(":-:" for _ in table.roles)]]
        for name, roles in table.allowed.items():
            if policy.actions[name].is_of_tenant is is_of_tenant:
                rows.append([f"`{name}`", *("✓" if role in roles else "" for role in table.roles)])
        parts.append(f"## {title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")
    return "\n".join(parts)


def main(path: Path = ROLES_PAGE) -> None:
    """Write the page."""
    path.write_text(roles_page(access_policy()))


if __name__ == "__main__":
    main()
