"""Speaking to the two tenants' servers and looking at what they hold. No assertions here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import httpx
import psutil

from tests.support.attacks import Operation, Request, body_of, colleague, exported_install_id
from tests.support.marked_exports import DATE

if TYPE_CHECKING:
    from tests.support.two_tenants import Tenant, World

REFUSED = {401, 403, 404, 422}
# ways out of a folder; {0} is another tenant's
TRAVERSALS = (
    "..%2F{0}%2Finstalls",
    "%2e%2e%2f{0}%2finstalls",
    "..%5C{0}%5Cinstalls",
    "..%252F{0}%252Finstalls",
    "....%2F%2F{0}",
    "%2F{0}%2Finstalls",
    "{0}",
    "installs%00{0}",
    "installs%0A",
    "..;%2F{0}",
    "%C0%AE%C0%AE%2F{0}",
    "installs?mart={0}",
)


class Tried(NamedTuple):
    """One attack and its answer."""

    operation: Operation
    credential: str
    sent: Request
    answer: httpx.Response

    def __repr__(self) -> str:
        said = f"{self.answer.status_code} {self.answer.text[:300]}"
        return f"{self.operation} with {self.credential}: {self.sent.url} {self.sent.headers} -> {said}"


def right_statuses(tried: Tried, attacker: Tenant) -> set[int]:
    """The statuses that this attack may get. A success may hold the attacker's own data alone."""
    operation, sent = tried.operation, tried.sent
    if operation.room == "ingest_api" and sent.body is not None and _says_two_tenants(sent):
        return {400}  # the door asks nobody which of the two was meant
    return _right_statuses_of_one_tenant(tried, attacker)


def _right_statuses_of_one_tenant(tried: Tried, attacker: Tenant) -> set[int]:
    operation, sent = tried.operation, tried.sent
    if not operation.schemes:  # health, the plane's name, signing in (a brake says 429, no form 400)
        return REFUSED | {200, 400, 429}
    if sent.is_path_hostile:  # 405: with its slashes decoded it is no path of this method
        return REFUSED | {405}
    if tried.credential not in operation.opened_by:
        return _refusals_of(tried)
    if sent.header_tenant not in {attacker.tenant_id, None}:
        return {403}
    if sent.body is None:  # whose key it is counts, whatever the query says
        return REFUSED | {200}
    return {403, 202} if operation.path.endswith("/batch") else {403}


def _refusals_of(tried: Tried) -> set[int]:
    """What a credential gets that does not open an operation."""
    if tried.operation.room == "tenant_plane":  # it refuses another's X-Tenant-ID before all else
        return {401, 403}
    if "accessToken" in tried.operation.schemes and tried.credential == "export key":
        return {403}  # who it is, is known; what it may do, the policy says
    return {401}


def _says_two_tenants(sent: Request) -> bool:
    return [name for name, _ in sent.headers].count("X-Tenant-ID") > 1


def client_of(world: World, room: str, plane_of: Tenant) -> httpx.Client:
    """A client of a shared service, or of this tenant's plane."""
    return httpx.Client(base_url=world.urls.get(room, plane_of.url), trust_env=False, timeout=60)


def bearer(tenant: Tenant, name: str) -> dict[str, str]:
    """The tenant's own headers with one of its secrets."""
    return {"Authorization": f"Bearer {tenant.secrets[name]}", "X-Tenant-ID": tenant.tenant_id}


def stored(world: World, tenant: Tenant) -> tuple[object, ...]:
    """All that an attack could have changed: registry, exports, and what the plane holds."""
    registry = world.registry
    folder = world.settings.exports_dir / tenant.tenant_id
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with client_of(world, "tenant_plane", tenant) as client:
        client.headers.update(bearer(tenant, "session"))
        marts, scores = (
            client.get(f"/api/v1/{name}").raise_for_status().json() for name in ("marts", "ml/scores")
        )
    known = (registry.get(tenant.tenant_id), registry.keys(tenant.tenant_id))
    return *known, registry.rule_versions(tenant.tenant_id), files, marts, scores


def own_answer(client: httpx.Client, operation: Operation, tenant: Tenant, name: str) -> httpx.Response:
    """What the tenant gets for itself with one of its secrets."""
    path = operation.path.format(
        mart="installs",
        date=DATE,
        tenant_id=tenant.tenant_id,
        version=1,
        conversion_id=tenant.conversion_id,
        install_id=exported_install_id(tenant),
        user=colleague(tenant),
    )
    body, content = body_of(operation, path, tenant, tenant.tenant_id)
    return client.request(operation.method, path, content=body, headers=dict(content) | bearer(tenant, name))


def plane_process(tenant: Tenant) -> psutil.Process:
    """The process that listens on the plane's port."""
    port = int(tenant.url.rpartition(":")[2])
    for process in psutil.process_iter():
        try:
            listening = [
                each.laddr.port for each in process.net_connections("tcp") if each.status == "LISTEN"
            ]
        except psutil.Error:
            continue
        if port in listening:
            return process
    raise LookupError(f"nothing listens on {tenant.url}")
