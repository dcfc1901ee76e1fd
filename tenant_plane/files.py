"""Durable file replacement: readers see the old file or the new one, never half of one.

Only the file-system discipline belongs here; what the bytes mean does not.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_atomically(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, sync it, and rename it over `path`; the directory is synced too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the directory's entries durable: a rename or a new file survives power loss only after this."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
