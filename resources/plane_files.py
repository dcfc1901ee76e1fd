"""The files of one local tenant plane's directory: where they are, and writing them whole and private.

`plane.env` (0600) is the truth about the plane's secrets; `global.json` (0600) is the part of it that the
global plane needs to push; `plane.json` holds no secret and tells the supervisor what should run. Deciding
what goes into them is `resources.tenant_drivers`'s.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from resources.errors import ContractError
from resources.registry.records import TENANT_ID_PATTERN

ENV_PREFIX = "UNMOGROWP_TENANT_"
DRAFT_PATTERN = re.compile(r"\..+\.[0-9a-f]{8}")  # what `write_private` calls a file that is not whole yet
DesiredState = Literal["running", "stopped"]


@dataclass(frozen=True, slots=True)
class PlaneDescription:
    """What `plane.json` says: where one plane answers and whether it should run. No secrets."""

    tenant_id: str
    port: int
    url: str
    browser_url: str
    revision: int
    desired: DesiredState
    version: str = "0"


@dataclass(frozen=True, slots=True)
class PlaneFiles:
    """The paths of one tenant's plane under `tenants_dir`."""

    tenants_dir: Path
    tenant_id: str

    def __post_init__(self) -> None:
        if re.fullmatch(TENANT_ID_PATTERN, self.tenant_id) is None:
            raise ContractError(f"{self.tenant_id!r} is no tenant id, so it names no directory")

    @property
    def directory(self) -> Path:
        """Everything of this plane; removed on deletion."""
        return self.tenants_dir / self.tenant_id

    @property
    def home(self) -> Path:
        """The plane's own HOME: its database, marts and buffers. It writes nowhere else."""
        return self.directory / "data"

    @property
    def env(self) -> Path:
        """The plane's settings, secrets included."""
        return self.directory / "plane.env"

    @property
    def description(self) -> Path:
        """What the supervisor reads."""
        return self.directory / "plane.json"

    @property
    def global_credentials(self) -> Path:
        """What the global plane needs to push to this plane."""
        return self.directory / "global.json"

    @property
    def values(self) -> Path:
        """The chart's values of a plane on Kubernetes; no secrets."""
        return self.directory / "values.json"

    @property
    def initial_admin_password(self) -> Path:
        """The dashboard's first password, for the operator to hand over and delete."""
        return self.directory / "initial_admin_password"

    @property
    def log(self) -> Path:
        """The plane process's output."""
        return self.directory / "plane.log"

    @property
    def running_lock(self) -> Path:
        """Locked by the plane's process for as long as it lives; see `hold_running_lock`."""
        return self.directory / ".running.lock"

    def open_log(self) -> BinaryIO:
        """`plane.log`, to append to; private from its first byte."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "ab")

    def read_env(self) -> dict[str, str]:
        """`plane.env` as a dictionary without the prefix, upper case; empty when there is none."""
        try:
            lines = self.env.read_text().splitlines()
        except FileNotFoundError:
            return {}
        pairs = (line.split("=", 1) for line in lines if line.startswith(ENV_PREFIX) and "=" in line)
        return {name.removeprefix(ENV_PREFIX): value for name, value in pairs}

    def write_env(self, values: dict[str, str]) -> None:
        """Make `values` the plane's settings."""
        write_private(self.env, "".join(f"{ENV_PREFIX}{name}={value}\n" for name, value in values.items()))

    def read_description(self) -> PlaneDescription | None:
        """What `plane.json` says; None when there is none.

        Raises:
            ContractError: it is not what `write_description` writes.
        """
        try:
            return PlaneDescription(**json.loads(self.description.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError) as error:
            raise ContractError(
                f"tenant {self.tenant_id}: {self.description} is damaged; provision the tenant again"
            ) from error

    def write_description(self, description: PlaneDescription) -> None:
        """Make `description` what the supervisor reads."""
        write_private(self.description, json.dumps(asdict(description), indent=2) + "\n")

    def remove_drafts(self) -> None:
        """Remove what a killed writer of `write_private` left; call it where nobody else writes."""
        for path in self.directory.glob(".*"):
            if DRAFT_PATTERN.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def process_environment(self) -> dict[str, str]:
        """The whole environment of the plane's process: nothing of the global plane's is in it."""
        basics = {
            "PATH": os.defpath,
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",  # plane.log shows a line when it is written
        }
        return basics | {f"{ENV_PREFIX}{name}": value for name, value in self.read_env().items()}


def hold_running_lock(files: PlaneFiles) -> int:
    """A descriptor that holds the plane's running lock; a child that inherits it holds it until it ends.

    Raises:
        BlockingIOError: a process of this plane still lives.
    """
    descriptor = os.open(files.running_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


def is_running(files: PlaneFiles) -> bool:
    """Whether a process of this plane lives, healthy or not."""
    if not files.running_lock.exists():
        return False
    try:
        os.close(hold_running_lock(files))
    except BlockingIOError:
        return True
    return False


def planes_in(tenants_dir: Path) -> list[PlaneFiles]:
    """The planes that have a directory, by tenant id; drafts and half-deleted ones are not among them."""
    if not tenants_dir.is_dir():
        return []
    names = sorted(path.name for path in tenants_dir.iterdir() if re.fullmatch(TENANT_ID_PATTERN, path.name))
    return [PlaneFiles(tenants_dir, name) for name in names]


def write_private(path: Path, content: str) -> None:
    """Replace the file at once, mode 0600, durably: a crash leaves the old one or the new one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
