"""Mounts of a drill's own: small, filled and read-only file systems that no other process of the machine sees.

`python -m benchmarks.drills.private_mounts COMMAND …` becomes COMMAND in a mount namespace of its own (Linux); an
ordinary user gets one inside a user namespace, where the kernel allows those. It has to happen before a process
has threads, hence a command. Everything mounted goes with the last process inside.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import time
from pathlib import Path

from resources.errors import SettingsError

# linux/sched.h and linux/mount.h
_CLONE_NEWNS = 0x0002_0000
_CLONE_NEWUSER = 0x1000_0000
_MS_RDONLY = 1
_MS_REMOUNT = 32
_MS_BIND = 4096
_MS_REC = 16384
_MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
MIB = 1024 * 1024
READ_ONLY_ATTEMPTS = 50  # a write that begins between the two mounts makes the second fail


def enter() -> None:
    """Give this process, which has one thread, mounts of its own.

    Raises:
        SettingsError: the kernel does not allow it here.
    """
    user, group = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNS if user == 0 else _CLONE_NEWNS | _CLONE_NEWUSER
    try:
        _call("unshare", flags)
        if user != 0:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        _mount("none", Path("/"), None, _MS_REC | _MS_PRIVATE)
    except (OSError, AttributeError) as error:
        raise SettingsError(
            f"this drill needs a mount namespace of its own, which this machine does not give ({error}): "
            "run it as root or where the kernel allows user namespaces"
        ) from error


def mount_small(path: Path, size_bytes: int) -> None:
    """A file system of that size in memory, at a directory."""
    path.mkdir(parents=True, exist_ok=True)
    _mount("tmpfs", path, "tmpfs", 0, f"size={size_bytes}")


def resize(path: Path, size_bytes: int) -> None:
    """Make one that `mount_small` made larger or smaller, as it is used."""
    _mount("tmpfs", path, "tmpfs", _MS_REMOUNT, f"size={size_bytes}")


def mount_read_only(path: Path) -> None:
    """Let everything that is opened under this directory from now on be read-only; what is open stays as it is.

    Raises:
        OSError: among others EBUSY, when each time a file was opened for writing just then.
    """
    for attempt in range(READ_ONLY_ATTEMPTS):
        _mount(str(path), path, None, _MS_BIND | _MS_REC)
        try:
            _mount("none", path, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
        except OSError as error:
            unmount(path)
            if error.errno != errno.EBUSY or attempt + 1 == READ_ONLY_ATTEMPTS:
                raise
            time.sleep(0.02)
        else:
            return


def unmount(path: Path) -> None:
    """Take away what was mounted last at this directory."""
    _call("umount2", os.fsencode(path), _MNT_DETACH)


def free_bytes(path: Path) -> int:
    """What is left on the file system of this path."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def fill(path: Path, *, leave_bytes: int) -> None:
    """Grow a file until so much is free."""
    with path.open("ab", buffering=0) as file:
        while (free := free_bytes(path.parent)) > leave_bytes:
            try:
                file.write(bytes(min(MIB, free - leave_bytes)))
            except OSError:
                return


def _mount(source: str, target: Path, kind: str | None, flags: int, options: str | None = None) -> None:
    _call(
        "mount",
        source.encode(),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() if options else None,
    )


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def main() -> None:
    """Enter and become the command."""
    try:
        enter()
    except SettingsError as error:
        sys.exit(str(error))
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command is the drill's own


if __name__ == "__main__":
    main()
