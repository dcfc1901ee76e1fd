"""Looking at local planes from outside: ports and health. Starting and stopping them is not here."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from resources.errors import ServiceUnavailableError


def free_port(base: int, taken: set[int]) -> int:
    """The lowest port from `base` on that no plane has and nobody listens on.

    Raises:
        ServiceUnavailableError: there is none.
    """
    for port in range(base, 65_536):
        if port not in taken and not listens(port):
            return port
    raise ServiceUnavailableError(f"no port from {base} on is free; set UNMOGROWP_TENANT_PORT_BASE lower")


def ask_health(url: str, tenant_id: str) -> str:
    """`ok`, or what is wrong with the plane's answer."""
    import httpx  # noqa: PLC0415 - importing it costs every process that only needs the protocol

    try:
        response = httpx.get(f"{url}/health", headers={"X-Tenant-ID": tenant_id}, timeout=5.0)
        if response.status_code != httpx.codes.OK:
            return f"status {response.status_code}"
        answering = response.json().get("tenantId")
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        return type(error).__name__
    return "ok" if answering == tenant_id else "another tenant's plane"


def listens(port: int) -> bool:
    """Whether something accepts connections on this port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], timeout_s: float, interval_s: float = 0.2) -> bool:
    """Ask again and again until `condition` holds; False when it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(interval_s)
    return True
