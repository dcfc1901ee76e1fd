"""A plane's secrets: which there are, how each is made, how its keys reach the registry. No driver keeps one here.

Both drivers use it: `kept` is what the plane's own store (a file, a Kubernetes Secret) holds already, `keep`
writes the whole set back to it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping

from resources.plane_files import PlaneFiles, write_private
from resources.registry import Registry
from resources.registry.keys import new_key

KEYS = (("ingest", "INGEST_TOKEN"), ("service", "SERVICE_TOKEN"))
SECRETS = ("INGEST_TOKEN", "SERVICE_TOKEN", "SIGNING_KEY", "ADMIN_PASSWORD_HASH", "SESSION_KEY")


def complete_secrets(
    registry: Registry,
    files: PlaneFiles,
    kept: Mapping[str, str],
    keep: Callable[[dict[str, str]], None],
    actor: str,
) -> dict[str, str]:
    """Every secret of the plane; those that are kept already stay as they are.

    A key is kept before the registry hears of it, so a crash in between leaves no key that opens a door and
    that nobody holds.

    Raises:
        TenantStateError: the tenant is being deleted or is deleted.
    """
    complete = {
        "INGEST_TOKEN": kept.get("INGEST_TOKEN") or new_key("ingest"),
        "SERVICE_TOKEN": kept.get("SERVICE_TOKEN") or new_key("service"),
        "SIGNING_KEY": kept.get("SIGNING_KEY") or secrets.token_urlsafe(32),
        "ADMIN_PASSWORD_HASH": kept.get("ADMIN_PASSWORD_HASH") or _first_admin_hash(files),
        "SESSION_KEY": kept.get("SESSION_KEY") or secrets.token_urlsafe(48),
    }
    keep(complete)
    for kind, name in KEYS:
        while not registry.ensure_key(files.tenant_id, kind, complete[name], actor):
            complete[name] = new_key(kind)  # the old one was revoked
            keep(complete)
    return complete


def write_export_target(files: PlaneFiles, url: str, kept: Mapping[str, str]) -> None:
    """`global.json`: what the global plane needs to push to this plane."""
    target = {
        "service_token": kept["SERVICE_TOKEN"],
        "signing_key": kept["SIGNING_KEY"],
        "plane_url": url,
    }
    write_private(files.global_credentials, json.dumps(target))


def _first_admin_hash(files: PlaneFiles) -> str:
    from argon2 import PasswordHasher  # noqa: PLC0415 - needed once in a plane's life

    if not files.initial_admin_password.exists():
        write_private(files.initial_admin_password, secrets.token_urlsafe(18))
    return PasswordHasher().hash(files.initial_admin_password.read_text().strip())
