"""The released contracts: what senders rely on, kept in `events/released/<version>.json` and never edited by hand.

A lock file has, for every type its version brings or changes, the schema and the SHA-256 of its canonical JSON.
`unmogrowp schema release` writes it; what may change against it is `compatibility`'s.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from resources.errors import ContractError
from schemas import EVENTS_ROOT, event_schema_paths, event_schemas, event_versions

RELEASED_ROOT = EVENTS_ROOT / "released"


def released_schemas(version: str, root: Path = RELEASED_ROOT) -> dict[str, dict[str, Any]]:
    """Event type → released schema of a version, the types it does not change included.

    Raises:
        ContractError: the version was never released, or its lock was edited.
    """
    versions = event_versions()
    if not is_released(version, root):
        raise ContractError(
            f"{version} was never released: record it with `unmogrowp schema release {version}`"
        )
    schemas: dict[str, dict[str, Any]] = {}
    for name in versions[: versions.index(version) + 1]:
        schemas |= _locked(lock_path(name, root))
    return dict(sorted(schemas.items()))


def is_released(version: str, root: Path = RELEASED_ROOT) -> bool:
    """Whether a version's release is recorded."""
    return lock_path(version, root).exists()


def lock_path(version: str, root: Path = RELEASED_ROOT) -> Path:
    """Where a version's release is recorded."""
    return root / f"{version}.json"


def write_release(version: str, root: Path = RELEASED_ROOT) -> Path:
    """Record the schemas as they are now as the version's release; checking them first is the caller's."""
    own = [name for name, path in event_schema_paths(version).items() if path.parent.name == version]
    schemas = event_schemas(version)
    lock = {name: {"sha256": digest(schemas[name]), "schema": schemas[name]} for name in own}
    path = lock_path(version, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(lock, indent=2, ensure_ascii=False) + "\n")
    return path


def digest(schema: dict[str, Any]) -> str:
    """SHA-256 of the schema's canonical JSON (keys sorted, no spaces, UTF-8)."""
    canonical = json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _locked(path: Path) -> dict[str, dict[str, Any]]:
    lock = json.loads(path.read_text())
    for name, entry in lock.items():
        if digest(entry["schema"]) != entry["sha256"]:
            raise ContractError(
                f"the released {path.stem} {name} was edited: restore {path.name} from version control"
            )
    return {name: entry["schema"] for name, entry in lock.items()}
