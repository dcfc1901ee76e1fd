"""The export store: named blobs, written atomically. A local directory; `s3://` will be a second class here.

Keys are relative paths with `/`; a key can never leave the store. What is exported is not known here.
"""

from __future__ import annotations

import os
import re
import secrets
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resources.errors import ContractError, SettingsError

if TYPE_CHECKING:
    from resources.settings import Settings

# one path segment: `exports`, `t123`, `date=2026-11-02`, `part-0.parquet`; never `.`, `..` or a hidden file
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=\-]{0,127}")


class ObjectStore(Protocol):
    """Blobs by key. A write is visible whole or not at all."""

    def read(self, key: str) -> bytes | None:
        """The blob's bytes, None when there is none."""

    def open(self, key: str) -> BufferedReader | None:
        """The blob as a seekable file, which stays what it is when the blob is replaced; None when there is none."""

    def write(self, key: str, content: bytes) -> None:
        """Make `content` the blob, atomically and durably."""

    def keys(self, prefix: str) -> list[str]:
        """Keys under the folder `prefix`, sorted."""

    def delete(self, key: str) -> None:
        """Remove the blob; nothing happens when there is none."""


class LocalObjectStore:
    """Blobs as files under one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: str) -> bytes | None:
        """The file's bytes, None when there is none."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def open(self, key: str) -> BufferedReader | None:
        """The file; a write renames another one into its place and leaves this one as it is."""
        try:
            return self._path(key).open("rb")
        except FileNotFoundError:
            return None

    def write(self, key: str, content: bytes) -> None:
        """Write beside, fsync, rename, fsync the directory: a crash leaves the old file or the new one."""
        path = self._path(key)
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
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def keys(self, prefix: str) -> list[str]:
        """Keys under the folder `prefix`, sorted; drafts of a crashed write are not among them."""
        files = (path for path in self._path(prefix).rglob("*") if path.is_file() and path.name[0] != ".")
        return sorted(path.relative_to(self._root).as_posix() for path in files)

    def delete(self, key: str) -> None:
        """Remove the file; nothing happens when there is none."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        segments = key.split("/")
        if not all(_SEGMENT.fullmatch(segment) for segment in segments):
            raise ContractError(
                f"{key!r} is no key of the export store: use segments of letters, digits and _.=-"
            )
        return self._root.joinpath(*segments)


def open_object_store(settings: Settings) -> ObjectStore:
    """The export store of these settings.

    Raises:
        SettingsError: the location's scheme is not supported.
    """
    location = str(settings.exports_dir)
    if "://" in location:
        raise SettingsError(f"exports go to a local directory, not to {location}: unset it")
    return LocalObjectStore(Path(location))
