"""What every manifest of a tenant must hold to, as a list of sentences that say where it does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]
SECRET_NAMES = re.compile(r"TOKEN|KEY|PASSWORD|SECRET|DATABASE_URL")
RESTRICTED = {"enforce": "restricted"}


def violations(manifests: list[Manifest]) -> list[str]:
    """Every breach, `Kind/name: what`."""
    found = [
        f"{manifest['kind']}/{manifest['metadata']['name']}: {breach}"
        for manifest in manifests
        for breach in _of_one(manifest)
    ]
    return found + list(_of_all(manifests))


def _of_one(manifest: Manifest) -> Iterator[str]:
    if manifest["kind"] == "Secret":
        yield "a secret is in the manifests"
    if manifest["kind"] == "Namespace":
        if manifest["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "pods are not held to the restricted standard"
    elif "namespace" not in manifest["metadata"]:
        yield "no namespace"
    template = manifest.get("spec", {}).get("template")
    if template is not None:
        yield from _of_a_pod(template["spec"])
        for container in [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]:
            yield from _of_a_container(container)
    if manifest["kind"] == "StatefulSet":
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if any(probe not in each for each in template["spec"]["containers"]):
                yield f"no {probe}"


def _of_a_pod(pod: Manifest) -> Iterator[str]:
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
        yield "pods may run as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "a service account token is mounted"
    if pod.get("serviceAccountName", "default") == "default":
        yield "the default service account"
    if any(pod.get(each) for each in ("hostNetwork", "hostPID", "hostIPC")):
        yield "a namespace of the host"
    if any("hostPath" in volume for volume in pod.get("volumes", [])):
        yield "a path of the host"


def _of_a_container(container: Manifest) -> Iterator[str]:
    security = container.get("securityContext", {})
    if security.get("readOnlyRootFilesystem") is not True:
        yield "the root filesystem is writable"
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        yield "privileges may be gained"
    if security.get("capabilities", {}).get("drop") != ["ALL"] or security["capabilities"].get("add"):
        yield "capabilities are kept"
    for part in ("requests", "limits"):
        if set(container.get("resources", {}).get(part, {})) != {"cpu", "memory"}:
            yield f"no {part}"
    if container["image"].endswith(":latest") or ":" not in container["image"]:
        yield "the image's version is open"
    for variable in container.get("env", []):
        if SECRET_NAMES.search(variable["name"]) and "secretKeyRef" not in variable.get("valueFrom", {}):
            yield f"{variable['name']} is not by reference"


def _of_all(manifests: list[Manifest]) -> Iterator[str]:
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    denied = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if denied not in policies:
        yield "traffic is not denied by default"
    for policy in policies:
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy.get(direction, []):
                if not rule.get(peers) or not rule.get("ports"):
                    yield f"{direction} from or to anywhere"
                for peer in rule.get(peers) or []:
                    if peer.get("ipBlock", {}).get("cidr") in {"0.0.0.0/0", "::/0"}:
                        yield f"{direction} from or to the whole world"
                    if peer.get("namespaceSelector") == {} or peer.get("podSelector") == {}:
                        yield f"{direction} from or to every pod"
    for kind in ("ResourceQuota", "LimitRange", "PodDisruptionBudget", "Ingress", "Service"):
        if not any(each["kind"] == kind for each in manifests):
            yield f"there is no {kind}"
