"""What an import remembers on disk: its shift, how far the door acknowledged it, what was rejected: one small file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from resources.errors import ContractError


@dataclass(frozen=True)
class Progress:
    """One file's import into one tenant; `rows_acknowledged` of the running or last pass over the file.

    The fields with a default are missing in records of earlier versions.
    """

    tenant_id: str
    file: str
    sha256: str
    format: str
    shift_days: int
    rows: int
    rows_acknowledged: int = 0
    options: str = ""  # what besides the file decides its events
    rejected: str = ""  # the file of rejected rows
    rejected_bytes: int = 0  # of which are written for good
    rejected_rows: int = 0  # of which lie in the rows acknowledged

    @property
    def is_complete(self) -> bool:
        """Every row was acknowledged."""
        return self.rows_acknowledged >= self.rows

    def at_row(self, rows_acknowledged: int) -> Progress:
        """The same import, this far."""
        return replace(self, rows_acknowledged=rows_acknowledged)

    def with_rejected(self, size_bytes: int, rows: int) -> Progress:
        """The same import, with this much in its file of rejected rows."""
        return replace(self, rejected_bytes=size_bytes, rejected_rows=rows)


def progress_path(home: Path, tenant_id: str, sha256: str) -> Path:
    """Where the progress of this file's import into this tenant is kept."""
    return home / "imports" / f"{tenant_id}-{sha256[:12]}.json"


def load_progress(path: Path) -> Progress | None:
    """The recorded progress; None when there is none.

    Raises:
        ContractError: the record cannot be read.
    """
    if not path.exists():
        return None
    try:
        return Progress(**json.loads(path.read_text()))
    except (TypeError, json.JSONDecodeError) as error:
        raise ContractError(
            f"{path} is damaged: delete it and import the file with the same --shift"
        ) from error


def save_progress(path: Path, progress: Progress) -> None:
    """Replaces the record in one step: a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(asdict(progress), indent=2) + "\n")
    draft.replace(path)
