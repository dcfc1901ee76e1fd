"""The dbt project's files on this machine: profile and manifest, made from settings on first use.

Both lie under `HOME/dbt`: the profile may hold a password (mode 0600), the manifest is build output.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from resources.clickhouse import password_of
from resources.errors import PermanentError
from resources.settings import APPLICATION_ROOT, child_environment

if TYPE_CHECKING:
    from resources.settings import Settings

DBT_PROJECT_DIR = APPLICATION_ROOT / "dbt_project"
PROJECT_FOLDERS = ("macros", "models", "tests")
MAX_SQL_THREADS = 2  # statements dbt keeps running at once; the embedded engine shares two cores


def dbt_dir(settings: Settings) -> Path:
    """Where dbt writes and finds its profile on this machine."""
    return settings.home / "dbt"


def dbt_executable() -> str:
    """Dbt of this virtual environment, whatever PATH says."""
    return str(Path(sys.executable).with_name("dbt"))


def write_profile(settings: Settings) -> Path:
    """Write `profiles.yml` for these settings and return its directory."""
    directory = dbt_dir(settings)
    directory.mkdir(parents=True, exist_ok=True)
    url = urlsplit(settings.clickhouse_http_url)
    output = {
        "type": "clickhouse",
        "driver": "http",
        "host": url.hostname,
        "port": url.port or (8443 if url.scheme == "https" else 8123),
        "secure": url.scheme == "https",
        "user": settings.clickhouse_user,
        "password": password_of(settings),
        "schema": settings.clickhouse_database,
        "threads": MAX_SQL_THREADS,
    }
    profile = {"unmogrowp": {"target": "default", "outputs": {"default": output}}}
    draft = directory / f".profiles.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(profile, file)  # JSON is YAML
    draft.replace(directory / "profiles.yml")
    return directory


def ensure_manifest(settings: Settings) -> Path:
    """The manifest of the project as it is now; parsed again only when a file of it changed.

    Raises:
        PermanentError: the project does not parse; the message is dbt's.
    """
    directory = write_profile(settings)
    target = directory / "target"
    manifest, stamp = target / "manifest.json", target / "project.sha256"
    digest = _project_digest()
    with (directory / "parse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes load the definitions at once
        if manifest.exists() and stamp.exists() and stamp.read_text() == digest:
            return manifest
        command = [dbt_executable(), "--quiet", "parse"]
        options = ["--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(directory)]
        environment = child_environment(DBT_TARGET_PATH=str(target), DBT_LOG_PATH=str(directory / "logs"))
        done = subprocess.run(  # noqa: S603 - our own interpreter and project
            [*command, *options], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PermanentError(f"the dbt project does not parse: {(done.stdout + done.stderr).strip()}")
        stamp.write_text(digest)
    return manifest


def _project_digest() -> str:
    digest = hashlib.sha256()
    files = [DBT_PROJECT_DIR / "dbt_project.yml"]
    for folder in PROJECT_FOLDERS:
        files += sorted(path for path in (DBT_PROJECT_DIR / folder).rglob("*") if path.is_file())
    for path in files:
        digest.update(f"{path.relative_to(DBT_PROJECT_DIR)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
